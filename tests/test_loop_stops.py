"""Stops of all kinds, asked for at every event, from a thread and from a signal handler."""

from __future__ import annotations

import pytest
from loops import BOTH, EPOCH0, TEST, Saver, tell_everything

from trainhooks import Callback, LoopRun, Run
from trainhooks.progress import StopKind
from trainhooks.testing import Do, StopAt, Trace, batches


@pytest.mark.parametrize("kind", ["decision", "fault"])
@pytest.mark.parametrize(
    "event, outline",
    {
        "setup": "setup stop train[] predict[ batch0[] ] teardown",
        "train_begin": "setup train[ stop ] predict[ batch0[] ] teardown",
        "epoch_begin": f"setup train[ epoch0[ stop {TEST} ] ] predict[ batch0[] ] teardown",
        "train_batch_begin": f"setup train[ epoch0[ batch0[ stop ] {TEST} ] ] predict[ batch0[] ] teardown",
        "train_batch_end": f"setup train[ epoch0[ batch0[] stop {TEST} ] ] predict[ batch0[] ] teardown",
        "test_begin": "setup train[ epoch0[ batch0[] batch1[] test[ stop batch0[] batch1[] ] ] ] "
        "predict[ batch0[] ] teardown",
        "test_batch_begin": "setup train[ epoch0[ batch0[] batch1[] test[ batch0[ stop ] batch1[] ] ] ] "
        "predict[ batch0[] ] teardown",
        "test_batch_end": "setup train[ epoch0[ batch0[] batch1[] test[ batch0[] stop batch1[] ] ] ] "
        "predict[ batch0[] ] teardown",
        "test_end": f"setup train[ epoch0[ batch0[] batch1[] {TEST} stop ] ] predict[ batch0[] ] teardown",
        "epoch_end": f"setup train[ {EPOCH0} stop ] predict[ batch0[] ] teardown",
        "train_end": f"{BOTH} stop predict[ batch0[] ] teardown",
        "predict_begin": f"{BOTH} predict[ stop batch0[] ] teardown",
        "predict_batch_begin": f"{BOTH} predict[ batch0[ stop ] ] teardown",
        "predict_batch_end": f"{BOTH} predict[ batch0[] stop ] teardown",
        "predict_end": f"{BOTH} predict[ batch0[] ] stop teardown",
        "teardown": f"{BOTH} predict[ batch0[] ] teardown",
    }.items(),
)
def test_a_decision_or_fault_ends_the_batches_and_then_the_epoch(event: str, outline: str, kind: StopKind) -> None:
    late = event in ("train_end", "teardown") or event.startswith("predict")
    assert tell_everything(StopAt(event, kind=kind), Saver()) == (outline, "completed" if late else "stopped")


@pytest.mark.parametrize(
    "event, outline",
    {
        "setup": "setup stop checkpoint(step0) teardown",
        "train_begin": "setup train[ stop checkpoint(step0) teardown",
        "epoch_begin": "setup train[ epoch0[ stop checkpoint(step0) teardown",
        "train_batch_begin": "setup train[ epoch0[ batch0[ stop ] checkpoint(step1) teardown",
        "train_batch_end": "setup train[ epoch0[ batch0[] stop checkpoint(step1) teardown",
        "test_begin": "setup train[ epoch0[ batch0[] batch1[] test[ stop checkpoint(step2) teardown",
        "test_batch_begin": "setup train[ epoch0[ batch0[] batch1[] test[ batch0[ stop ] checkpoint(step2) teardown",
        "test_batch_end": "setup train[ epoch0[ batch0[] batch1[] test[ batch0[] stop checkpoint(step2) teardown",
        "test_end": f"setup train[ epoch0[ batch0[] batch1[] {TEST} stop checkpoint(step2) teardown",
        "epoch_end": f"setup train[ {EPOCH0} stop checkpoint(step2) teardown",
        "train_end": f"{BOTH} stop checkpoint(step4) teardown",
        "predict_begin": f"{BOTH} predict[ stop checkpoint(step4) teardown",
        "predict_batch_begin": f"{BOTH} predict[ batch0[ stop ] checkpoint(step4) teardown",
        "predict_batch_end": f"{BOTH} predict[ batch0[] stop checkpoint(step4) teardown",
        "predict_end": f"{BOTH} predict[ batch0[] ] stop teardown",
        "teardown": f"{BOTH} predict[ batch0[] ] teardown",
    }.items(),
)
def test_a_pause_is_taken_at_the_next_boundary_and_nothing_follows(event: str, outline: str) -> None:
    too_late = event in ("predict_end", "teardown")
    assert tell_everything(StopAt(event, kind="pause"), Saver()) == (outline, "completed" if too_late else "paused")


