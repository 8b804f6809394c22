"""When a hook is due: ``every``, ``once``, ``between`` and ``when``, for methods and for plain functions alike.

A filter is a value. As a decorator it marks a method of a callback; as an argument it goes with ``run.on``::

    @every(steps=100)
    def on_train_batch_end(self, run): ...

    @run.on("train_batch_end", every(steps=100))
    def show(run): ...

Several on one hook must all be due. What a filter must remember lives in its gate, of which each registration makes
one, so that one callback class may serve many runs.
"""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

if TYPE_CHECKING:
    from .progress import Progress
    from .run import Run

Hook = TypeVar("Hook", bound=Callable[..., Any])

MARK: Final = "__trainhooks_filters__"

_COUNTS: Final = {"steps": "step", "optimizer_steps": "optimizer_step", "epochs": "epochs_done"}


class Gate:
    """A filter at work for one registered hook.

    ``source`` is the condition as the compiled dispatcher writes it, with ``{g}`` for the gate; it must hold whenever
    ``due`` would, and is there to spare the call where a look at ``progress`` settles it.
    """

    __slots__ = ()
    source = "{g}.due(progress, run)"

    def due(self, progress: Progress, run: Run) -> bool:
        raise NotImplementedError

    def state(self) -> Any:
        """What must survive a resume, JSON-able; None when there is nothing."""
        return None

    def load(self, state: Any) -> None:
        """Take back what ``state`` gave."""


@dataclass(frozen=True)
class Filter:
    """Base of the filters. Calling one with a function marks that function and returns it."""

    def __call__(self, hook: Hook) -> Hook:
        if not callable(hook):
            raise TypeError(f"{self}: it decorates a hook, and {hook!r} is none")
        setattr(hook, MARK, (self, *getattr(hook, MARK, ())))
        return hook

    @property
    def needs(self) -> frozenset[str]:
        """The capabilities it relies on; ``"run"`` stands for a run's own counts."""
        return frozenset()

    def gate(self) -> Gate:
        """A fresh gate, for one registration."""
        raise NotImplementedError


class _EveryCount(Gate):
    __slots__ = ("count", "n", "next", "source")

    def __init__(self, count: str, n: int) -> None:
        self.count, self.n, self.next = count, n, n
        self.source = f"progress.{count} >= {{g}}.next and {{g}}.due(progress, run)"

    def due(self, progress: Progress, run: Run) -> bool:
        count: int = getattr(progress, self.count)
        if count < self.next:
            return False
        self.next = (count // self.n + 1) * self.n
        return True

    def state(self) -> Any:
        return self.next

    def load(self, state: Any) -> None:
        self.next = int(state)


class _EverySeconds(Gate):
    __slots__ = ("last", "seconds")

    def __init__(self, seconds: float) -> None:
        self.seconds, self.last = seconds, time.monotonic()

    def due(self, progress: Progress, run: Run) -> bool:
        now = time.monotonic()
        if now - self.last < self.seconds:
            return False
        self.last = now
        return True

    def state(self) -> Any:
        return time.monotonic() - self.last

    def load(self, state: Any) -> None:
        self.last = time.monotonic() - float(state)


class _Once(Gate):
    __slots__ = ("at", "count", "done")

    def __init__(self, count: str, at: int) -> None:
        self.count, self.at, self.done = count, at, False

    def due(self, progress: Progress, run: Run) -> bool:
        if self.done or (self.count and getattr(progress, self.count) < self.at):
            return False
        self.done = True
        return True

    def state(self) -> Any:
        return self.done

    def load(self, state: Any) -> None:
        self.done = bool(state)


class _Between(Gate):
    __slots__ = ("count", "first", "last")

    def __init__(self, count: str, first: int, last: int | None) -> None:
        self.count, self.first, self.last = count, first, last

    def due(self, progress: Progress, run: Run) -> bool:
        count: int = getattr(progress, self.count)
        return self.first <= count and (self.last is None or count < self.last)


class _When(Gate):
    __slots__ = ("predicate",)

    def __init__(self, predicate: Callable[[Run], object]) -> None:
        self.predicate = predicate

    def due(self, progress: Progress, run: Run) -> bool:
        return bool(self.predicate(run))


@dataclass(frozen=True)
class _Every(Filter):
    unit: str
    n: float

    def __str__(self) -> str:
        return f"every({self.unit}={self.n:g})"

    @property
    def needs(self) -> frozenset[str]:
        if self.unit == "optimizer_steps":
            return frozenset({"run", "optimizer_step"})
        return frozenset() if self.unit == "seconds" else frozenset({"run"})

    def gate(self) -> Gate:
        if self.unit == "seconds":
            return _EverySeconds(self.n)
        return _EveryCount(_COUNTS[self.unit], int(self.n))


@dataclass(frozen=True)
class _OnceFilter(Filter):
    unit: str
    at: int

    def __str__(self) -> str:
        return f"once({self.unit}={self.at})" if self.unit else "once()"

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"run"}) if self.unit else frozenset()

    def gate(self) -> Gate:
        return _Once(self.unit, self.at)


