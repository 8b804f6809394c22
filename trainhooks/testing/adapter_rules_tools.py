"""What the rules of an adapter are tried with: watched runs, and how two of them differ."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, Final

import numpy as np

from ..callback import Callback
from ..events import EVENTS, SCOPES
from ..run import Run
from .bench import BATCHES, Bench, Epoch
from .doubles import Do
from .reference import ReferenceBench
from .rules import Rule
from .trace import Trace

Factory = Callable[[], Bench]
Check = Callable[[Factory], "str | None"]
Weights = Mapping[str, np.ndarray[Any, Any]]

PAGE: Final = "docs/write-an-adapter.md"
HISTORY: Final[tuple[Epoch, ...]] = ({"loss": 1.0, "val_loss": 0.5}, {"loss": 2.0, "val_loss": 0.25})
"""Two epochs with a validation each, whose metrics differ and are exact in float32."""
PLAIN: Final[Sequence[Epoch]] = ({"loss": 1.0}, {"loss": 2.0})
"""Two epochs without a validation."""
ONE: Final[Sequence[Epoch]] = ({"loss": 1.0, "val_loss": 0.5},)
FIRED: Final = tuple(
    name for name in EVENTS if "predict" not in name and name not in ("optimizer_step", "checkpoint", "exception")
)
"""The events of a training, without those that only some trainers show."""


class Rules(list[Rule[Factory]]):
    """The rules of one module.

    Args:
        anchor: the part of the page where they are explained, as ``"events"``.
    """

    def __init__(self, anchor: str) -> None:
        super().__init__()
        self.anchor = anchor

    def add(self, name: str, text: str) -> Callable[[Check], Check]:
        """Make a rule of the function below it."""

        def made(check: Check) -> Check:
            self.append(Rule(name, f"{PAGE}#{self.anchor}", text, check))
            return check

        return made


@dataclass
class Seen:
    """What was seen of one run.

    Attributes:
        trace: its events.
        run: what the bench gave back; None where it raised.
        outcome: the run's, as it was in the teardown.
        error: what came out of the training.
    """

    trace: Trace
    run: Run | None = None
    outcome: str | None = None
    error: BaseException | None = None
    met: list[Run] = field(default_factory=list)
    """The runs that the callbacks met, each once."""

    @property
    def outline(self) -> str:
        return self.of()

    def of(self, *, stop: bool = True) -> str:
        """Its outline, without the batches that a trainer began and never ended, or without ``stop``."""
        trace = Trace()
        kept = ended_batches(self.trace.events)
        trace.events = [one for one in kept if stop or one[0] != "stop"]
        return trace.outline()


class Witness(Callback):
    """Writes down which run it meets, and how that ends."""

    phase = "save"

    def __init__(self, seen: Seen) -> None:
        self.seen = seen

    def on_setup(self, run: Run) -> None:
        self.seen.met.append(run)

    def on_teardown(self, run: Run) -> None:
        self.seen.outcome = run.outcome

    def settings_dict(self) -> dict[str, Any]:
        return {}


def see(
    bench: Bench,
    history: Sequence[Epoch] = HISTORY,
    *callbacks: Callback,
    resume: Any = None,
    raises: bool = False,
    trace: Trace | None = None,
) -> Seen:
    """Train on ``bench``, watched.

    Args:
        bench: what trains.
        history: of ``Bench.train``.
        callbacks: attached before what watches.
        resume: of ``Bench.train``.
        raises: whether something is expected to come out; it is kept in ``error``.
        trace: what records the events.
    """
    trace = Trace() if trace is None else trace
    seen = Seen(trace)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a second exception, of a metric that is not there: it is as it should be
        try:
            seen.run = bench.train(history, [*callbacks, trace, Witness(seen)], resume=resume)
        except BaseException as error:  # kept for the rule to look at
            if not raises:
                raise
            seen.error = error
    return seen


def like(bench: Bench) -> ReferenceBench:
    """The reference loop, with as many batches in an epoch as ``bench`` has."""
    made: type[ReferenceBench] = ReferenceBench
    if bench.batches != BATCHES:
        made = type("Like", (ReferenceBench,), {"batches": bench.batches})
    return made()


def reference(
    bench: Bench,
    history: Sequence[Epoch] = HISTORY,
    *callbacks: Callback,
    resume: Any = None,
    raises: bool = False,
) -> Seen:
    """The same under the reference loop, with as many batches as ``bench`` has."""
    return see(like(bench), history, *callbacks, resume=resume, raises=raises)


def four_batches(bench: Bench) -> Sequence[Epoch]:
    """``HISTORY``, as often as it takes to have four batches."""
    return HISTORY * max(1, 4 // (2 * bench.batches))


def ask(bench: Bench, action: Callable[[Run], Any], event: str = "epoch_end", history: Sequence[Epoch] = ONE) -> Any:
    """What ``action(run)`` gives at the first ``event`` of a training."""
    return ask_each(bench, action, event, history)[0]


def ask_each(
    bench: Bench, action: Callable[[Run], Any], event: str = "epoch_end", history: Sequence[Epoch] = HISTORY
) -> list[Any]:
    """What ``action(run)`` gives at each ``event`` of a training."""
    answers: list[Any] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        bench.train(history, [Do(event, lambda run: answers.append(action(run)), nth=None)])
    if not answers:
        raise LookupError(f"no {event} came")
    return answers


def ended_batches(events: Sequence[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """The events without the begin of a batch that was followed by the next one, or by its scope's end."""
    kept: list[tuple[str, Any]] = []
    for place, one in enumerate(events):
        kind = one[0].removesuffix("_batch_begin")
        if one[0] == f"{kind}_batch_begin":
            around = SCOPES[SCOPES[f"{kind}_batch"].parents[0]].end
            next_ones = (name for name, _ in events[place + 1 :] if name in (one[0], f"{kind}_batch_end", around))
            if next(next_ones, None) in (one[0], around):
                continue
        kept.append(one)
    return kept


