"""What a plugin may offer: the hooks that pluggy calls, under the project name and entry-point group ``trainhooks``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from .wrap import WrapOptions

PROJECT = "trainhooks"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class Specs:
    """The hooks, as a plugin defines them."""

    @hookspec
    def trainhooks_frameworks(self) -> Mapping[str, str]:  # type: ignore[empty-body]
        """The frameworks that an adapter serves, each with the pip requirement that installs it."""

    @hookspec(firstresult=True)
    def trainhooks_wrap(self, target: object, options: WrapOptions) -> Any:
        """``target`` wrapped, if it is this adapter's own; None otherwise, without importing its framework."""

    @hookspec
    def trainhooks_demos(self) -> Mapping[str, Callable[..., Any]]:  # type: ignore[empty-body]
        """Trainers for ``trainhooks demo --framework NAME``, by name; see ``trainhooks.demo``."""
