"""LearningRateMonitor under Keras. Run by test_learning_rate_monitor.py."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

import trainhooks
from trainhooks import Callback
from trainhooks.callbacks.learning_rate_monitor import LearningRateMonitor
from trainhooks.callbacks.learning_rate_scheduler import LearningRateScheduler
from trainhooks.testing import Do

X = np.zeros((4, 1), np.float32)


def fitted(*callbacks: Callback, lr: Any = 0.5) -> tuple[Any, list[float]]:
    """The run, and the rates in Keras's own history."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(lr), "mse")
    wrapped = trainhooks.wrap(model, callbacks=callbacks)
    theirs = wrapped.fit(X, X[:, :1], batch_size=2, epochs=3, validation_data=(X, X), verbose=0)
    return wrapped.run, theirs.history["learning_rate"]


def halved(run: Any) -> None:
    run.lr = run.lr / 2


@pytest.mark.parametrize("unit", ["epoch", "step"])
def test_an_epoch_has_the_rate_that_it_was_trained_with(unit: Any) -> None:
    decide = Do("epoch_end", halved, nth=None)
    decide.phase = "decide"
    run, native = fitted(decide, LearningRateMonitor(unit))
    assert [record.logs["learning_rate"] for record in run.history] == [0.5, 0.25, 0.125]
    assert native == [0.5, 0.25, 0.125]


def test_a_scheduler_says_the_same() -> None:
    run, _ = fitted(LearningRateMonitor(), LearningRateScheduler(lambda epoch: 2.0**-epoch))
    assert [record.logs["learning_rate"] for record in run.history] == [1.0, 0.5, 0.25]


def test_with_steps_each_batch_has_its_own() -> None:
    class Look(Callback):
        phase = "report"

        def __init__(self) -> None:
            self.seen: list[float] = []

        def on_train_batch_end(self, logs: Any) -> None:
            self.seen.append(logs["learning_rate"])

    look = Look()
    _, native = fitted(Do("train_batch_begin", halved, nth=None), look, LearningRateMonitor("step"))
    assert look.seen == [2.0**-power for power in range(2, 8)]
    assert native == look.seen[1::2]


def test_a_schedule_in_the_optimizer_which_cannot_be_set_is_read_all_the_same() -> None:
    decay = keras.optimizers.schedules.ExponentialDecay(1.0, decay_steps=2, decay_rate=0.5, staircase=True)
    run, _ = fitted(LearningRateMonitor("step"), lr=decay)
    assert run.can("lr") is False
    # the rate of the optimizer's next update: after an epoch's two it has fallen
    assert [record.logs["learning_rate"] for record in run.history] == [0.5, 0.25, 0.125]