def differ(what: str, expected: object, came: object) -> str | None:
    """How two outlines, or two values, differ: one under the other, and a mark where it begins."""
    first, second = str(expected) or "nothing", str(came) or "nothing"
    if first == second:
        return None
    alike = (a == b for a, b in zip(first, second, strict=False))
    same = sum(takewhile(bool, alike))
    return f"{what}:\n  expected {first}\n  came     {second}\n           {' ' * same}^"


def firing(event: str, nth: int) -> str:
    """One firing of an event, in words."""
    return f"the {('first', 'second', 'third', 'fourth')[nth]} {event}"


def arrays_in(state: Any, path: str = "") -> dict[str, Any]:
    """The arrays in a state, by their place in it."""
    if isinstance(state, Mapping):
        return {name: one for key, value in state.items() for name, one in arrays_in(value, f"{path}/{key}").items()}
    if isinstance(state, (list, tuple)):
        return {name: one for key, value in enumerate(state) for name, one in arrays_in(value, f"{path}/{key}").items()}
    return {path: state} if hasattr(state, "__array__") and np.shape(state) else {}


def same(a: Weights, b: Weights) -> bool:
    """Whether two dictionaries of weights hold the same, but for rounding."""
    return list(a) == list(b) and all(
        np.shape(a[name]) == np.shape(b[name])
        and np.allclose(np.asarray(a[name], np.float64), np.asarray(b[name], np.float64), 1e-5, 1e-7, equal_nan=True)
        for name in a
    )


def changed(before: Weights, after: Weights) -> set[str]:
    """The names of the weights that are not the same."""
    return {name for name in before if name not in after or not np.array_equal(before[name], after[name])}


def first_of(*found: str | None) -> str | None:
    """The first thing that was found, if there is one."""
    return next((one for one in found if one is not None), None)
