"""A run that goes on under Keras from a state, whichever trainer it was begun under."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from tiny import build, fit, plain
from trainhooks_adapters.keras import bridge

import trainhooks
from trainhooks.callbacks.early_stopping import EarlyStopping
from trainhooks.callbacks.reduce_lr_on_plateau import ReduceLROnPlateau
from trainhooks.errors import LoopError
from trainhooks.testing import Do, RaiseAt, StopAt, Trace, play

FLAT = [{"loss": 1.0}] * 9


def still() -> Any:
    """A model whose loss stays what it is."""
    model = plain()
    model.optimizer.learning_rate = 0.0
    return model


def test_patience_that_began_in_a_plain_loop_goes_on_under_keras() -> None:
    patience = lambda: EarlyStopping("loss", patience=5, min_delta=1e9)  # noqa: E731
    state = play(FLAT[:4], [patience()]).state_dict()
    stopping, trace = patience(), Trace(batches=False)
    wrapped = trainhooks.wrap(still(), callbacks=[stopping, trace], resume=state)
    fit(wrapped, epochs=9)
    assert trace.outline() == "setup train[ epoch4[] epoch5[] stop ] teardown"
    assert (stopping.wait, stopping.stopped_epoch, wrapped.run.resumed) == (5, 5, True)
    assert [record.epoch for record in wrapped.run.history] == [0, 1, 2, 3, 4, 5]


def test_patience_that_began_under_keras_goes_on_in_a_plain_loop() -> None:
    wrapped = trainhooks.wrap(still(), callbacks=[EarlyStopping("loss", patience=5)])
    fit(wrapped, epochs=4)
    stopping = EarlyStopping("loss", patience=5)
    run = play([{"loss": 1e9}] * 9, [stopping], resume=wrapped.run.state_dict())
    assert (run.epochs_done, stopping.stopped_epoch, run.outcome) == (6, 5, "stopped")
    assert (wrapped.run.step, run.step) == (12, 14)


def test_a_plateaus_patience_goes_on_too() -> None:
    plateau = lambda: ReduceLROnPlateau("loss", patience=3, factor=0.5)  # noqa: E731
    state = play([{"loss": 1e-9}] * 3, [plateau()]).state_dict()
    model = plain()
    wrapped = trainhooks.wrap(model, callbacks=[plateau()], resume=state)
    fit(wrapped, epochs=5)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.05)
    assert wrapped.run.epochs_done == 5


def test_an_initial_epoch_that_is_given_is_kept() -> None:
    state, trace = play(FLAT[:2], []).state_dict(), Trace(batches=False)
    fit(trainhooks.wrap(plain(), callbacks=[trace], resume=state), epochs=4, initial_epoch=3)
    assert trace.outline() == "setup train[ epoch3[] ] teardown"


def test_a_stopped_run_stays_stopped_and_trains_nothing() -> None:
    stopped = play(FLAT, [EarlyStopping("loss", patience=1)])
    model, trace = plain(), Trace()
    wrapped = trainhooks.wrap(model, callbacks=[trace], resume=stopped.state_dict())
    with pytest.warns(UserWarning, match="It stays stopped; resume_stopped=True has it go on"):
        fit(wrapped, epochs=9)
    assert trace.outline() == "setup train[] teardown"
    run = wrapped.run
    assert (run.outcome, run.stop_reason, run.epochs_done, run.max_epochs) == ("stopped", stopped.stop_reason, 2, 9)
    assert model.get_weights()[0].tolist() == [[0], [0]]


def test_a_stopped_run_stays_stopped_under_a_bare_bridge_too() -> None:
    model, trace = plain(), Trace()
    made = bridge([trace], resume=play(FLAT, [EarlyStopping("loss", patience=1)]).state_dict())
    with pytest.warns(UserWarning, match="It stays stopped"):
        fit(model, epochs=9, callbacks=[made])
    assert (trace.outline(), made.run.outcome, model._initial_epoch) == ("setup train[] teardown", "stopped", None)


def test_a_stopped_run_goes_on_if_asked() -> None:
    stopped = play(FLAT, [EarlyStopping("loss", patience=1)]).state_dict()
    trace = Trace(batches=False)
    wrapped = trainhooks.wrap(plain(), callbacks=[trace], resume=stopped, resume_stopped=True)
    fit(wrapped, epochs=4)
    assert trace.outline() == "setup train[ epoch2[] epoch3[] ] teardown"
    trace = Trace(batches=False)
    fit(plain(), epochs=4, callbacks=[bridge([trace], resume=stopped, resume_stopped=True)])
    assert trace.outline() == "setup train[ epoch2[] epoch3[] ] teardown"


@pytest.mark.parametrize("epochs", [2, 3])
def test_a_run_with_no_epoch_left_is_completed_and_says_so(epochs: int) -> None:
    state, trace = play(FLAT[:3], []).state_dict(), Trace()
    wrapped = trainhooks.wrap(plain(), callbacks=[trace], resume=state)
    with pytest.warns(UserWarning, match="fit") as told:
        fit(wrapped, epochs=epochs)
    assert [str(one.message) for one in told] == [
        f"fit(epochs={epochs}): the run that goes on has 3 epochs behind it, so that none is left to train. "
        "Ask for more, or begin anew without its state."
    ]
    assert (trace.outline(), wrapped.run.outcome) == ("setup train[] teardown", "completed")


def test_only_the_first_fit_goes_on_from_the_state_and_nothing_is_left_in_the_model() -> None:
    state, trace, model = play(FLAT[:2], []).state_dict(), Trace(batches=False), plain()
    wrapped = trainhooks.wrap(model, callbacks=[trace], resume=state)
    fit(wrapped, epochs=3)
    fit(wrapped, epochs=1)
    assert trace.outline() == "setup train[ epoch2[] ] teardown setup train[ epoch0[] ] teardown"
    assert (wrapped.run.resumed, wrapped.run.step, len(wrapped.run.history)) == (False, 3, 1)
    assert model._initial_epoch is None  # where Keras's own BackupAndRestore leaves its mark
    assert fit(model, epochs=2).epoch == [0, 1]


class Raises(keras.callbacks.Callback):
    """A native callback that raises as training begins."""

    def on_train_begin(self, logs: Any = None) -> None:
        raise ZeroDivisionError


def test_nothing_is_left_in_the_model_where_a_native_callback_raises_as_training_begins() -> None:
    state, model = play(FLAT[:2], []).state_dict(), plain()
    with pytest.raises(ZeroDivisionError):
        fit(trainhooks.wrap(model, resume=state), epochs=3, callbacks=[Raises()])
    assert model._initial_epoch is None
    made = bridge([Trace()], resume=state)
    with pytest.raises(ZeroDivisionError):
        fit(model, epochs=3, callbacks=[made, Raises()])
    assert model._initial_epoch == 2  # Keras tells nobody: it is taken back as soon as the bridge is used again
    made.set_model(build())
    assert model._initial_epoch is None


def test_nothing_is_left_in_the_model_where_one_of_ours_raises_as_training_begins() -> None:
    state, model = play(FLAT[:2], []).state_dict(), plain()
    with pytest.raises(RuntimeError, match="asked for"):
        fit(model, epochs=3, callbacks=[bridge([RaiseAt("train_begin")], resume=state)])
    assert model._initial_epoch is None


def test_what_another_callback_told_fit_is_not_ours_to_take_back() -> None:
    model = plain()
    told = keras.callbacks.LambdaCallback(on_train_begin=lambda logs: setattr(model, "_initial_epoch", 2))
    made = bridge([Trace()])
    fit(model, epochs=3, callbacks=[made, told])
    assert (made.run.epochs_done, model._initial_epoch) == (3, 2)
    model._initial_epoch = None


def test_a_bare_bridge_tells_fit_where_to_begin() -> None:
    state = play(FLAT[:4], [EarlyStopping("loss", patience=5)]).state_dict()
    stopping = EarlyStopping("loss", patience=5)
    made = bridge([stopping], resume=state)
    model = still()
    model.set_weights([np.full((2, 1), 9), np.full(1, 9)])  # a loss above the 1 that was best
    fit(model, epochs=9, callbacks=[made])
    assert (made.run.epochs_done, stopping.wait, made.run.outcome) == (6, 5, "stopped")


def test_going_on_between_two_epochs_equals_never_having_stopped() -> None:
    def callbacks() -> list[trainhooks.Callback]:
        return [EarlyStopping("loss", patience=2), ReduceLROnPlateau("loss", patience=1, factor=0.5)]

    model = build()
    whole = trainhooks.wrap(model, callbacks=callbacks())
    model.optimizer.learning_rate = 1.5  # it runs away
    fit(whole, epochs=9)
    other = build()
    other.optimizer.learning_rate = 1.5
    states: list[Any] = []
    keep = Do("epoch_end", lambda run: states.append(run.state_dict()))
    keep.phase = "save"
    fit(trainhooks.wrap(other, callbacks=[*callbacks(), keep, StopAt("epoch_end", kind="pause")]), epochs=9)
    rest = trainhooks.wrap(other, callbacks=callbacks(), resume=states[0])
    fit(rest, epochs=9)
    assert rest.run.history == whole.run.history
    assert (rest.run.step, rest.run.outcome, rest.run.stop_reason) == (
        whole.run.step,
        whole.run.outcome,
        whole.run.stop_reason,
    )


def test_a_state_from_inside_an_epoch_is_refused_when_it_is_given() -> None:
    states: list[Any] = []
    with pytest.warns(
        UserWarning, match="never inside one. Take it at an epoch's end; or attach a callback that saves"
    ):
        fit(trainhooks.wrap(plain(), callbacks=[Do("train_batch_end", lambda run: states.append(run.state_dict()))]))
    with pytest.raises(LoopError, match="where nobody can go on from"):
        trainhooks.wrap(plain(), resume=states[0])


def test_a_state_from_inside_an_epoch_of_a_plain_loop_is_refused_with_the_reason() -> None:
    states: list[Any] = []
    play(FLAT[:1], [Do("train_batch_end", lambda run: states.append(run.state_dict()))])
    with pytest.raises(LoopError) as error:
        fit(trainhooks.wrap(plain(), resume=states[0]))
    assert "of dial's training. Keras's fit begins at an epoch, never inside one. Take a state" in str(error.value)
