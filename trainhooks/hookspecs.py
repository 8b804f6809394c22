"""What a plugin may offer: the hooks that pluggy looks for, under the name of the project and entry-point group.

Each is asked only when its answer is needed, of every plugin in the order of their names (``tryfirst`` and ``trylast``
count). One that has nothing to offer returns None, or leaves the hook out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from .callback import Callback
    from .events import Event
    from .run import Run
    from .wrap import WrapOptions

PROJECT = "trainhooks"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class Specs:
    """The hooks, as a plugin defines them."""

    @hookspec
    def trainhooks_callbacks(self) -> Mapping[str, Callable[..., Callback]]:  # type: ignore[empty-body]
        """Callbacks by name, each a class or a function that makes one: for ``trainhooks.callbacks.make(name)``."""

    @hookspec
    def trainhooks_attach(self, run: Run) -> Callback | Iterable[Callback] | None:
        """Callbacks that attach themselves to ``run``, of which nothing has fired yet; None declines.

        ``run.framework``, ``run.can("lr")`` and ``run.bus.callbacks`` say what it is attached to. An exception in one
        of them disables it for the rest of the run: nobody asked for it, and so it ends nobody's training.
        """

    @hookspec
    def trainhooks_adapter(self, target: object) -> Callable[[WrapOptions], Any] | None:
        """The function that wraps ``target``, if it is this adapter's own; None otherwise.

        To answer no it imports nothing: a model of a framework cannot exist before the framework was imported, so
        ``sys.modules.get("loopy")`` tells. What that function raises reaches the user.
        """

    @hookspec
    def trainhooks_frameworks(self) -> Mapping[str, str]:  # type: ignore[empty-body]
        """The frameworks that an adapter serves, each with the pip requirement that installs it."""

    @hookspec
    def trainhooks_events(self) -> Iterable[Event]:  # type: ignore[empty-body]
        """Events of its own, which every run knows: fired with ``run.emit(name, ...)``, heard by ``on_<name>``."""

    @hookspec
    def trainhooks_demos(self) -> Mapping[str, Callable[..., Any]]:  # type: ignore[empty-body]
        """Trainers for ``trainhooks demo --framework NAME``, by name; see ``trainhooks.demo``."""
