"""Data that is no array: of unknown length, too short, failing; and batches that are no steps."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from tiny import BACKEND, BEGINS_IN_VAIN, JOINS_STEPS, build, fit, plain, stream
from trainhooks_adapters.keras import bridge

import trainhooks
from trainhooks.testing import Do, Trace

VAIN = " batch2[" if BEGINS_IN_VAIN else ""
"""The batch that Keras began on these backends before it saw that there was none."""

pytestmark = pytest.mark.filterwarnings("ignore:.*ran out of data")


def steps(model: Any, *callbacks: trainhooks.Callback, data: Any = None, **options: Any) -> int:
    """``run.step`` after a fit."""
    wrapped = trainhooks.wrap(model, callbacks=callbacks)
    if data is None:
        fit(wrapped, **options)
    else:
        wrapped.fit(data, verbose=0, **options)
    return wrapped.run.step


LISTENS = {"batch ends": "train_batch_end", "batch begins": "train_batch_begin", "epochs only": "epoch_end"}


@pytest.fixture(params=LISTENS.values(), ids=LISTENS)
def listener(request: Any) -> Do:
    """A callback that does nothing: what the adapter is told by Keras depends on what it listens to."""
    return Do(request.param, lambda run: None)


def test_a_generator_of_unknown_length_tells_its_batches_and_one_begun_in_vain_does_not_count() -> None:
    trace, known = Trace(), []
    look = Do("train_begin", lambda run: known.append(run.steps_per_epoch))
    wrapped = trainhooks.wrap(plain(), callbacks=[look, trace])
    wrapped.fit(stream(2), verbose=0)
    trace.check_grammar(drops_batches=BEGINS_IN_VAIN)
    assert trace.outline() == f"setup train[ epoch0[ batch0[] batch1[]{VAIN} ] ] teardown"
    assert (known, wrapped.run.step, wrapped.run.outcome) == ([None], 2, "completed")


def test_data_that_runs_out_early_ends_the_epochs_batches_and_its_validation_follows() -> None:
    trace = Trace()
    wrapped = trainhooks.wrap(plain(), callbacks=[trace])
    wrapped.fit(stream(2), verbose=0, steps_per_epoch=4, validation_data=next(stream(1)))
    trace.check_grammar(drops_batches=BEGINS_IN_VAIN)
    assert trace.outline() == f"setup train[ epoch0[ batch0[] batch1[]{VAIN} test[ batch0[] ] ] ] teardown"
    assert (wrapped.run.step, wrapped.run.steps_per_epoch) == (2, 4)


def test_batches_of_an_evaluation_and_a_prediction_that_are_begun_in_vain_are_not_ended() -> None:
    trace = Trace()
    wrapped = trainhooks.wrap(plain(), callbacks=[trace])
    wrapped.evaluate(stream(2), verbose=0)
    wrapped.predict(((x,) for x, _ in stream(2)), verbose=0)
    trace.check_grammar(drops_batches=BEGINS_IN_VAIN)
    told = f"batch0[] batch1[]{VAIN} ] teardown"
    assert trace.outline() == f"setup test[ {told} setup predict[ {told}"


def test_a_batch_begun_in_vain_before_a_validation_is_not_taken_for_one_under_way() -> None:
    saved: list[Any] = []

    class Saver(trainhooks.Callback):
        def on_test_end(self, run: trainhooks.Run) -> None:
            run.save()

        def save(self, run: trainhooks.Run) -> None:
            saved.append(run.step)

        def on_train_batch_begin(self) -> None: ...

        def on_epoch_end(self) -> None:
            saved.append("epoch_end")

    wrapped = trainhooks.wrap(plain(), callbacks=[Saver()])
    wrapped.fit(stream(2), verbose=0, validation_data=next(stream(1)))
    assert saved == [2, "epoch_end"]


def test_steps_are_counted_of_known_data(listener: Do) -> None:
    assert steps(plain(), listener, epochs=2) == 6


def test_steps_are_counted_of_data_of_unknown_length(listener: Do) -> None:
    assert steps(plain(), listener, data=stream(3)) == 3


def test_steps_are_counted_of_data_that_runs_out(listener: Do) -> None:
    assert steps(plain(), listener, data=stream(3), steps_per_epoch=5) == 3


def test_steps_are_counted_up_to_a_stop_inside_an_epoch(listener: Do) -> None:
    stop = Do("epoch_begin", lambda run: run.stop("asked for"))
    assert steps(plain(), stop, listener, epochs=2) == 1


def test_steps_are_batches_where_gradients_are_accumulated(listener: Do) -> None:
    make = lambda: build(optimizer=keras.optimizers.SGD(0.1, gradient_accumulation_steps=2))  # noqa: E731
    model = make()
    assert steps(model, listener, epochs=2) == 6
    assert int(model.optimizer.iterations) == 3
    assert steps(make(), listener, data=stream(3)) == 3
    assert steps(make(), Do("epoch_begin", lambda run: run.stop("asked for")), listener) == 1


def test_steps_are_batches_where_a_scaled_loss_skips_an_update(listener: Do) -> None:
    scale = lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1), initial_scale=3e38)  # noqa: E731
    model = build(optimizer=scale())
    model.set_weights([np.full((2, 1), 10), np.zeros(1)])  # so that its loss overflows
    assert steps(model, listener, epochs=2) == 6
    assert int(model.optimizer.iterations) < 6


def test_steps_are_batches_where_a_scaled_loss_skips_none(listener: Do) -> None:
    model = build(optimizer=keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1)))
    assert steps(model, listener, data=stream(3)) == 3
    assert steps(model, Do("epoch_begin", lambda run: run.stop("asked for")), listener) == 1


def test_steps_are_counted_where_the_models_own_optimizer_does_nothing(listener: Do) -> None:
    model = build()
    model.trainable = False
    assert steps(model, listener, epochs=2) == 6


@pytest.mark.parametrize("unknown", [False, True])
@pytest.mark.parametrize("batches", [3, 4, 7])
def test_one_event_stands_for_several_steps(batches: int, unknown: bool, listener: Do) -> None:
    model = plain() if not JOINS_STEPS else build(steps_per_execution=3)
    if unknown:
        assert steps(model, listener, data=stream(batches)) == batches
    else:
        assert steps(model, listener, batches=batches, epochs=2) == 2 * batches


def test_steps_are_up_to_date_in_a_validation(listener: Do) -> None:
    seen: list[int] = []
    look = Do("test_begin", lambda run: seen.append(run.step), nth=None)
    wrapped = trainhooks.wrap(plain(), callbacks=[listener, look])
    fit(wrapped, epochs=2, validate=1)
    wrapped.fit(stream(2), verbose=0, validation_data=next(stream(1)))
    assert seen == [3, 6, 2]


def test_a_generator_that_raises_ends_the_run_in_its_exception() -> None:
    trace, error = Trace(), KeyError("broken row")
    wrapped = trainhooks.wrap(plain(), callbacks=[trace])
    with pytest.raises(Exception) as raised:  # TensorFlow raises another in its place
        wrapped.fit(stream(2, error), verbose=0)
    assert (raised.value is error) != (BACKEND == "tensorflow")
    kind = type(raised.value).__name__
    assert trace.outline() == f"setup train[ epoch0[ batch0[] batch1[]{VAIN} exception({kind}) teardown"
    trace.check_grammar()
    assert (wrapped.run.step, wrapped.run.outcome) == (2, "failed")


def test_after_data_that_raised_a_bare_bridge_ends_the_dead_run_when_the_next_begins() -> None:
    trace, model = Trace(batches=False), plain()
    made = bridge([trace])
    with pytest.raises(Exception):  # noqa: B017
        model.fit(stream(3, ValueError("broken row")), verbose=0, callbacks=[made])
    assert trace.outline() == "setup train[ epoch0["
    dead = made.run
    model.evaluate(*next(stream(1)), verbose=0, callbacks=[made])
    trace.check_grammar()
    assert trace.outline() == "setup train[ epoch0[ exception(LoopError) teardown setup test[] teardown"
    assert (dead.outcome, made.run.outcome) == ("failed", "completed")
    assert str(trace.events[3][1]["exception"]) == "Keras's loop was left before its end, by an exception"
