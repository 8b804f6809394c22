"""Rules of an adapter: the bench that it is tried on, and what it leaves behind."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any, Final

from ..callback import Callback
from ..callbacks import EarlyStopping
from ..run import Run
from .adapter_rules_tools import HISTORY, ONE, Factory, Rules, arrays_in, changed, differ, first_of, reference, see
from .bench import Bench
from .doubles import Do, RaiseAt, StopAt
from .trace import Trace

RULES = Rules("bench")
RUNS = Rules("bench")
"""Of several runs; one alone is to be right first."""

_HELD: Final = 3
"""Runs in turn: a bench, or a trainer, may keep the last one."""


@RULES.add("bench-is-new", "The factory makes a new bench at each call.")
def _bench_is_new(factory: Factory) -> str | None:
    first, second = factory(), factory()
    if not isinstance(first, Bench):
        return f"the factory gave {first!r}, which is no trainhooks.testing.Bench"
    return (
        "it gave the same object twice: what one rule does to a model, the next would see" if first is second else None
    )


@RULES.add("bench-returns", "Bench.train returns the run that its callbacks met, over; evaluate and predict as well.")
def _bench_returns(factory: Factory) -> str | None:
    bench = factory()
    seen = see(bench, ONE)
    if not isinstance(seen.run, Run):
        return f"train returned {seen.run!r}: return the trainhooks.Run, as a LoopRun's .run or a Driver's .run"
    if seen.met != [seen.run]:
        return f"train returned {seen.run!r}, and its callbacks met {seen.met!r} in setup"
    for name, run in (("evaluate", bench.evaluate({"loss": 1.0}, [])), ("predict", bench.predict([]))):
        if run is not None and not isinstance(run, Run):
            return f"{name} returned {run!r}: return the trainhooks.Run, or None where it cannot"
    found = differ("run.outcome after train", "completed", seen.run.outcome)
    if found and seen.run.outcome == "stopped":
        total = f"run.max_epochs is {seen.run.max_epochs}, run.epochs_done {seen.run.epochs_done}"
        found += f"\n  ({total}: was driver.open('train', epochs=total) given the total, resumed or not?)"
    return found


@RULES.add("bench-reports", "Each batch reports the metrics of its epoch, and a validation those with val_.")
def _bench_reports(factory: Factory) -> str | None:
    history = [{"loss": 4.0, "val_loss": 0.125}, {"loss": float("nan")}, {"loss": 0.5, "val_loss": float("inf")}]
    run = see(factory(), history).run
    came = [] if run is None else [{name: one.logs.get(name) for name in ("loss", "val_loss")} for one in run.history]
    expected = [{name: epoch.get(name) for name in ("loss", "val_loss")} for epoch in history]
    return differ("what run.history says of each epoch", expected, came)


@RULES.add("bench-trains", "Each training batch changes the weights, whatever loss it reports; a validation does not.")
def _bench_trains(factory: Factory) -> str | None:
    kept: list[tuple[str, Any]] = []

    def keep(name: str) -> Do:
        return Do(name, lambda run: kept.append((name, _trained(run))), nth=None)

    names = ("train_batch_begin", "train_batch_end", "test_begin", "test_end")
    see(factory(), HISTORY, *map(keep, names))
    for (_, before), (end, after) in zip(kept[::2], kept[1::2], strict=False):
        if before is None or after is None:
            return None
        if end == "train_batch_end" and not changed(before, after):
            return f"a training batch changed no weight. There are {sorted(before)}"
        if end == "test_end" and changed(before, after):
            return f"a validation changed {sorted(changed(before, after))}"
    return None


def _trained(run: Run) -> Any:
    """The weights; of a trainer that has none to show the arrays of its state."""
    if run.can("weights"):
        return run.get_weights()
    return arrays_in(run.trainable.state_dict()) if run.can("state") else None


@RULES.add("callbacks-freed", "After a run its callbacks are attached to nothing, however it ended.")
def _callbacks_freed(factory: Factory) -> str | None:
    bench = factory()
    for what, meddler in _WAYS.items():
        callback = Do("epoch_end", id)
        see(bench, HISTORY, callback, *meddler(), raises=True)
        if callback.run is not None:
            return f"after {what}, callback.run is still {callback.run!r}"
    return None


@RULES.add("nothing-left", "After a run nothing of it is left on the model or the optimizer, however it ended.")
def _nothing_left(factory: Factory) -> str | None:
    bench = factory()
    for what, meddler in _WAYS.items():
        see(bench, HISTORY, *meddler(), raises=True, trace=Trace(optimizer_steps=False))
        if left := bench.left_on():
            return f"after {what}, bench.left_on() gives {left!r}"
    for what in ("a run that completed", "an exception in a callback"):
        runs = [_gone(bench, _WAYS[what]) for _ in range(_HELD)]
        gc.collect()
        if all(run() is not None for run in runs):
            return (
                f"after {what}, {_HELD} times, each of these runs is still held: a listener has stayed on the trainer"
            )
    return None


def _gone(bench: Bench, meddler: Callable[[], tuple[Callback, ...]]) -> weakref.ref[Run]:
    """A run that nothing need hold any longer."""
    met = see(bench, HISTORY, *meddler(), raises=True).met
    return weakref.ref(met[0])


@RULES.add("run-shows", "A run shows the name of its trainer and the model, and so does each callback.")
def _run_shows(factory: Factory) -> str | None:
    shown: list[tuple[str, bool, bool]] = []
    callback = Do("epoch_end", lambda run: shown.append((run.framework, run.model is None, callback.model is None)))
    see(factory(), ONE, callback)
    framework, *unknown = shown[0]
    if framework == "none" or not framework:
        return f"run.framework is {framework!r}: the Trainable has the name of its trainer in framework"
    return differ("whether run.model and callback.model are None", [False, False], unknown)


@RUNS.add("two-at-once", "Another model can be trained, or this one evaluated, inside a callback of a run.")
def _two_at_once(factory: Factory) -> str | None:
    outer, inner = factory(), factory()
    traces: list[str] = []
    train = Do("epoch_end", lambda run: traces.append(see(inner).outline))
    around = see(outer, HISTORY, train, Do("epoch_end", lambda run: outer.evaluate({"loss": 4.0}, []), nth=1))
    expected = reference(outer)
    return first_of(
        differ("the run inside", expected.outline, traces[0]),
        differ("the run around it", expected.outline, around.outline),
        differ(
            "(outcome, steps) of the run around it",
            ("completed", 2 * outer.batches),
            (around.outcome, around.run and around.run.step),
        ),
    )


@RUNS.add("second-run", "The same callbacks serve two runs in turn; the second is as the first.")
def _second_run(factory: Factory) -> str | None:
    bench, stopper = factory(), EarlyStopping("val_loss", patience=2)
    worse = [{"loss": 1.0, "val_loss": float(epoch)} for epoch in range(4)]
    expected = reference(bench, worse, EarlyStopping("val_loss", patience=2)).outline
    return first_of(
        differ("the first run of an EarlyStopping", expected, see(bench, worse, stopper).outline),
        differ("its second run", expected, see(bench, worse, stopper).outline),
    )


_WAYS: dict[str, Callable[[], tuple[Callback, ...]]] = {
    "a run that completed": lambda: (),
    "a decision to stop": lambda: (StopAt("train_batch_end"),),
    "a pause": lambda: (StopAt("train_batch_end", kind="pause"),),
    "an exception in a callback": lambda: (RaiseAt("train_batch_end"),),
    "an exception in setup": lambda: (RaiseAt("setup"),),
    "an exception in teardown": lambda: (RaiseAt("teardown"),),
}
