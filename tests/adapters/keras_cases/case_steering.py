"""Learning rates and stops: what a hook asks for, and when Keras obeys."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from tiny import bare, build, fit, plain, rows, story
from trainhooks_adapters.keras import bridge, wrap

import trainhooks
from trainhooks.callbacks.learning_rate_scheduler import LearningRateScheduler
from trainhooks.errors import CapabilityError
from trainhooks.testing import Do, StopAt, Trace

# The learning rate


def moves(*callbacks: trainhooks.Callback, **options: Any) -> list[bool]:
    """For each batch, whether it moved the weights of a model that begins with a learning rate of 0."""
    model, seen = plain(), []
    model.optimizer.learning_rate = 0.0

    class Look(trainhooks.Callback):
        last = 0.0

        def on_train_batch_end(self, run: trainhooks.Run) -> None:
            now = float(np.abs(self.model.get_weights()[0]).sum())
            seen.append(now != self.last)
            self.last = now

    fit(trainhooks.wrap(model, callbacks=[Look(), *callbacks]), **options)
    return seen


SETS = {
    "setup": [True] * 4,
    "train_begin": [True] * 4,
    "epoch_begin": [True] * 4,
    "train_batch_begin": [True] * 4,
    "train_batch_end": [False] + [True] * 3,
    "test_begin": [False] * 2 + [True] * 2,
    "test_batch_begin": [False] * 2 + [True] * 2,
    "test_batch_end": [False] * 2 + [True] * 2,
    "test_end": [False] * 2 + [True] * 2,
    "epoch_end": [False] * 2 + [True] * 2,
}


@pytest.mark.parametrize("event", SETS)
def test_a_learning_rate_that_is_set_holds_for_the_very_next_step(event: str) -> None:
    def set_lr(run: trainhooks.Run) -> None:
        run.lr = 0.1

    assert moves(Do(event, set_lr), batches=2, epochs=2, validate=1) == SETS[event]


def test_a_learning_rate_is_stored_in_float32_and_read_back_so() -> None:
    seen: list[Any] = []

    def set_lr(run: trainhooks.Run) -> None:
        run.lr = 0.3
        seen.append((run.lr, run.lrs))
        run.lrs = [np.float64(0.4)]
        seen.append((run.lr, float(run.optimizer.learning_rate)))

    fit(trainhooks.wrap(plain(), callbacks=[Do("train_batch_end", set_lr)]))
    three, four = float(np.float32(0.3)), float(np.float32(0.4))
    assert seen == [(three, [three]), (four, four)]


def test_two_learning_rates_are_refused() -> None:
    def set_lrs(run: trainhooks.Run) -> None:
        run.lrs = [0.1, 0.2]

    with pytest.raises(ValueError) as error:
        fit(trainhooks.wrap(plain(), callbacks=[Do("epoch_begin", set_lrs)]))
    assert str(error.value) == "run.lrs = [0.1, 0.2]: the parameter groups are 1, the values 2"


def test_a_learning_rate_reaches_through_a_scaled_loss() -> None:
    model = build(optimizer=keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.5)))
    fit(trainhooks.wrap(model, callbacks=[LearningRateScheduler(lambda epoch, lr: lr / 2)]), epochs=2)
    assert float(model.optimizer.inner_optimizer.learning_rate) == 0.125


SCHEDULED = "which this trainer lacks: the optimizer's learning rate is a LearningRateSchedule: give it a float."


def scheduled() -> Any:
    return build(optimizer=keras.optimizers.SGD(keras.optimizers.schedules.ExponentialDecay(0.5, 3, 0.5)))


def test_a_callback_that_needs_the_learning_rate_is_refused_where_a_schedule_has_it() -> None:
    model, callback = scheduled(), LearningRateScheduler(lambda epoch: 0.1)
    attempts = [
        lambda: trainhooks.wrap(model, callbacks=[callback]),
        lambda: wrap(model, callbacks=[callback]),
        lambda: fit(model, callbacks=[bridge([callback])]),
    ]
    for attempt in attempts:
        with pytest.raises(CapabilityError) as error:
            attempt()
        assert str(error.value) == f"LearningRateScheduler needs 'lr', {SCHEDULED}"
    assert callback.run is None and model.get_weights()[0].tolist() == [[0], [0]]


def test_a_scheduled_learning_rate_can_be_read_and_setting_it_is_refused() -> None:
    seen: list[float] = []

    def set_lr(run: trainhooks.Run) -> None:
        run.lr = 0.1

    callbacks = [Do("epoch_end", lambda run: seen.append(run.lr)), Do("epoch_end", set_lr)]
    with pytest.raises(CapabilityError) as error:
        fit(trainhooks.wrap(scheduled(), callbacks=callbacks))
    assert str(error.value) == f"run.lr needs 'lr', {SCHEDULED}"
    assert seen == [0.25]


def test_a_model_that_is_not_compiled_yet_is_asked_when_it_is_fitted() -> None:
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    wrapped = trainhooks.wrap(model, callbacks=[LearningRateScheduler(lambda epoch: 0.25)])
    with pytest.raises(CapabilityError) as error:
        wrapped.predict(rows()[0], verbose=0)
    assert str(error.value) == (
        "LearningRateScheduler needs 'lr', which this trainer lacks: the model has no optimizer yet: "
        "call model.compile(optimizer=...) first."
    )
    wrapped.compile("sgd", loss="mse")
    fit(wrapped)
    assert float(model.optimizer.learning_rate) == 0.25
    wrapped.compile(scheduled().optimizer, loss="mse")
    with pytest.raises(CapabilityError) as error:
        fit(wrapped)
    assert str(error.value) == f"LearningRateScheduler needs 'lr', {SCHEDULED}"


def test_an_end_of_the_epoch_cannot_be_asked_for() -> None:
    wrapped = trainhooks.wrap(plain(), callbacks=[Do("train_batch_end", lambda run: run.end_epoch())])
    with pytest.raises(CapabilityError) as error:
        fit(wrapped)
    assert str(error.value) == (
        "run.end_epoch() needs 'end_epoch', which this trainer lacks: Keras's fit cannot end an epoch's batches; "
        "give it steps_per_epoch, or stop."
    )


# Stops: two epochs of two batches, a validation of one batch

ONE = "epoch0[ batch0[] test[ batch0[] ] ]"
WHOLE = "epoch0[ batch0[] batch1[] test[ batch0[] ] ]"
STOPS = {
    "setup": f"setup stop train[ {ONE} ] teardown",
    "train_begin": f"setup train[ stop {ONE} ] teardown",
    "epoch_begin": "setup train[ epoch0[ stop batch0[] test[ batch0[] ] ] ] teardown",
    "train_batch_begin": "setup train[ epoch0[ batch0[ stop ] test[ batch0[] ] ] ] teardown",
    "train_batch_end": "setup train[ epoch0[ batch0[] stop test[ batch0[] ] ] ] teardown",
    "test_begin": "setup train[ epoch0[ batch0[] batch1[] test[ stop batch0[] ] ] ] teardown",
    "test_batch_begin": "setup train[ epoch0[ batch0[] batch1[] test[ batch0[ stop ] ] ] ] teardown",
    "test_batch_end": "setup train[ epoch0[ batch0[] batch1[] test[ batch0[] stop ] ] ] teardown",
    "test_end": "setup train[ epoch0[ batch0[] batch1[] test[ batch0[] ] stop ] ] teardown",
    "epoch_end": f"setup train[ {WHOLE} stop ] teardown",
}


@pytest.mark.parametrize("kind", ["decision", "fault"])
@pytest.mark.parametrize("event", STOPS)
def test_after_a_stop_the_epoch_is_validated_and_ended(event: str, kind: Any) -> None:
    told = story(StopAt(event, kind=kind), batches=2, epochs=2, validate=1)
    assert told == f"{STOPS[event]} stopped"


PAUSES = {
    "setup": "setup stop teardown",
    "train_begin": "setup train[ stop teardown",
    "epoch_begin": "setup train[ epoch0[ stop teardown",
    "train_batch_begin": "setup train[ epoch0[ batch0[ stop ] teardown",
    "train_batch_end": "setup train[ epoch0[ batch0[] stop teardown",
    "test_begin": "setup train[ epoch0[ batch0[] batch1[] test[ stop teardown",
    "test_batch_begin": "setup train[ epoch0[ batch0[] batch1[] test[ batch0[ stop ] teardown",
    "test_batch_end": "setup train[ epoch0[ batch0[] batch1[] test[ batch0[] stop teardown",
    "test_end": "setup train[ epoch0[ batch0[] batch1[] test[ batch0[] batch1[] ] stop teardown",
    "epoch_end": "setup train[ epoch0[ batch0[] batch1[] test[ batch0[] batch1[] ] ] stop teardown",
}


@pytest.mark.parametrize("event", PAUSES)
def test_after_a_pause_nothing_more_is_told(event: str) -> None:
    told = story(StopAt(event, kind="pause"), batches=2, epochs=2, validate=2)
    assert told == f"{PAUSES[event]} paused"


def test_a_pause_saves_once_where_it_is_taken_and_counts_what_was_done() -> None:
    saved: list[Any] = []

    class Saver(trainhooks.Callback):
        def save(self, run: trainhooks.Run) -> None:
            saved.append((run.epoch, run.step, run.epochs_done))

    pause = StopAt(step=3, kind="pause")
    wrapped = trainhooks.wrap(plain(), callbacks=[Saver(), pause])
    fit(wrapped, batches=2, epochs=3, validate=1)
    assert saved == [(1, 3, 1)]
    assert (wrapped.run.step, wrapped.run.epochs_done, len(wrapped.run.history)) == (3, 1, 1)


def test_a_stop_in_the_last_epoch_leaves_the_run_completed() -> None:
    assert story(StopAt("epoch_end", nth=1), batches=1, epochs=2).endswith("teardown completed")


def test_why_a_run_stopped_is_kept_and_the_next_fit_begins_anew() -> None:
    trace = Trace(batches=False)
    wrapped = trainhooks.wrap(plain(), callbacks=[StopAt("epoch_end", reason="enough"), trace])
    fit(wrapped, epochs=3)
    run = wrapped.run
    assert (run.outcome, run.stop_reason, run.stop_kind, run.stop_source) == ("stopped", "enough", "decision", "StopAt")
    assert wrapped.stop_training is True
    fit(wrapped, epochs=2)
    assert trace.outline() == "setup train[ epoch0[] stop ] teardown setup train[ epoch0[] epoch1[] ] teardown"
    assert (wrapped.run.outcome, wrapped.run.stop_reason) == ("completed", None)


def test_a_native_callbacks_stop_is_told_when_training_ends() -> None:
    class Native(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.model.stop_training = True

    assert bare(natives=[Native()], batches=1, epochs=3) == ("setup train[ epoch0[ batch0[] ] stop ] teardown stopped")


def test_a_decision_before_min_epochs_is_held_until_then() -> None:
    trace = Trace(batches=False)
    wrapped = trainhooks.wrap(plain(), callbacks=[StopAt("epoch_end"), trace], min_epochs=3)
    fit(wrapped, epochs=9)
    model, made = plain(), bridge([StopAt("epoch_end"), trace], min_epochs=2)
    fit(model, epochs=9, callbacks=[made])
    assert trace.outline() == (
        "setup train[ epoch0[] epoch1[] epoch2[] stop ] teardown setup train[ epoch0[] epoch1[] stop ] teardown"
    )


def test_evaluations_and_predictions_go_on_to_their_end_after_a_stop() -> None:
    trace = Trace()
    wrapped = trainhooks.wrap(plain(), callbacks=[StopAt("test_batch_end"), StopAt("predict_batch_end"), trace])
    wrapped.evaluate(*rows(2), batch_size=2, verbose=0)
    wrapped.predict(rows(2)[0], batch_size=2, verbose=0)
    assert trace.outline() == (
        "setup test[ batch0[] stop batch1[] ] teardown setup predict[ batch0[] stop batch1[] ] teardown"
    )


def test_after_a_pause_in_an_evaluation_nothing_more_of_it_is_told() -> None:
    trace = Trace()
    wrapped = trainhooks.wrap(plain(), callbacks=[StopAt("test_batch_end", kind="pause"), trace])
    wrapped.evaluate(*rows(2), batch_size=2, verbose=0)
    trace.check_grammar()
    assert f"{trace.outline()} {wrapped.run.outcome}" == "setup test[ batch0[] stop teardown paused"
