"""Stops and exceptions under Ignite: its own and those of callbacks."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

pytest.importorskip("ignite", reason="ignite is not installed")

from bench_ignite import ROWS, IgniteBench
from ignite.engine import Engine, Events
from ignite.handlers import EarlyStopping as NativeEarlyStopping
from trainhooks_adapters import ignite

import trainhooks
from trainhooks import Callback, errors
from trainhooks.testing import Do, RaiseAt, StopAt, Trace

LOSSES = [{"loss": float(epoch), "val_loss": 0.5} for epoch in range(4)]


def engine_of(outputs: list[Any]) -> Engine:
    """An engine whose iterations give these, over and over."""
    return Engine(lambda engine, batch: outputs[(engine.state.iteration - 1) % len(outputs)])


def needs(method: str, argument: str) -> pytest.MarkDecorator:
    """Of what came with a later Ignite than the oldest that is served."""
    known = inspect.signature(getattr(Engine, method)).parameters
    return pytest.mark.skipif(
        argument not in known, reason=f"Engine.{method} has no {argument}: it came after Ignite 0.5.0"
    )


# Stops


def test_a_native_handler_that_terminates_in_a_validation_stops_the_run_after_its_epoch() -> None:
    bench = IgniteBench()
    native = NativeEarlyStopping(1, lambda engine: -engine.state.output["loss"], bench.trainer)
    bench.evaluator.add_event_handler(Events.COMPLETED, native)
    told: list[Any] = []
    run = bench.train(LOSSES, [Do("stop", lambda run: told.append((run.epochs_done, run.stop_source)))])
    assert (run.outcome, run.epochs_done, told) == ("stopped", 2, [(2, "ignite")])
    assert run.history[-1].logs["val_loss"] == 0.5


def test_terminate_before_the_iteration_ends_every_scope_and_counts_no_step() -> None:
    bench, trace = IgniteBench(), Trace()
    bench.trainer.add_event_handler(Events.ITERATION_STARTED(once=2), lambda: bench.trainer.terminate())
    run = bench.train(LOSSES, [trace])
    assert (run.outcome, run.step, run.epochs_done) == ("stopped", 1, 1)
    assert trace.names[-4:] == ["stop", "epoch_end", "train_end", "teardown"]


@needs("terminate", "skip_completed")
def test_terminate_that_skips_completed_ends_the_run_too() -> None:
    bench, trace = IgniteBench(), Trace()
    kept = ignite.attach(bench.trainer, [trace], plugins="none")
    bench.history = LOSSES
    bench.trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: bench.trainer.terminate(skip_completed=True))
    bench.trainer.run(ROWS, max_epochs=4)
    assert kept.run is not None and kept.run.outcome == "stopped"
    assert trace.names[-3:] == ["stop", "train_end", "teardown"]


@needs("terminate_epoch", "skip_epoch_completed")
@pytest.mark.parametrize("skip", [False, True])
def test_a_terminated_epoch_ends_as_any_other(skip: bool) -> None:
    bench, trace = IgniteBench(), Trace(batches=False)
    bench.trainer.add_event_handler(
        Events.ITERATION_COMPLETED(once=1), lambda: bench.trainer.terminate_epoch(skip_epoch_completed=skip)
    )
    run = bench.train([{"loss": 1.0}] * 2, [trace])
    assert (run.outcome, run.step, run.epochs_done) == ("completed", 3, 2)
    assert trace.names.count("epoch_end") == 2


def test_the_run_after_a_stop_goes_on_at_the_next_epoch_as_ignite_has_it() -> None:
    bench = IgniteBench()
    bench.history = LOSSES
    wrapped = bench.wrap([StopAt("epoch_end")])
    wrapped.run(ROWS, max_epochs=4)
    assert wrapped.last_run.epochs_done == 1
    again = trainhooks.wrap(bench.trainer, model=bench.model, plugins="none")
    again.run(ROWS, max_epochs=4)
    assert [record.epoch for record in again.last_run.history] == [1, 2, 3]


@needs("run", "max_iters")
def test_a_number_of_iterations_ends_the_run_as_completed() -> None:
    wrapped = trainhooks.wrap(engine_of([1.0]), plugins="none")
    wrapped.run([0, 1], max_iters=3)
    run = wrapped.last_run
    assert (run.outcome, run.step, run.epochs_done, run.max_epochs) == ("completed", 3, 2, 2)


def test_data_without_a_length_is_counted_in_its_first_epoch() -> None:
    told: list[Any] = []
    note = Do("epoch_begin", lambda run: told.append(run.steps_per_epoch), nth=None)
    wrapped = trainhooks.wrap(engine_of([1.0]), callbacks=[note], plugins="none")
    wrapped.run((one for one in range(3)), max_epochs=1)
    assert (told, wrapped.last_run.step, wrapped.last_run.outcome) == ([None], 3, "completed")


def test_an_interrupted_run_stays_open_and_goes_on() -> None:
    engine, trace = engine_of([1.0]), Trace(batches=False)
    engine.add_event_handler(Events.ITERATION_COMPLETED(once=1), lambda: engine.interrupt())
    wrapped = trainhooks.wrap(engine, callbacks=[trace], plugins="none")
    wrapped.run([0, 1], max_epochs=1)
    left_open = wrapped.last_run.outcome
    wrapped.run([0, 1], max_epochs=1)
    assert left_open is None and (wrapped.last_run.outcome, wrapped.last_run.step) == ("completed", 2)
    assert trace.names == ["setup", "train_begin", "epoch_begin", "epoch_end", "train_end", "teardown"]


# Exceptions


class Told(Callback):
    def __init__(self) -> None:
        self.heard: list[Any] = []

    def on_exception(self, exception: BaseException) -> None:
        self.heard.append(exception)

    def on_teardown(self) -> None:
        self.heard.append("teardown")


def test_a_handler_for_exceptions_keeps_what_it_has_natively_and_the_run_goes_on() -> None:
    bench, told = IgniteBench(), Told()
    caught: list[BaseException] = []
    bench.trainer.add_event_handler(Events.EXCEPTION_RAISED, caught.append)
    error = ValueError("asked for")
    run = bench.train([error, {"loss": 2.0}], [told])
    assert caught == [error] and told.heard == ["teardown"]
    assert (run.outcome, run.step, run.epochs_done) == ("completed", 3, 2)


def test_ctrl_c_that_a_handler_swallows_is_a_run_that_was_left() -> None:
    bench, told = IgniteBench(), Told()
    bench.trainer.add_event_handler(Events.EXCEPTION_RAISED, lambda error: None)
    run = bench.train([KeyboardInterrupt(), {"loss": 2.0}], [told])
    assert isinstance(told.heard[0], errors.LoopError) and run.outcome == "failed"


def test_without_wrap_an_exception_is_told_when_the_bridge_is_used_next() -> None:
    bench, told = IgniteBench(), Told()
    bench.history = [ValueError("asked for")]
    kept = ignite.attach(bench.trainer, [told], plugins="none")
    with pytest.raises(ValueError, match="asked for"):
        bench.trainer.run(ROWS, max_epochs=1)
    assert told.heard == []
    kept.remove()
    assert isinstance(told.heard[0], errors.LoopError) and told.heard[1:] == ["teardown"]
    assert not bench.left_on()


def test_without_wrap_what_our_callbacks_raise_is_told() -> None:
    bench, told, error = IgniteBench(), Told(), ValueError("asked for")
    bench.history = LOSSES
    with ignite.attach(bench.trainer, [told, RaiseAt("epoch_end", error=error)], plugins="none"):
        with pytest.raises(ValueError, match="asked for"):
            bench.trainer.run(ROWS, max_epochs=1)
        assert told.heard == [error, "teardown"]


def test_the_first_run_after_an_exception_trains() -> None:
    bench = IgniteBench()
    bench.history = [ValueError("asked for")] + [{"loss": 1.0}] * 2
    parts: dict[str, Any] = {"model": bench.model, "plugins": "none"}
    with pytest.raises(ValueError, match="asked for"):
        trainhooks.wrap(bench.trainer, **parts).run(ROWS, max_epochs=3)
    again = trainhooks.wrap(bench.trainer, **parts)
    assert again.run(ROWS, max_epochs=3) is bench.trainer.state  # native: it gives None, and trains nothing
    assert again.last_run.epochs_done == 3
