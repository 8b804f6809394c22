"""Rules of an adapter: the learning rate, and the optimizer's steps."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from ..callback import Callback
from ..run import Run
from .adapter_rules_tools import FIRED, HISTORY, PLAIN, Factory, Rules, ask, changed, differ, first_of, reference, see
from .bench import Bench
from .doubles import Do
from .trace import Trace

RULES = Rules("learning-rate")
STEPS = Rules("optimizer-steps")

_AFTER_A_BATCH = (
    ("train_batch_begin", 1),
    ("train_batch_end", 0),
    ("test_end", 0),
    ("epoch_end", 0),
    ("epoch_begin", 1),
)
_SETTABLE = tuple(event for event in FIRED if event not in ("setup", "stop", "train_end", "teardown"))


@RULES.add("lr-set", "The learning rate that run.lr is set to is the one that is read back.")
def _lr_set(factory: Factory) -> str | None:
    def put(run: Run) -> str | None:
        if not run.can("lr"):
            return None
        for value in (0.25, 0.0, 0.5):
            run.lr = value
            if found := differ(f"run.lr after run.lr = {value}", repr(value), repr(run.lr)):
                return found
        return differ("the first of run.lrs", 0.5, run.lrs[0])

    return _asked(factory, put)


@RULES.add("lr-lasts", "A learning rate that is set in any event is there in the next ones.")
def _lr_lasts(factory: Factory) -> str | None:
    bench = factory()
    for event in _SETTABLE[::3] if bench.sparing else _SETTABLE:
        seen: list[Any] = []

        def put(run: Run) -> None:
            if run.can("lr"):
                run.lr = 0.03125

        def read(run: Run, seen: list[Any] = seen) -> None:
            seen.append(run.lr if run.can("read_lr") else None)

        see(bench, HISTORY, Do("train_begin", _half), Do(event, put), Do("train_end", read))
        if seen[:1] != [None] and (found := differ(f"run.lr at the end, set to 0.03125 in {event}", [0.03125], seen)):
            return found
    return None


@RULES.add("lr-effect", "The next batch is trained with the learning rate that was set.")
def _lr_effect(factory: Factory) -> str | None:
    bench = factory()
    usual = _moved(bench)
    if not usual:
        return None
    names = set.intersection(*usual)
    for event, nth in (*_AFTER_A_BATCH, (None, 0)):
        doers = [] if event is None else [Do(event, _put_back, nth)]
        # a new model for each: what is left of a momentum that has the rate in it, as Keras's, moves the weights too
        moved = _moved(factory(), Do("train_begin", _put_zero), *doers)
        until = len(moved) if event is None else 1 if "batch" in event else bench.batches
        for step, came in enumerate(moved):
            if step < until and names <= came:
                return f"run.lr = 0.0 in train_begin: batch {step} of the run changed the weights as before"
            if step >= until and came <= set.union(*moved[:until]):
                return f"run.lr = 0.0 in train_begin, and 0.5 in {event}: batch {step} of the run changed nothing more"
    return None


@RULES.add("lr-groups", "run.lrs has a value for each parameter group; run.lr scales all in their first proportions.")
def _lr_groups(factory: Factory) -> str | None:
    def put(run: Run) -> str | None:
        if not run.can("lr"):
            return None
        values = [0.5 / 2**place for place in range(len(run.lrs))]
        run.lrs = values
        if found := differ("run.lrs", values, run.lrs):
            return found
        run.lr = 0.25
        return differ("run.lrs once run.lr was set to half", [value / 2 for value in values], run.lrs)

    return _asked(factory, put)


@RULES.add("lr-refused", "More or fewer values than there are groups are a ValueError, and nothing is written.")
def _lr_refused(factory: Factory) -> str | None:
    def put(run: Run) -> str | None:
        if not run.can("lr"):
            return None
        before = run.lrs
        for values in ([0.25] * (len(before) + 1), []):
            try:
                run.lrs = values
            except ValueError:
                pass
            else:
                return f"run.lrs = {values}, of {len(before)} groups, raised nothing"
            if found := differ(f"run.lrs after {values} was refused", before, run.lrs):
                return found
        return None

    return _asked(factory, put)


@STEPS.add("steps-in-order", "Where it is seen, optimizer_step fires at each update, inside the batch that made it.")
def _steps_in_order(factory: Factory) -> str | None:
    bench = factory()
    if not ask(bench, _sees_steps):
        return None
    expected, seen = Trace(optimizer_steps=True), Trace(optimizer_steps=True)
    counts: list[Any] = []
    reference(bench, HISTORY, expected)
    see(bench, HISTORY, seen, Do("train_end", lambda run: counts.append((run.step, run.optimizer_step))))
    return first_of(
        differ("a run of two epochs", expected.outline(), seen.outline()),
        differ("(run.step, run.optimizer_step) at its end", [(2 * bench.batches,) * 2], counts),
    )


@STEPS.add("steps-after-update", "optimizer_step fires after the weights have moved.")
def _steps_after_update(factory: Factory) -> str | None:
    bench = factory()
    kept: list[list[Any]] = [[], []]
    if not ask(bench, lambda run: _sees_steps(run) and run.can("weights")):
        return None
    read = [
        Do("train_batch_begin", lambda run: kept[0].append(run.get_weights()), nth=None),
        Do("optimizer_step", lambda run: kept[1].append(run.get_weights()), nth=None),
    ]
    see(bench, PLAIN, *read)
    for batch, (before, after) in enumerate(zip(*kept, strict=False)):
        if not changed(before, after):
            return f"in optimizer_step {batch + 1} the weights were still those with which its batch began"
    return None


@STEPS.add("steps-unwatched", "What watch_optimizer() returns ends the watching.")
def _steps_unwatched(factory: Factory) -> str | None:
    ends: list[Callable[[], None]] = []
    calls: list[int] = []

    def watch(run: Run) -> None:
        if run.can("optimizer_step"):
            ends.append(run.trainable.watch_optimizer(lambda: calls.append(run.step)))

    bench = factory()
    see(bench, HISTORY, Do("train_begin", watch), Do("epoch_end", lambda run: [end() for end in ends]))
    return (
        differ("run.step at each call, ended after the first of two epochs", [*range(bench.batches)], calls)
        if ends
        else None
    )


def _moved(bench: Bench, *callbacks: Callback) -> list[set[str]]:
    """The names of the weights that each batch of a run changes; empty where the trainer cannot say, or has no lr."""
    kept: list[Any] = []

    def keep(run: Run) -> None:
        if run.can("weights") and run.can("lr"):
            kept.append(run.get_weights())

    see(bench, HISTORY, Do("train_begin", keep), *callbacks, Do("train_batch_end", keep, None))
    return [changed(before, after) for before, after in pairwise(kept)]


def _put_zero(run: Run) -> None:
    run.lr = 0.0


def _put_back(run: Run) -> None:
    run.lr = 0.5


def _sees_steps(run: Run) -> bool:
    return run.can("optimizer_step")


def _half(run: Run) -> None:
    if run.can("lr"):
        run.lr = 0.5


def _asked(factory: Factory, action: Any) -> str | None:
    found: str | None = ask(factory(), action)
    return found