def test_a_pause_at_the_end_of_the_last_epoch_puts_nothing_off() -> None:
    trace = Trace(batches=False)
    with LoopRun(callbacks=[StopAt("epoch_end", kind="pause"), Saver(), trace]) as run:
        list(run.epochs(1))
    assert (trace.outline(), run.outcome) == ("setup train[ epoch0[] stop ] teardown", "completed")


def test_a_pause_in_the_train_end_of_a_stopped_run_comes_too_late() -> None:
    trace = Trace(batches=False)
    with LoopRun(callbacks=[StopAt("epoch_begin"), StopAt("train_end", kind="pause"), Saver(), trace]) as run:
        for _epoch in run.epochs(2):
            pass
    assert (trace.outline(), run.outcome) == ("setup train[ epoch0[ stop ] ] teardown", "stopped")


def test_a_pause_without_savers_is_taken_all_the_same() -> None:
    assert tell_everything(StopAt(step=3, kind="pause")) == (
        f"setup train[ {EPOCH0} epoch1[ batch0[] stop teardown",
        "paused",
    )


def test_an_evaluation_is_paused_too() -> None:
    trace = Trace()
    with LoopRun(callbacks=[StopAt("test_batch_end", kind="pause"), Saver(), trace]) as run:
        assert list(run.test(batches(3))) == [0]
    assert (trace.outline(), run.outcome) == ("setup test[ batch0[] stop checkpoint(step0) teardown", "paused")


@pytest.mark.parametrize("event", ["setup", "test_begin"])
def test_no_batch_is_drawn_after_a_pause_at_the_begin_of_an_evaluation(event: str) -> None:
    with LoopRun(callbacks=[StopAt(event, kind="pause")]) as run:
        assert list(run.test(batches(3))) == []


def test_a_stop_in_the_last_epoch_leaves_the_run_completed() -> None:
    outline, outcome = tell_everything(StopAt("epoch_end", 1))
    assert (outline, outcome) == (f"{BOTH[:-2]} stop ] predict[ batch0[] ] teardown", "completed")


# What a stop says


def test_a_fault_replaces_a_decision_and_a_second_decision_does_not() -> None:
    asked = []

    def look(run: Run) -> None:
        asked.append((run.stop_kind, run.stop_reason, run.stop_source))

    stops = [
        StopAt("epoch_begin", reason="first"),
        Do("epoch_begin", look),
        StopAt("epoch_begin", reason="second"),
        Do("epoch_begin", look),
        Do("epoch_begin", lambda run: run.stop("nan", kind="fault", source="me")),
        Do("epoch_begin", look),
        Do("epoch_begin", lambda run: run.stop("later")),
        Do("epoch_begin", look),
    ]
    tell_everything(*stops)
    assert asked == [("decision", "first", "StopAt")] * 2 + [("fault", "nan", "me")] * 2


def test_an_unknown_kind_is_refused() -> None:
    with LoopRun() as run, pytest.raises(ValueError) as refused:
        run.stop("x", kind="paus")  # type: ignore[arg-type]
    assert str(refused.value) == (
        "stop(kind='paus'): a kind is one of 'decision', 'fault', 'pause'. Did you mean 'pause'?"
    )


def told_with_min_epochs(min_epochs: int, *callbacks: Callback, epochs: int = 4) -> tuple[str, str | None]:
    trace = Trace(batches=False)
    with LoopRun(callbacks=[*callbacks, trace], min_epochs=min_epochs) as run:
        for _epoch in run.epochs(epochs):
            list(run.train(batches(1)))
    return trace.outline(), run.outcome


def test_a_decision_is_held_until_min_epochs_are_done() -> None:
    assert told_with_min_epochs(3, StopAt("epoch_begin")) == (
        "setup train[ epoch0[] epoch1[] epoch2[] stop ] teardown",
        "stopped",
    )


def test_a_decision_at_the_end_of_the_epoch_that_makes_min_epochs_counts_at_once() -> None:
    assert told_with_min_epochs(2, StopAt("epoch_end", 1))[0] == "setup train[ epoch0[] epoch1[] stop ] teardown"


def test_a_held_decision_that_is_taken_back_does_not_stop() -> None:
    stop = StopAt("epoch_begin")
    assert told_with_min_epochs(2, stop, Do("epoch_end", lambda run: run.withdraw_stop(stop))) == (
        "setup train[ epoch0[] epoch1[] epoch2[] epoch3[] ] teardown",
        "completed",
    )


@pytest.mark.parametrize("kind", ["fault", "pause"])
def test_faults_and_pauses_are_not_held(kind: StopKind) -> None:
    assert told_with_min_epochs(4, StopAt("epoch_begin", kind=kind))[0].startswith("setup train[ epoch0[ stop")
