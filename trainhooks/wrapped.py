"""Wrapped: a trainer whose entry points carry callbacks, and which is in all else the trainer itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .run import Run


class Wrapped:
    """What an adapter's ``wrap`` gives of a trainer that has a loop of its own; all else is the trainer's own.

    An adapter derives from it, with ``__slots__ = ()``, and overrides the entry points: ``fit``, ``evaluate``, ...

    Args:
        target: the trainer.
        bridge: what carries the callbacks in it, and has the last ``run``.

    Attributes:
        run: the run of the last entry point that was called; None before the first.
    """

    __slots__ = ("_bridge", "_target")

    def __init__(self, target: Any, bridge: Any) -> None:
        self._target, self._bridge = target, bridge

    @property
    def run(self) -> Run | None:
        """The run of the last entry point that was called; None before the first."""
        run: Run | None = self._bridge.run
        return run

    def __getattr__(self, name: str) -> Any:
        if name in Wrapped.__slots__:  # copy and pickle ask before there are any
            raise AttributeError(name)
        return getattr(self._target, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in Wrapped.__slots__:
            object.__setattr__(self, name, value)
        else:
            setattr(self._target, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._target, name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *dir(self._target)})

    def __repr__(self) -> str:
        return f"<trainhooks around {self._target!r}>"
