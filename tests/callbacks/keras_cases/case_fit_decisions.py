"""Ours beside the real Keras classes, each through a real ``fit`` of the same model. Run by test_against_keras_fit.py.

What an epoch ends with is scripted (NaN, infinities and missing values included), all else is trained: the learning
rates, the weights that come back and those that are saved are compared to the bit.
"""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from case_decisions import Script, min_delta, mode, schedules
from case_decisions import script as any_script

import trainhooks
from trainhooks import Callback
from trainhooks.callbacks import (
    CSVLogger,
    EarlyStopping,
    LearningRateScheduler,
    ModelCheckpoint,
    ReduceLROnPlateau,
    TerminateOnNaN,
)

SEEDS = 20
"""For each class, on each backend."""

X = np.linspace(-1, 1, 12, dtype=np.float32).reshape(6, 2)
Y = X.sum(axis=1, keepdims=True) + 1
BACKEND = keras.backend.backend()


def rows(x: Any, batch_size: int) -> dict[str, Any]:
    """What ``fit`` gets: on TensorFlow a dataset, since of arrays it makes one anew, and traces it, in every fit."""
    if BACKEND != "tensorflow":
        return {"x": x, "y": Y, "batch_size": batch_size, "validation_data": (X, Y)}
    import tensorflow as tf

    made = tf.data.Dataset.from_tensor_slices
    return {"x": made((x, Y)).batch(batch_size), "validation_data": made((X, Y)).batch(batch_size)}


PLAIN = rows(X, 2)
MODEL = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
MODEL.compile(keras.optimizers.SGD(0.05, momentum=0.5), "mse")
FIRST = [value.copy() for value in MODEL.get_weights()]

seeds = pytest.mark.parametrize("seed", range(SEEDS))


def script(rng: np.random.Generator, **more: Any) -> Script:
    """At most 12 epochs of a random history: an epoch takes TensorFlow long."""
    return any_script(rng, **more)[:12]


class Scripted(keras.callbacks.Callback):
    """Stands before the one that is tried: the epochs end with the scripted ``val_loss``, or without it."""

    def __init__(self, history: Script) -> None:
        super().__init__()
        self.history, self.batches = history, 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.batches += 1

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self.history:
            del logs["val_loss"]
            logs.update({name: value for name, value in self.history[epoch].items() if name != "loss"})


def fitted(callback: Any, history: Script, *, epochs: int = 0, x: Any = X, lr: float = 0.05) -> dict[str, Any]:
    """What a fit with this callback, Keras's or ours, came to."""
    MODEL.set_weights(FIRST)
    for variable in MODEL.optimizer.variables:
        variable.assign(np.zeros(variable.shape, variable.dtype))
    MODEL.optimizer.learning_rate = lr
    scripted, is_ours = Scripted(history), isinstance(callback, Callback)
    target = trainhooks.wrap(MODEL, callbacks=[callback]) if is_ours else MODEL
    natives = [scripted] if is_ours else [scripted, callback]
    seen = target.fit(
        **(PLAIN if x is X else rows(x, 2)),
        epochs=epochs or len(history),
        shuffle=False,
        verbose=0,
        callbacks=natives,
    )
    return {
        "epochs": seen.epoch,
        "batches": scripted.batches,
        "loss": list(map(repr, seen.history["loss"])),
        "learning_rate": seen.history.get("learning_rate"),
        "weights": [value.tobytes() for value in MODEL.get_weights()],
    }


def both(theirs: Any, ours: Callback, history: Script, **more: Any) -> dict[str, Any]:
    """What both came to, which is the same."""
    wanted = fitted(theirs, history, **more)
    assert fitted(ours, history, **more) == wanted
    return wanted


STOPS: list[bool] = []


@seeds
def test_early_stopping(seed: int) -> None:
    rng = np.random.default_rng((11, seed))
    settings: dict[str, Any] = {
        "min_delta": min_delta(rng),
        "mode": mode(rng),
        "patience": int(rng.integers(0, 5)),
        "baseline": None if rng.random() < 0.5 else float(rng.integers(-30, 31)) / 16,
        "start_from_epoch": int(rng.choice([0, 0, 1, 3])),
        "restore_best_weights": bool(rng.random() < 0.7),
    }
    history = script(rng, first=settings["start_from_epoch"])
    theirs, ours = keras.callbacks.EarlyStopping(**settings), EarlyStopping(**settings, strict=False)
    both(theirs, ours, history)
    kept = ("wait", "stopped_epoch", "best_epoch", "best")
    assert [getattr(ours, name) for name in kept] == [getattr(theirs, name) for name in kept], (settings, history)
    STOPS.append(bool(ours.stopped_epoch))


def test_some_of_those_stopped_and_some_did_not() -> None:
    assert len(STOPS) == SEEDS
    assert 3 <= sum(STOPS) <= SEEDS - 3


REDUCED: list[bool] = []


@seeds
def test_reduce_lr_on_plateau(seed: int) -> None:
    rng = np.random.default_rng((12, seed))
    settings: dict[str, Any] = {
        "factor": float(rng.choice([0, 0.1, 0.5, 0.9])),
        "patience": int(rng.integers(0, 4)),
        "min_delta": min_delta(rng),
        "mode": mode(rng),
        "cooldown": int(rng.choice([0, 0, 1, 2])),
        "min_lr": float(rng.choice([0, 0.001, 0.03])),
    }
    history = script(rng)
    theirs, ours = keras.callbacks.ReduceLROnPlateau(**settings), ReduceLROnPlateau(**settings, strict=False)
    rates = both(theirs, ours, history)["learning_rate"]
    assert (ours.wait, ours.cooldown_counter, ours.best) == (theirs.wait, theirs.cooldown_counter, theirs.best)
    REDUCED.append(len(set(rates)) > 1)


