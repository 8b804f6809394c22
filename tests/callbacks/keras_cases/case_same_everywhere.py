"""One object each of the built-ins that decide, used in turn under every trainer. Run by test_against_keras.py.

The learning rates are powers of two, so that float32 and float64 hold the same.
"""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import pytest
import torch
from trainhooks_adapters.keras import bridge

import trainhooks
from trainhooks import Callback, Run
from trainhooks.callbacks.early_stopping import EarlyStopping
from trainhooks.callbacks.learning_rate_scheduler import LearningRateScheduler
from trainhooks.callbacks.reduce_lr_on_plateau import ReduceLROnPlateau
from trainhooks.testing import RaiseAt, play
from trainhooks.testing.play import Dial

LR = 0.5
STOPPED: list[bool] = []

Story = tuple[list[tuple[int, float, float]], str | None, float]
"""For each epoch its number, the metric and the learning rate after it; why it stopped; the weight it ended with."""


class Told(Callback):
    phase = "save"

    def on_train_begin(self) -> None:
        self.epochs: list[tuple[int, str, float]] = []

    def on_epoch_end(self, run: Run, epoch: int, logs: Any) -> None:
        self.epochs.append((epoch, repr(logs.get("val_loss")), run.lr))


class Scripted(keras.callbacks.Callback):
    """Stands before ours: the epoch ends with the scripted metrics, and its number as the weight."""

    def __init__(self, history: list[dict[str, float]]) -> None:
        super().__init__()
        self.history = history

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        assert logs is not None
        del logs["val_loss"]
        logs.update(self.history[epoch])
        self.model.set_weights([np.array([[epoch]], np.float32)])


ROWS = np.zeros((2, 1), np.float32)
MODEL = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
MODEL.compile("sgd", "mse")


def under_keras(history: list[dict[str, float]], callbacks: list[Callback]) -> tuple[Run, float]:
    MODEL.optimizer.learning_rate = LR
    ours = bridge(callbacks)
    MODEL.fit(
        ROWS, ROWS, validation_data=(ROWS, ROWS), epochs=len(history), verbose=0, callbacks=[Scripted(history), ours]
    )
    return ours.run, float(MODEL.get_weights()[0][0, 0])


def under_torch(history: list[dict[str, float]], callbacks: list[Callback]) -> tuple[Run, float]:
    model = torch.nn.Linear(1, 1, bias=False, device="cpu")
    optimizer = torch.optim.SGD(model.parameters(), lr=LR)
    with trainhooks.wrap(model, optimizer=optimizer, callbacks=callbacks) as run:
        for epoch in run.epochs(len(history)):
            for _ in run.train([0]):
                loss = model(torch.zeros(1, 1, device="cpu")).sum()
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
                run.log(loss=history[epoch]["loss"])
            with torch.no_grad():
                model.weight.fill_(epoch)
            for _ in run.test([0]):
                run.log({name[4:]: value for name, value in history[epoch].items() if name.startswith("val_")})
    return run.run, model.weight.item()


def under_the_reference_loop(history: list[dict[str, float]], callbacks: list[Callback]) -> tuple[Run, float]:
    dial = Dial([LR], np.float32)
    return play(history, callbacks, trainable=dial).run, dial.weight


TRAINERS = (under_the_reference_loop, under_keras, under_torch)


def history(rng: np.random.Generator) -> list[dict[str, float]]:
    """Up to 14 epochs that validate: a falling ``val_loss`` with ties, NaN, infinities and gaps."""
    made = []
    for epoch in range(rng.integers(4, 15)):
        value = float(rng.integers(-8, 9) - epoch) / 8
        if rng.random() < 0.1:
            value = float(rng.choice([math.nan, math.inf]))
        logs = {"loss": 1.0, "val_other": 1.0}
        if rng.random() < 0.9:
            logs["val_loss"] = value
        made.append(logs)
    return made


@pytest.mark.filterwarnings("ignore:EarlyStopping", "ignore:ReduceLROnPlateau")
@pytest.mark.parametrize("seed", range(20))
def test_the_same_object_stops_at_the_same_epoch_with_the_same_rates(seed: int) -> None:
    rng = np.random.default_rng(seed)
    script, told = history(rng), Told()
    halving = int(rng.integers(2, 6))
    callbacks: list[Callback] = [
        EarlyStopping(patience=int(rng.integers(1, 6)), restore_best_weights=True, strict=False),
        ReduceLROnPlateau(factor=0.25, patience=int(rng.integers(1, 4)), min_lr=2.0**-12, strict=False),
        LearningRateScheduler(lambda epoch, lr: lr if (epoch + 1) % halving else lr / 2),
        told,
    ]
    stories: list[Story] = []
    for at in rng.permutation(len(TRAINERS)):
        run, weight = TRAINERS[at](script, callbacks)
        stories.append((told.epochs, run.stop_reason, weight))
    assert stories[0] == stories[1] == stories[2]
    assert len({lr for *_, lr in stories[0][0]}) > 1 or len(stories[0][0]) < halving
    STOPPED.append(stories[0][1] is not None)


def test_some_of_them_stopped_and_some_did_not() -> None:
    assert len(STOPPED) >= 20
    assert {True, False} == set(STOPPED)


FALLING_AND_RISING = [{"loss": 1.0, "val_loss": value} for value in (2.0, 1.0, 3.0, 4.0, 5.0)]


class AtTheEnd(Callback):
    """Keep the weights that the model has after ``exception`` was told to all before it."""

    phase = "save"

    def on_exception(self, run: Run) -> None:
        (self.weight,) = run.get_weights().values()


@pytest.mark.parametrize("trainer", [under_keras, under_torch])
@pytest.mark.parametrize("event", ["train_batch_end", "test_begin", "epoch_end"])
def test_after_an_exception_the_best_weights_come_back_and_are_in_the_state(trainer: Any, event: str) -> None:
    stopping, end = EarlyStopping(patience=9, restore_best_weights=True), AtTheEnd()
    with pytest.raises(RuntimeError, match="asked for"):
        trainer(FALLING_AND_RISING, [stopping, RaiseAt(event, 3), end])
    (kept,) = stopping.state_dict()["best_weights"]["weights"].values()
    assert (end.weight.item(), kept.item()) == (1, 1)
