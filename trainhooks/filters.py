"""When a hook is due: ``every``, ``once``, ``between`` and ``when``, for methods and for plain functions alike.

A filter is a value. As a decorator it marks a method of a callback; as an argument it goes with ``run.on``::

    @every(steps=100)
    def on_train_batch_end(self, run): ...

    @run.on("train_batch_end", every(steps=100))
    def show(run): ...

Several on one hook must all be due. None of them is used up before the hook is called: with
``when(lambda run: run.epoch > 4)`` beside it, ``every(steps=100)`` and ``once(step=100)`` stay due until that holds.
So their order changes nothing but which is asked first; a costly predicate goes last.

What a filter must remember lives in its gate, of which each registration makes one, so that one callback class may
serve many runs.
"""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

from . import gates
from .checks import whole

if TYPE_CHECKING:
    from .run import Run

Hook = TypeVar("Hook", bound=Callable[..., Any])

MARK: Final = "__trainhooks_filters__"

_COUNTS: Final = {"steps": "step", "optimizer_steps": "optimizer_step", "epochs": "epochs_done"}


class Filter:
    """Base of the filters. Calling one with a function marks that function and returns it."""

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((type(self), *vars(self).values()))

    def __call__(self, hook: Hook) -> Hook:
        if isinstance(hook, type) or not (callable(hook) or isinstance(hook, classmethod)):
            raise TypeError(f"{self}: it decorates a hook, and {hook!r} is none")
        marked = hook.__func__ if isinstance(hook, (staticmethod, classmethod)) else hook
        try:
            setattr(marked, MARK, (self, *getattr(marked, MARK, ())))
        except AttributeError:  # a builtin, or a bound method, whose function is not this hook's alone
            raise TypeError(f"{self}: {hook!r} cannot be marked. Register it with on(event, {self}).") from None
        return hook

    @property
    def needs(self) -> frozenset[str]:
        """The capabilities it relies on; ``"run"`` stands for a run's own counts."""
        return frozenset()

    @property
    def kind(self) -> str:
        """What its gate's state means: a gate takes back the state of its own kind only."""
        raise NotImplementedError

    def gate(self) -> gates.Gate:
        """A fresh gate, for one registration."""
        raise NotImplementedError


class _Every(Filter):
    def __init__(self, unit: str, n: float) -> None:
        self.unit, self.n = unit, n

    def __repr__(self) -> str:
        return f"every({self.unit}={self.n})"

    @property
    def kind(self) -> str:
        return f"every {self.unit}"

    @property
    def needs(self) -> frozenset[str]:
        if self.unit == "optimizer_steps":
            return frozenset({"run", "optimizer_step"})
        return frozenset() if self.unit == "seconds" else frozenset({"run"})

    def gate(self) -> gates.Gate:
        if self.unit == "seconds":
            return gates.EverySeconds(self.n)
        return gates.EveryCount(_COUNTS[self.unit], int(self.n))


class _OnceFilter(Filter):
    def __init__(self, unit: str, at: int) -> None:
        self.unit, self.at = unit, at

    def __repr__(self) -> str:
        return f"once({self.unit}={self.at})" if self.unit else "once()"

    @property
    def kind(self) -> str:
        return f"once {self.unit}"

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"run"}) if self.unit else frozenset()

    def gate(self) -> gates.Gate:
        return gates.Once(self.unit, self.at)


class _BetweenFilter(Filter):
    def __init__(self, unit: str, first: int, last: int | None) -> None:
        self.unit, self.first, self.last = unit, first, last

    def __repr__(self) -> str:
        return f"between({self.unit}=({self.first}, {self.last}))"

    @property
    def kind(self) -> str:
        return f"between {self.unit}"

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"run"})

    def gate(self) -> gates.Gate:
        return gates.Between({"steps": "step", "epochs": "epoch"}[self.unit], self.first, self.last)


class _WhenFilter(Filter):
    def __init__(self, predicate: Callable[[Run], object]) -> None:
        self.predicate = predicate

    def __repr__(self) -> str:
        return f"when({getattr(self.predicate, '__qualname__', self.predicate)})"

    @property
    def kind(self) -> str:
        return "when"

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"run"})

    def gate(self) -> gates.Gate:
        return gates.When(self.predicate)


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
        if isinstance(n, bool) or not (isinstance(n, Real) and 0 < float(n) < float("inf")):
            raise ValueError(f"every(seconds={n!r}): a number of seconds above 0")
        return _Every(unit, float(n))
    count = whole(n)
    if count is None or count < 1:
        raise ValueError(f"every({unit}={n!r}): a whole number, at least 1")
    return _Every(unit, count)


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
    count = whole(at)
    if count is None or count < 0:
        raise ValueError(f"once({unit}={at!r}): a whole number, at least 0")
    return _OnceFilter(unit, count)


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
        low, high = bounds
    except (TypeError, ValueError):
        low = high = "no pair"
    first, last = whole(low), whole(high)
    if first is None or first < 0 or (high is not None and (last is None or last <= first)):
        raise ValueError(
            f"between({unit}={bounds!r}): a pair (first, last) of whole numbers with 0 <= first < last, or last None"
        )
    return _BetweenFilter(unit, first, last)


def when(predicate: Callable[[Run], object]) -> Filter:
    """Due when ``predicate(run)`` is true.

    Raises:
        TypeError: ``predicate`` cannot be called.
    """
    if not callable(predicate):
        raise TypeError(f"when({predicate!r}): a function of the run")
    code = getattr(predicate, "__code__", None)
    first = code.co_varnames[:1] if code is not None else ()
    if first and first[0] in ("logs", "epoch", "batch"):  # a hook takes arguments by name, a predicate does not
        raise TypeError(
            f"when(): the predicate is given the run alone, and not {first[0]!r}. "
            f"Write when(lambda run: run.{first[0]} ...)"
        )
    return _WhenFilter(predicate)


def _one_unit(who: str, units: dict[str, Any], unknown: dict[str, Any]) -> tuple[str, Any]:
    """The one unit that was given, and its value."""
    for name in unknown:
        import difflib  # here, so that `import trainhooks` stays cheap

        near = difflib.get_close_matches(name, list(units), n=1, cutoff=0.5)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise TypeError(f"{who}({name}=...): there is no such unit.{hint} There are {', '.join(map(repr, units))}.")
    given = [(name, value) for name, value in units.items() if value is not None]
    if len(given) != 1:
        what = " and ".join(name for name, _ in given) or "nothing"
        raise TypeError(f"{who}() takes one unit of {', '.join(map(repr, units))}, and was given {what}")
    return given[0]
