"""Attached: a callback that does something for as long as it is attached to a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..callback import Callback

if TYPE_CHECKING:
    from ..run import Run


class Attached(Callback):
    """A callback that is told when it is attached to a run and when it is let go, of which no event tells.

    It may be added and removed in the midst of a run, and must leave nothing behind: on an optimizer, for one.
    """

    _run: Run | None = None
    _end: Callable[[], object] | None = None

    def attached(self, run: Run) -> Callable[[], object] | None:
        """It was attached to ``run``; returns what to call when it is let go."""
        raise NotImplementedError

    @property
    def run(self) -> Run | None:
        """The run it is attached to; None while it is attached to none."""
        return self._run

    @run.setter
    def run(self, run: Run | None) -> None:
        if run is self._run:
            return
        end, self._run, self._end = self._end, run, None
        if end is not None:
            end()
        if run is not None:
            self._end = self.attached(run)

    def __getstate__(self) -> Any:  # a copy is attached to no run
        return {name: value for name, value in super().__getstate__().items() if name not in ("_run", "_end")}