def test_some_of_those_lowered_the_rate_and_some_did_not() -> None:
    assert len(REDUCED) == SEEDS
    assert 3 <= sum(REDUCED) <= SEEDS - 3


@seeds
def test_learning_rate_scheduler(seed: int) -> None:
    rng = np.random.default_rng((13, seed))
    schedule, epochs, lr = schedules(rng), int(rng.integers(1, 9)), float(rng.uniform(0.01, 0.1))
    theirs = keras.callbacks.LearningRateScheduler(schedule)
    rates = both(theirs, LearningRateScheduler(schedule), [], epochs=epochs, lr=lr)["learning_rate"]
    assert len(rates) == epochs


SAVED: list[int] = []


@seeds
def test_model_checkpoint_of_the_best(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng((14, seed))
    settings: dict[str, Any] = {"save_best_only": True, "save_weights_only": True, "mode": mode(rng)}
    if rng.random() < 0.5:
        settings["initial_value_threshold"] = float(rng.integers(-30, 31)) / 16
    # where the metric is missing Keras saves over the best: a fault, which is not ours
    history = [logs for logs in script(rng, nan_first="initial_value_threshold" in settings) if "val_loss" in logs]
    if not history:
        history = [{"val_loss": 0.5}]
    theirs = keras.callbacks.ModelCheckpoint(tmp_path / "theirs{epoch:02d}.weights.h5", **settings)
    ours = ModelCheckpoint(tmp_path / "ours{epoch:02d}.weights.h5", **settings)
    both(theirs, ours, history)
    SAVED.append(same_files(tmp_path))
    assert repr(ours.best) == repr(theirs.best)


def test_some_of_those_saved_once_and_some_more_often() -> None:
    assert len(SAVED) == SEEDS
    assert 3 <= sum(files > 1 for files in SAVED) <= SEEDS - 3


@seeds
def test_model_checkpoint_every_so_many_batches(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng((15, seed))
    freq: Any = "epoch" if seed == 0 else int(rng.integers(1, 8))
    epochs = int(rng.integers(1, 5))
    name = "{epoch:02d}.weights.h5" if freq == "epoch" else "{epoch:02d}-{batch}.weights.h5"
    more = {"save_freq": freq, "save_weights_only": True}
    theirs = keras.callbacks.ModelCheckpoint(tmp_path / f"theirs{name}", **more)
    both(theirs, ModelCheckpoint(tmp_path / f"ours{name}", **more), [], epochs=epochs)
    assert same_files(tmp_path) == (epochs if freq == "epoch" else epochs * 3 // freq)


def same_files(folder: Path) -> int:
    """How many files there are of each, which hold the same weights under the same names."""
    held: dict[str, dict[str, list[bytes]]] = {"ours": {}, "theirs": {}}
    for path in folder.iterdir():
        MODEL.load_weights(path)
        whose = "ours" if path.name.startswith("ours") else "theirs"
        held[whose][path.name.removeprefix(whose)] = [value.tobytes() for value in MODEL.get_weights()]
    assert held["ours"] == held["theirs"]
    return len(held["ours"])


ENDED: list[int] = []


@seeds
def test_terminate_on_nan(seed: int) -> None:
    rng = np.random.default_rng((16, seed))
    x, epochs = X.copy(), int(rng.integers(1, 5))
    if rng.random() < 0.6:
        x[rng.integers(len(x)), rng.integers(2)] = rng.choice([math.nan, math.inf, -math.inf])
    lr = float(rng.choice([0.05, 1e6, 1e25]))  # the middle one leaves float32 after a few batches
    came_to = both(keras.callbacks.TerminateOnNaN(), TerminateOnNaN(), [], epochs=epochs, x=x, lr=lr)
    ENDED.append(epochs * 3 - came_to["batches"])


def test_some_of_those_ended_early_and_some_did_not() -> None:
    assert len(ENDED) == SEEDS
    assert 3 <= sum(left > 0 for left in ENDED) <= SEEDS - 3


@seeds
def test_csv_logger(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng((17, seed))
    history = script(rng)
    if "val_loss" not in history[0]:  # of a metric that comes late Keras guesses or drops the column: a fault
        history[0] = {"val_loss": 0.5}
    history = [{name: value for name, value in logs.items() if name != "val_other"} for logs in history]
    theirs, ours = (tmp_path / name for name in ("theirs.csv", "ours.csv"))
    separator = str(rng.choice([",", ";", "\t"]))
    both(keras.callbacks.CSVLogger(theirs, separator), CSVLogger(ours, separator), history)
    assert table(ours, separator) == table(theirs, separator)


def table(path: Path, separator: str) -> list[list[str]]:
    """The cells of a table: the header, and in each row numbers as Python writes them."""

    def cell(text: str) -> str:
        return text if text == "NA" else repr(float(text))

    with open(path, newline="") as file:
        head, *rows = csv.reader(file, delimiter=separator)
    return [head, *([cell(text) for text in row] for row in rows)]
