"""Runs that callbacks are tried in."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from trainhooks import MLP, Callback, LoopRun, Run
from trainhooks.testing import Do, RaiseAt, StopAt, batches, play

History = Sequence[Mapping[str, Any]]


# Epochs whose logs may be other things than numbers


class Put(Callback):
    """Has epochs end with these logs, which may be other things than numbers."""

    def __init__(self, history: History) -> None:
        self.history = history

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        logs.update(self.history[epoch])


def put(history: History, *callbacks: Callback) -> None:
    """A run of empty epochs that end with these logs."""
    with LoopRun(callbacks=[Put(history), *callbacks]) as run:
        for _ in run.epochs(len(history)):
            pass


# Steps that the model's weight tells


class Numbered(MLP):
    """A real model whose one weight is the number of the step that it was saved in."""

    def __init__(self) -> None:
        super().__init__((1, 1), loss="mse")


def stepped(model: Numbered, history: list[dict[str, float]], *callbacks: Callback, **more: Any) -> LoopRun:
    """A play of ``history`` whose every step writes its number into the weight of ``model``."""

    def write(run: Run) -> None:
        model.weights["layer0/kernel"][...] = run.step

    return play(history, [Do("train_batch_end", write, nth=None), *callbacks], trainable=model, **more)


def trained(values: list[float | None], checkpoint: Callback, *others: Callback, **more: Any) -> LoopRun:
    """A run whose ``val_loss`` is each of ``values``; where it is None the epoch does not validate."""
    history = [{"loss": 0.5} if value is None else {"loss": 0.5, "val_loss": value} for value in values]
    return stepped(Numbered(), history, checkpoint, *others, **more)


# Every event


def live(*callbacks: Callback) -> None:
    """A run in which every event fires, save ``exception``; it is stopped in its second epoch."""
    model = MLP((2, 3, 2))
    batch = np.zeros((4, 2)), np.zeros(4, int)
    with LoopRun(model, [StopAt("epoch_end", 1), *callbacks]) as run:
        for _ in run.epochs(3):
            for _ in run.train(batches(2)):
                run.log(model.train_step(batch))
            for _ in run.test(batches(1)):
                run.log(model.test_step(batch))
            run.emit("checkpoint", path="x", logs=run.logs)
        for _ in run.predict(batches(1)):
            run.log(outputs=0)


def live_until(event: str, *callbacks: Callback) -> None:
    """``live``, until an exception at ``event``, which may be ``exception`` too, leaves it."""
    trouble = RaiseAt(event)
    cause = [RaiseAt("train_end")] if event == "exception" else []
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        if event == "exception":
            warnings.simplefilter("ignore", RuntimeWarning)  # a second exception is told beside the first
        with pytest.raises(RuntimeError, match="asked for"):
            live(trouble, *callbacks, *cause)
    assert trouble.fired == 1
