"""Guests: callbacks that a plugin attached. Nobody asked for them, and so they can end nobody's training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from .callback import Callback
from .dispatch import Listener
from .events import EVENTS, Event

if TYPE_CHECKING:
    from .offers import OfferedCallback
    from .run import Run

T = TypeVar("T")


class Guest(Callback):
    """Stands for a callback that a plugin offers: hands everything on to it, and keeps what it raises to itself.

    An exception in one of its hooks disables it for the rest of the run. Its class is called as the callback's is, so
    that its state goes by the same key.
    """

    def __init__(self, offered: OfferedCallback) -> None:
        self.inner, self.label, self.failed = offered.callback, offered.label, offered.failed
        self.requires, self.phase, self.ranks = self.inner.requires, self.inner.phase, self.inner.ranks
        self.on_error = "warn" if self.inner.on_error == "warn" else "disable"

    if not TYPE_CHECKING:

        @property
        def run(self):
            return self.inner.run

        @run.setter
        def run(self, value):
            self.inner.run = value

    def listeners(self, events: Mapping[str, Event] = EVENTS) -> Iterator[Listener]:
        for one in self.inner.listeners(events):
            on_error = "disable" if one.on_error == "raise" else one.on_error
            yield one.owned_by(self, f"{self.label}: {one.who}", on_error)

    def check_needs(self) -> None:
        self.inner.check_needs()

    def reset(self) -> None:
        self._guarded("reset", self.inner.reset, None)

    def state_dict(self) -> dict[str, Any]:
        return self._guarded("state_dict", self.inner.state_dict, {})

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._guarded("load_state_dict", lambda: self.inner.load_state_dict(state), None)

    def settings_dict(self) -> dict[str, Any]:
        return self._guarded("settings_dict", self.inner.settings_dict, {})

    def resume_from(self, run: Run) -> Mapping[str, Any] | None:
        return self._guarded("resume_from", lambda: self.inner.resume_from(run), None)

    def _guarded(self, verb: str, call: Callable[[], T], instead: T) -> T:
        try:
            return call()
        except Exception as error:  # whatever a stranger's callback raises: it must not end anybody's training
            self.failed(f"{type(self).__name__}.{verb}", error)
            return instead


class _Saver(Guest):
    """One that writes checkpoints. What its ``save`` raises the run itself sees to, by ``on_error``."""

    def save(self, run: Run) -> None:
        self.inner.save(run)


def guest(offered: OfferedCallback) -> Guest:
    """The guest that stands for a callback, under the name of its class."""
    kind = type(offered.callback)
    base = Guest if kind.save is Callback.save else _Saver
    made: Guest = type(kind.__name__, (base,), {"__doc__": kind.__doc__})(offered)
    return made
