"""TerminateOnNaN: a loss that is no longer finite stops training."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from trainhooks import LoopRun, Run, fit
from trainhooks.callbacks.terminate_on_nan import TerminateOnNaN
from trainhooks.testing import Constant, Do, StopAt, Trace, play
from trainhooks.testing import batches as loader

INF, NAN = math.inf, math.nan


def trained(losses: list[float], *callbacks: Any) -> LoopRun:
    """Two epochs of batches with these losses, each of which validates."""
    with LoopRun(callbacks=callbacks) as run:
        for _ in run.epochs(2):
            for loss in run.train(losses):
                run.log(loss=loss)
            for _ in run.test([0]):
                run.log(loss=1.0)
    return run


@pytest.mark.parametrize("value", [NAN, INF, -INF, np.float32("nan")])
def test_it_stops_at_the_batch_and_the_epoch_is_validated_and_ends(value: float) -> None:
    trace = Trace()
    run = trained([1.0, value, 1.0], TerminateOnNaN(), trace)
    assert trace.outline() == "setup train[ epoch0[ batch0[] batch1[] stop test[ batch0[] ] ] ] teardown"
    assert (run.stop_kind, run.stop_source, run.stop_reason) == (
        "fault",
        "TerminateOnNaN",
        f"the loss is {float(value)} after batch 1 of epoch 0",
    )


def test_a_finite_loss_goes_on() -> None:
    assert trained([1.0, 1e300, -5.0], TerminateOnNaN()).outcome == "completed"


def test_a_validation_that_is_not_finite_is_not_its_business() -> None:
    assert play([{"loss": 1.0, "val_loss": NAN}] * 2, [TerminateOnNaN()]).outcome == "completed"


def test_without_a_loss_it_does_nothing() -> None:
    assert play([{"accuracy": NAN}] * 2, [TerminateOnNaN()]).outcome == "completed"


def test_as_keras_it_reads_the_running_mean() -> None:
    """In the second batch, whose own loss is finite, the mean is still not; the stop was asked for in the first."""
    seen: list[Any] = []
    look = Do("train_batch_end", lambda run: seen.append(run.logs["loss"]), nth=None)
    trained([1.0, INF], look, TerminateOnNaN())
    assert seen == [1.0, INF]


def test_raise_error_raises_instead() -> None:
    with pytest.raises(RuntimeError) as caught:
        trained([1.0, NAN], TerminateOnNaN(raise_error=True))
    assert str(caught.value) == "TerminateOnNaN: the loss is nan after batch 1 of epoch 0"


@pytest.mark.parametrize("kind", ["decision", "fault"])
def test_a_fault_replaces_a_decision_of_the_same_event_and_no_other_fault(kind: Any) -> None:
    run = trained([NAN], StopAt(kind=kind), TerminateOnNaN())
    assert (run.stop_kind, run.stop_source) == ("fault", "TerminateOnNaN" if kind == "decision" else "StopAt")


def test_a_run_that_is_paused_where_it_found_a_nan_does_not_go_on_from_it() -> None:
    runs: list[Run] = []
    trained([NAN], Do("setup", runs.append), StopAt(kind="pause"), TerminateOnNaN())
    assert runs[0].state_dict()["progress"]["stops"] == [
        ["fault", "the loss is nan after batch 0 of epoch 0", "TerminateOnNaN"]
    ]


def test_it_is_not_held_by_min_epochs() -> None:
    assert len(play([{"loss": NAN}] * 3, [TerminateOnNaN()], min_epochs=3).history) == 1


def test_one_object_serves_many_runs() -> None:
    terminate = TerminateOnNaN()
    outcomes = [trained(losses, terminate).outcome for losses in ([NAN], [1.0], [INF])]
    assert (outcomes, terminate.state_dict()) == (["stopped", "completed", "stopped"], {})


def test_it_decides_before_what_saves() -> None:
    with LoopRun(callbacks=[Trace(), TerminateOnNaN()]) as run:
        order = run.bus.order("train_batch_end")
    assert order == ["TerminateOnNaN.on_train_batch_end", "Trace.on_train_batch_end"]


def test_a_model_that_is_trained_by_fit_is_stopped_too() -> None:
    assert len(fit(Constant(NAN), loader(3), epochs=5, callbacks=[TerminateOnNaN()]).history) == 1
