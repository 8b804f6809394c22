"""Rules of an adapter: its events, their order, their numbers and their logs."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from ..callback import Callback
from ..events import EVENTS
from ..run import Run
from .adapter_rules_tools import (
    HISTORY,
    ONE,
    PLAIN,
    Factory,
    Rules,
    Seen,
    Weights,
    changed,
    differ,
    first_of,
    like,
    reference,
    see,
)
from .bench import Bench, Epoch
from .doubles import Do
from .trace import Trace

RULES = Rules("events")

MIXED: Sequence[Epoch] = ({"loss": 1.0, "val_loss": 0.5}, {"loss": 2.0}, {"loss": 0.25, "val_loss": 4.0})


@RULES.add("events-in-order", "A run fires every event in the order of the reference loop.")
def _events_in_order(factory: Factory) -> str | None:
    bench = factory()
    return differ("a run of two epochs with validation", reference(bench).outline, see(bench).outline)


@RULES.add("no-validation", "An epoch without a validation fires no test event.")
def _no_validation(factory: Factory) -> str | None:
    bench = factory()
    return first_of(
        differ("two epochs without validation", reference(bench, PLAIN).outline, see(bench, PLAIN).outline),
        differ(
            "three epochs, the second without validation", reference(bench, MIXED).outline, see(bench, MIXED).outline
        ),
    )


@RULES.add("epochs-only", "Callbacks that hear epochs only see the same epochs, logs and counts as others.")
def _epochs_only(factory: Factory) -> str | None:
    def watched(bench: Bench) -> tuple[str, list[Any]]:
        counts: list[Any] = []
        note = Do("epoch_end", lambda run: counts.append((run.step, run.epochs_done, run.logs["loss"])), nth=None)
        trace = Trace(batches=False)
        see(bench, HISTORY, note, trace=trace)
        return trace.outline(), counts

    bench = factory()
    expected, came = watched(like(bench)), watched(bench)
    return first_of(
        differ("a run whose callbacks hear no batches", expected[0], came[0]),
        differ("(run.step, run.epochs_done, loss) at each epoch's end", expected[1], came[1]),
    )


@RULES.add("batch-numbers", "run.epoch and run.batch count from 0, a batch within its epoch or validation.")
def _batch_numbers(factory: Factory) -> str | None:
    def numbers(run: Run) -> tuple[int, int]:
        return run.epoch, run.batch

    events = ("train_batch_begin", "train_batch_end", "test_batch_begin", "test_batch_end")
    return _at_each("(run.epoch, run.batch)", factory, events, numbers)


@RULES.add("counts", "run.step counts a batch at its end, run.epochs_done an epoch at its end, each once.")
def _counts(factory: Factory) -> str | None:
    return _at_each("(run.step, run.epochs_done)", factory, _TRAINING, lambda run: (run.step, run.epochs_done))


@RULES.add("totals", "run.max_epochs is the total that was asked for, run.steps_per_epoch that of batches, or None.")
def _totals(factory: Factory) -> str | None:
    seen: list[Any] = []
    bench = factory()
    see(bench, HISTORY, Do("epoch_end", lambda run: seen.append((run.max_epochs, run.steps_per_epoch))))
    return first_of(
        differ("run.max_epochs in a run of two epochs", 2, seen[0][0]),
        None if seen[0][1] is None else differ("run.steps_per_epoch", bench.batches, seen[0][1]),
    )


@RULES.add("phase", "run.phase is 'train' in a training batch, 'test' in a validation, None between them.")
def _phase(factory: Factory) -> str | None:
    events = ("train_begin", "train_batch_begin", "train_batch_end", "test_begin", "test_batch_end", "train_end")
    return _at_each("run.phase", factory, events, lambda run: run.phase)


@RULES.add("running-means", "At a batch's end logs hold the running means of this epoch so far, and of no other.")
def _running_means(factory: Factory) -> str | None:
    return _at_each("logs['loss']", factory, ("train_batch_end", "test_batch_end"), lambda run: run.logs.get("loss"))


@RULES.add("epoch-logs", "An epoch's end has the epoch's means, and the metrics of its validation as val_<name>.")
def _epoch_logs(factory: Factory) -> str | None:
    return _at_each("(loss, val_loss)", factory, ("epoch_end",), _losses)


@RULES.add("nothing-stale", "What stands in the logs of an epoch's end was made in that epoch.")
def _nothing_stale(factory: Factory) -> str | None:
    return _at_each("(loss, val_loss)", factory, ("epoch_end",), _losses, MIXED)


@RULES.add("test-logs", "A validation ends with its own means, under names without a prefix.")
def _test_logs(factory: Factory) -> str | None:
    def logs(run: Run) -> Any:
        return run.logs.get("loss"), "val_loss" in run.logs

    return _at_each("(loss, whether there is a val_loss)", factory, ("test_end",), logs)


@RULES.add("history", "run.history has a record of each finished epoch, with the logs that it ended with.")
def _history(factory: Factory) -> str | None:
    def records(seen: Seen) -> list[Any]:
        kept = [] if seen.run is None else seen.run.history
        return [(one.epoch, one.logs.get("loss"), one.logs.get("val_loss")) for one in kept]

    bench = factory()
    expected, came = records(reference(bench, MIXED)), records(see(bench, MIXED))
    return differ("(epoch, loss, val_loss) of each record", expected, came)


@RULES.add("logs-written", "What a callback writes into the logs of an epoch's end, later ones and the history see.")
def _logs_written(factory: Factory) -> str | None:
    def write(run: Run) -> None:
        run.logs["extra"] = 8.0 + run.epoch

    seen: list[Any] = []
    read = Do("epoch_end", lambda run: seen.append(run.logs.get("extra")), nth=None)
    run = see(factory(), HISTORY, Do("epoch_end", write, nth=None), read).run
    kept = [] if run is None else [record.logs.get("extra") for record in run.history]
    return first_of(
        differ("what the callback after it read", [8.0, 9.0], seen),
        differ("what the history kept", [8.0, 9.0], kept),
    )


@RULES.add("callback-order", "Callbacks are called in the order in which they were given.")
def _callback_order(factory: Factory) -> str | None:
    called: list[int] = []
    see(factory(), ONE, *(Do("epoch_end", lambda run, number=number: called.append(number)) for number in range(4)))  # type: ignore[misc]
    return differ("four callbacks in one epoch's end", [0, 1, 2, 3], called)


@RULES.add("evaluation-alone", "An evaluation alone is a run of its own, without the events of training.")
def _evaluation_alone(factory: Factory) -> str | None:
    def watched(bench: Bench) -> tuple[str, list[Any]] | None:
        trace, ended = Trace(), []
        note = Do("test_end", lambda run: ended.append((run.logs.get("loss"), run.step, run.phase)))
        return None if bench.evaluate({"loss": 0.5}, [note, trace]) is None else (trace.outline(), ended)

    bench = factory()
    expected, came = watched(like(bench)), watched(bench)
    if came is None or expected is None:
        return None
    return first_of(
        differ("an evaluation", expected[0], came[0]),
        differ("(loss, run.step, run.phase) at its end", expected[1], came[1]),
    )


@RULES.add("evaluation-keeps", "An evaluation changes no weight, and goes on from no state.")
def _evaluation_keeps(factory: Factory) -> str | None:
    bench, states, last = factory(), list[Any](), list[Any]()
    watched = see(bench, HISTORY, _Saves(states), Do("teardown", lambda run: last.append(_weights(run))))
    state = states[0] if watched.run is not None and watched.run.can("state") else None

    def tried(what: str, evaluate: Callable[[list[Callback]], Run | None], *offers: Callback) -> str | None:
        found: list[Any] = []
        read = [Do(event, lambda run: found.append((run.resumed, _weights(run)))) for event in ("setup", "test_end")]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what stays behind in a state that is not to be taken
            if evaluate([*offers, *read]) is None:
                return None
        for resumed, weights in found:
            if resumed:
                return f"{what}: run.resumed is True: make its driver without a state, and begin by carried(ask=False)"
            if names := changed(last[0], weights):
                return f"{what}: it changed {sorted(names)}"
        return None

    metrics = {"loss": 4.0}
    found = tried("an evaluation after a training", lambda callbacks: bench.evaluate(metrics, callbacks))
    if found or state is None:
        return found
    what = "an evaluation where a callback has an earlier state to offer"
    if not bench.owns_loop:  # a loop's owner may train in the same run
        found = tried(what, lambda callbacks: bench.evaluate(metrics, callbacks), _Offers(state))
    what = "an evaluation by a trainer that was wrapped with an earlier state"
    return found or tried(what, lambda callbacks: bench.evaluate_resumed(metrics, callbacks, copy.deepcopy(state)))


@RULES.add("prediction-alone", "A prediction alone is a run of its own; the ends of its batches have the outputs.")
def _prediction_alone(factory: Factory) -> str | None:
    def watched(bench: Bench) -> tuple[str, int] | None:
        trace = Trace()
        if bench.predict([trace]) is None:
            return None
        ends = [arguments["outputs"] for name, arguments in trace.events if name == "predict_batch_end"]
        return trace.outline(), sum(outputs is not None for outputs in ends)

    bench = factory()
    expected, came = watched(like(bench)), watched(bench)
    if came is None or expected is None:
        return None
    return first_of(
        differ("a prediction", expected[0], came[0]),
        differ("batches that ended with outputs", expected[1], came[1]),
    )


class _Saves(Do):
    """Keeps the state at the end of the first epoch."""

    phase = "save"

    def __init__(self, states: list[Any]) -> None:
        super().__init__("epoch_end", lambda run: states.append(run.state_dict()))


class _Offers(Callback):
    """Would have a training go on from ``state``."""

    def __init__(self, state: Any) -> None:
        self.state = state

    def resume_from(self, run: Run) -> Any:
        return copy.deepcopy(self.state)


def _weights(run: Run) -> Weights:
    return run.get_weights() if run.can("weights") else {}


_TRAINING = tuple(name for name in EVENTS if name.startswith(("train_", "epoch_")))


def _losses(run: Run) -> Any:
    return run.logs.get("loss"), run.logs.get("val_loss")


def _at_each(
    what: str,
    factory: Factory,
    events: Sequence[str],
    action: Callable[[Run], Any],
    history: Sequence[Epoch] = HISTORY,
) -> str | None:
    """Whether ``action(run)`` gives at each of ``events`` what it gives under the reference loop."""

    def noted(bench: Bench) -> dict[str, list[Any]]:
        seen: dict[str, list[Any]] = {event: [] for event in events}
        noters = [
            Do(event, lambda run, kept=kept: kept.append(action(run)), nth=None)  # type: ignore[misc]
            for event, kept in seen.items()
        ]
        see(bench, history, *noters)
        return seen

    bench = factory()
    expected, came = noted(like(bench)), noted(bench)
    return first_of(*(differ(f"{what} at each {event}", expected[event], came[event]) for event in events))
