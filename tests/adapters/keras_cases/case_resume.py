"""A run that goes on under Keras from a state, whichever trainer it was begun under."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tiny import build, fit, plain
from trainhooks_adapters.keras import bridge

import trainhooks
from trainhooks.callbacks.early_stopping import EarlyStopping
from trainhooks.callbacks.reduce_lr_on_plateau import ReduceLROnPlateau
from trainhooks.errors import LoopError
from trainhooks.testing import Do, StopAt, Trace, play

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
    fit(wrapped, epochs=9)
    assert trace.outline() == "setup train[] teardown"
    run = wrapped.run
    assert (run.outcome, run.stop_reason, run.epochs_done, run.max_epochs) == ("stopped", stopped.stop_reason, 2, 9)
    assert model.get_weights()[0].tolist() == [[0], [0]]


def test_a_run_with_no_epoch_left_is_completed() -> None:
    state, trace = play(FLAT[:3], []).state_dict(), Trace()
    wrapped = trainhooks.wrap(plain(), callbacks=[trace], resume=state)
    fit(wrapped, epochs=3)
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


def test_a_bare_bridge_goes_on_with_the_initial_epoch_that_its_user_gives() -> None:
    state = play(FLAT[:4], [EarlyStopping("loss", patience=5)]).state_dict()
    stopping = EarlyStopping("loss", patience=5)
    made = bridge([stopping], resume=state)
    model = still()
    model.set_weights([np.full((2, 1), 9), np.full(1, 9)])  # a loss above the 1 that was best
    fit(model, epochs=9, initial_epoch=4, callbacks=[made])
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
    fit(trainhooks.wrap(plain(), callbacks=[Do("train_batch_end", lambda run: states.append(run.state_dict()))]))
    with pytest.raises(LoopError) as error:
        trainhooks.wrap(plain(), resume=states[0])
    assert str(error.value) == (
        "load_state_dict(): the state was taken inside 'pass' of epoch 0; it can be gone on from between epochs only. "
        "Take it in on_epoch_end, in a callback with phase='save', which comes after those that decide."
    )
