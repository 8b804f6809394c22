"""Offers: what plugins hand down to every run. ``plugins`` sets it; the core never imports that."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple, Protocol

from .callback import Callback
from .events import Event

if TYPE_CHECKING:
    from .run import Run


class Failed(Protocol):
    """Told of what a plugin did wrong, and in what; ``then`` says what became of a callback whose method it was."""

    def __call__(self, what: str, error: BaseException | str, *, then: str | None = None) -> None: ...


class OfferedEvent(NamedTuple):
    """An event that a plugin declares."""

    event: Event
    failed: Failed


class OfferedCallback(NamedTuple):
    """A callback that a plugin attaches.

    Attributes:
        plugin: its name.
        label: the plugin, as messages call it.
        callback: what it attaches.
        failed: told of what goes wrong.
    """

    plugin: str
    label: str
    callback: Callback
    failed: Failed


class Offers:
    """What there is for a run; as it stands, nothing."""

    def events(self, selection: str | None) -> Iterable[OfferedEvent]:
        """The events that plugins declare."""
        return ()

    def callbacks(self, run: Run, selection: str | None) -> Iterable[OfferedCallback]:
        """The callbacks that attach themselves to ``run``."""
        return ()


given = Offers()
