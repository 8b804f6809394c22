"""Callbacks under Ignite: metrics, stops, exceptions, and what is left behind."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("ignite", reason="ignite is not installed")

import torch
from bench_ignite import ROWS, IgniteBench
from ignite.engine import Engine, Events
from ignite.metrics import Average, RunningAverage
from trainhooks_adapters import ignite

import trainhooks
from trainhooks import errors
from trainhooks.testing import Do, Trace

LOSSES = [{"loss": float(epoch), "val_loss": 0.5} for epoch in range(4)]


def engine_of(outputs: list[Any]) -> Engine:
    """An engine whose iterations give these, over and over."""
    return Engine(lambda engine, batch: outputs[(engine.state.iteration - 1) % len(outputs)])


# Metrics


def logged(engine: Engine, data: Any, **settings: Any) -> list[dict[str, Any]]:
    wrapped = trainhooks.wrap(engine, plugins="none", **settings)
    wrapped.run(data, max_epochs=1)
    return [record.logs for record in wrapped.last_run.history]


def test_a_number_is_the_loss_and_batches_count_by_their_rows() -> None:
    data = [(torch.zeros(3, 2), torch.zeros(3)), (torch.zeros(1, 2), torch.zeros(1))]
    assert logged(engine_of([1.0, 5.0]), data) == [{"loss": 2.0}]


def test_of_a_dictionary_the_numbers_are_metrics() -> None:
    output = {"loss": torch.tensor(0.5), "y_pred": torch.zeros(3, 1), "accuracy": 1}
    assert logged(engine_of([output]), [0]) == [{"loss": 0.5, "accuracy": 1.0}]


def test_a_tuple_has_no_names_and_the_error_says_what_to_do() -> None:
    engine = engine_of([(torch.zeros(3), 0.5)])
    with pytest.raises(TypeError, match=r"output_transform=lambda output: \{'loss': output\[0\]\}"):
        logged(engine, [0])
    assert logged(engine_of([(0, 0.5)]), [0], output_transform=lambda output: output[1]) == [{"loss": 0.5}]
    assert logged(engine_of([(0, 0.5)]), [0], output_transform=None) == [{}]


def test_metrics_that_ignite_attached_join_where_their_name_is_free() -> None:
    engine = engine_of([1.0, 3.0])
    Average(output_transform=lambda output: 10 * output).attach(engine, "tenfold")
    RunningAverage(output_transform=lambda output: output).attach(engine, "loss")
    assert logged(engine, [0, 1]) == [{"loss": 2.0, "tenfold": 20.0}]


def test_a_metric_of_an_earlier_epoch_is_none_of_this_one() -> None:
    engine = engine_of([1.0])
    engine.add_event_handler(Events.EPOCH_COMPLETED(once=1), lambda: engine.state.metrics.update(f1=float("0.5")))
    wrapped = trainhooks.wrap(engine, plugins="none")
    wrapped.run([0], max_epochs=2)
    assert [record.logs for record in wrapped.last_run.history] == [{"loss": 1.0, "f1": 0.5}, {"loss": 1.0}]


def test_each_evaluator_has_a_name_of_its_own() -> None:
    trainer, val, test = engine_of([1.0]), engine_of([2.0]), engine_of([(0, 1)])
    Average(output_transform=lambda output: 7.0).attach(test, "score")

    @trainer.on(Events.EPOCH_COMPLETED)
    def validate() -> None:
        val.run([0])
        test.run([0])

    expected = [{"loss": 1.0, "val_loss": 2.0, "test_score": 7.0}]
    assert logged(trainer, [0], evaluator={"val": val, "test": test}) == expected


def test_a_validation_inside_a_batch_stands_in_it() -> None:
    trainer, val, trace = engine_of([1.0]), engine_of([2.0]), Trace()
    trainer.add_event_handler(Events.ITERATION_COMPLETED(every=2), lambda: val.run([0]))
    trainhooks.wrap(trainer, callbacks=[trace], evaluator=val, plugins="none").run([0, 1], max_epochs=1)
    inside = trace.names[trace.names.index("test_begin") - 1 : trace.names.index("test_end") + 2]
    assert inside[0] == "train_batch_begin" and inside[-1] == "train_batch_end"


def test_a_validation_that_begins_an_epoch_belongs_to_it() -> None:
    trainer, val, trace = engine_of([1.0]), engine_of([2.0]), Trace(batches=False)
    trainer.add_event_handler(Events.EPOCH_STARTED, lambda: val.run([0]))
    wrapped = trainhooks.wrap(trainer, callbacks=[trace], evaluator=val, plugins="none")
    wrapped.run([0], max_epochs=2)
    assert trace.names[2:6] == ["epoch_begin", "test_begin", "test_end", "epoch_end"]
    assert [record.logs for record in wrapped.last_run.history] == [{"loss": 1.0, "val_loss": 2.0}] * 2


def test_a_validation_in_completed_comes_after_the_training() -> None:
    trainer, val, trace = engine_of([1.0]), engine_of([2.0]), Trace(batches=False)
    trainer.add_event_handler(Events.COMPLETED, lambda: val.run([0]))
    trainhooks.wrap(trainer, callbacks=[trace], evaluator=val, plugins="none").run([0], max_epochs=1)
    assert trace.names[-4:] == ["train_end", "test_begin", "test_end", "teardown"]


# What is given, and what is left


def test_a_callback_that_needs_what_was_not_given_is_refused_with_what_to_give() -> None:
    engine = engine_of([1.0])
    with pytest.raises(errors.CapabilityError, match=r"model=model, optimizer=optimizer"):
        trainhooks.wrap(engine, callbacks=[trainhooks.callbacks.ReduceLROnPlateau()], plugins="none")
    with pytest.raises(errors.CapabilityError, match="does not show its optimizer"):
        trainhooks.wrap(
            engine, callbacks=[trainhooks.callbacks.ReduceLROnPlateau()], model=torch.nn.Linear(1, 1), plugins="none"
        )
    with pytest.raises(TypeError, match=r"no argument 'evaluatr'. Did you mean 'evaluator'"):
        trainhooks.wrap(engine, evaluatr=engine)
    with pytest.raises(TypeError, match=r"an ignite.engine.Engine is needed"):
        trainhooks.wrap(engine, evaluator=[0])


def test_a_scheduler_and_a_callback_write_the_same_rate_and_it_is_said() -> None:
    bench = IgniteBench()
    bench.history = LOSSES
    scheduler = torch.optim.lr_scheduler.StepLR(bench.optimizer, 1, gamma=0.5)
    bench.trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: scheduler.step())
    lrs: list[float] = []

    def put(run: Any) -> None:
        lrs.append(run.lr)
        run.lr = 1.0

    kept = ignite.attach(
        bench.trainer,
        [Do("epoch_end", put, nth=None)],
        model=bench.model,
        optimizer=bench.optimizer,
        lr_scheduler=scheduler,
        plugins="none",
    )
    with pytest.warns(UserWarning, match="Let one of the two own"):
        bench.trainer.run(ROWS, max_epochs=2)
    assert lrs == [0.0625, 0.5]  # the callback's came last, and the scheduler went on from it
    kept.remove()


def test_one_bridge_serves_many_runs_and_leaves_nothing_when_removed() -> None:
    bench, trace = IgniteBench(), Trace(batches=False)
    kept = ignite.bridge([trace], plugins="none").attach(bench.trainer)
    bench.history = LOSSES
    for _ in range(2):
        bench.trainer.run(ROWS, max_epochs=1)
        assert kept.run is not None and kept.run.outcome == "completed"
    with pytest.raises(errors.LoopError, match="on an engine already"):
        kept.attach(bench.trainer)
    kept.remove()
    assert trace.names.count("setup") == 2 and not bench.left_on()
    bench.trainer.run(ROWS, max_epochs=1)
    assert trace.names.count("setup") == 2


def test_the_wrapped_engine_is_the_engine_otherwise() -> None:
    engine = engine_of([1.0])
    wrapped = trainhooks.wrap(engine, plugins="none")
    wrapped.state_dict_user_keys.append("alpha")
    wrapped.mark = 1
    assert engine.state_dict_user_keys == ["alpha"] and vars(engine)["mark"] == 1
    assert wrapped.last_run is None and wrapped.run([0]) is engine.state
    with pytest.raises(errors.LoopError, match=r"evaluator=..."):
        wrapped.evaluate([0])