@dataclass(frozen=True)
class _BetweenFilter(Filter):
    unit: str
    first: int
    last: int | None

    def __str__(self) -> str:
        return f"between({self.unit}=({self.first}, {self.last}))"

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"run"})

    def gate(self) -> Gate:
        return _Between({"steps": "step", "epochs": "epoch"}[self.unit], self.first, self.last)


@dataclass(frozen=True)
class _WhenFilter(Filter):
    predicate: Callable[[Run], object]

    def __str__(self) -> str:
        return f"when({getattr(self.predicate, '__qualname__', self.predicate)})"

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"run"})

    def gate(self) -> Gate:
        return _When(self.predicate)


def every(
    *,
    steps: int | None = None,
    optimizer_steps: int | None = None,
    epochs: int | None = None,
    seconds: float | None = None,
    **unknown: NoReturn,
) -> Filter:
    """Due when the count of finished units has crossed a multiple of ``n`` since it last fired; never at 0.

    Args:
        steps: training batches, over the whole run.
        optimizer_steps: the optimizer's real updates; needs a trainer that sees them.
        epochs: finished epochs.
        seconds: wall-clock time since it last fired, or since it was registered.

    Raises:
        TypeError: not exactly one unit, or one that does not exist.
        ValueError: a count below 1, or seconds not above 0.
    """
    given = {"steps": steps, "optimizer_steps": optimizer_steps, "epochs": epochs, "seconds": seconds}
    unit, n = _one_unit("every", given, unknown)
    if unit == "seconds":
        if not (isinstance(n, (int, float)) and 0 < n < float("inf")):
            raise ValueError(f"every(seconds={n!r}): a number of seconds above 0")
    elif isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise ValueError(f"every({unit}={n!r}): a whole number, at least 1")
    return _Every(unit, n)


def once(*, step: int | None = None, epoch: int | None = None, **unknown: NoReturn) -> Filter:
    """Due once: at the first event at which ``step`` batches are finished, or epoch number ``epoch`` is reached.

    Without an argument it is due at the very first event.

    Raises:
        TypeError: both units, or one that does not exist.
        ValueError: not a whole number, at least 0.
    """
    given = {"step": step, "epoch": epoch}
    if step is None and epoch is None and not unknown:
        return _OnceFilter("", 0)
    unit, at = _one_unit("once", given, unknown)
    if isinstance(at, bool) or not isinstance(at, int) or at < 0:
        raise ValueError(f"once({unit}={at!r}): a whole number, at least 0")
    return _OnceFilter(unit, at)


def between(
    *, steps: tuple[int, int | None] | None = None, epochs: tuple[int, int | None] | None = None, **unknown: NoReturn
) -> Filter:
    """Due while the count lies in ``[first, last)``; ``last`` None leaves it open.

    Args:
        steps: bounds on the number of finished training batches.
        epochs: bounds on the number of the epoch, from 0.

    Raises:
        TypeError: not exactly one unit, or one that does not exist.
        ValueError: bounds that are no pair of whole numbers, or leave nothing between them.
    """
    unit, bounds = _one_unit("between", {"steps": steps, "epochs": epochs}, unknown)
    try:
        first, last = bounds
        empty = not (first >= 0 and (last is None or first < last))
    except (TypeError, ValueError):
        empty = True
    if empty:
        raise ValueError(f"between({unit}={bounds!r}): a pair (first, last) with 0 <= first < last, or last None")
    return _BetweenFilter(unit, first, last)


def when(predicate: Callable[[Run], object]) -> Filter:
    """Due when ``predicate(run)`` is true.

    Raises:
        TypeError: ``predicate`` cannot be called.
    """
    if not callable(predicate):
        raise TypeError(f"when({predicate!r}): a function of the run")
    return _WhenFilter(predicate)


def _one_unit(who: str, units: dict[str, Any], unknown: dict[str, Any]) -> tuple[str, Any]:
    """The one unit that was given, and its value."""
    for name in unknown:
        near = difflib.get_close_matches(name, list(units), n=1, cutoff=0.5)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise TypeError(f"{who}({name}=...): there is no such unit.{hint} There are {', '.join(map(repr, units))}.")
    given = [(name, value) for name, value in units.items() if value is not None]
    if len(given) != 1:
        what = " and ".join(name for name, _ in given) or "nothing"
        raise TypeError(f"{who}() takes one unit of {', '.join(map(repr, units))}, and was given {what}")
    return given[0]
