"""Gate: a filter at work for one registered hook, and what it must remember there."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .progress import Progress
    from .run import Run


class Gate:
    """A filter at work for one registered hook.

    ``source`` is ``due`` as the compiled dispatcher writes it, with ``{g}`` for the gate: it is there to spare the call
    where a look at ``progress`` settles it.
    """

    __slots__ = ()
    source = "{g}.due(_progress, run)"
    remembers = False
    """Whether ``fired`` is to be called."""

    def due(self, progress: Progress, run: Run) -> bool:
        """Whether it lets the hook be called now; changes nothing."""
        raise NotImplementedError

    def fired(self, progress: Progress) -> None:
        """The hook is called now, since this gate and all beside it were due."""

    def begin(self, progress: Progress | None) -> None:
        """It is registered at ``progress``, or the run goes on from there: it counts from there on."""

    def state(self) -> Any:
        """What must survive a resume, JSON-able; None when there is nothing."""
        return None

    def load(self, state: Any) -> None:
        """Take back what ``state`` gave."""


class EveryCount(Gate):
    __slots__ = ("count", "n", "next", "source")
    remembers = True

    def __init__(self, count: str, n: int) -> None:
        self.count, self.n, self.next = count, n, n
        self.source = f"_progress.{count} >= {{g}}.next"

    def begin(self, progress: Progress | None) -> None:
        if progress is not None:
            self._last(getattr(progress, self.count))

    def due(self, progress: Progress, run: Run) -> bool:
        count: int = getattr(progress, self.count)
        return count >= self.next

    def fired(self, progress: Progress) -> None:
        self._last(getattr(progress, self.count))

    def state(self) -> Any:
        return self.next - self.n  # and not ``next``: a resumed run may count in another n

    def load(self, state: Any) -> None:
        self._last(int(state))

    def _last(self, count: int) -> None:
        self.next = (count // self.n + 1) * self.n


class EverySeconds(Gate):
    __slots__ = ("last", "seconds")
    remembers = True

    def __init__(self, seconds: float) -> None:
        self.seconds, self.last = seconds, time.monotonic()

    def due(self, progress: Progress, run: Run) -> bool:
        return time.monotonic() - self.last >= self.seconds

    def fired(self, progress: Progress) -> None:
        self.last = time.monotonic()

    def state(self) -> Any:
        return time.monotonic() - self.last

    def load(self, state: Any) -> None:
        self.last = time.monotonic() - float(state)


class Once(Gate):
    __slots__ = ("at", "count", "done")
    remembers = True

    def __init__(self, count: str, at: int) -> None:
        self.count, self.at, self.done = count, at, False

    def begin(self, progress: Progress | None) -> None:
        if self.count and progress is not None and progress.resumed:  # what has passed, it did before
            self.done = getattr(progress, self.count) >= self.at

    def due(self, progress: Progress, run: Run) -> bool:
        return not (self.done or (self.count and getattr(progress, self.count) < self.at))

    def fired(self, progress: Progress) -> None:
        self.done = True

    def state(self) -> Any:
        return self.done

    def load(self, state: Any) -> None:
        self.done = bool(state)


class Between(Gate):
    __slots__ = ("count", "first", "last")

    def __init__(self, count: str, first: int, last: int | None) -> None:
        self.count, self.first, self.last = count, first, last

    def due(self, progress: Progress, run: Run) -> bool:
        count: int = getattr(progress, self.count)
        return self.first <= count and (self.last is None or count < self.last)


class When(Gate):
    __slots__ = ("predicate",)

    def __init__(self, predicate: Callable[[Run], object]) -> None:
        self.predicate = predicate

    def due(self, progress: Progress, run: Run) -> bool:
        return bool(self.predicate(run))
