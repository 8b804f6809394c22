"""Our decisions beside those of the real Keras classes, on random histories. Run by test_against_keras.py.

Keras compares in float32, so all values are multiples of 1/64 of small size: their sums are exact in both.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from trainhooks import Callback, LoopRun, Run
from trainhooks.callbacks._monitor import direction
from trainhooks.callbacks.early_stopping import EarlyStopping
from trainhooks.callbacks.learning_rate_scheduler import LearningRateScheduler
from trainhooks.callbacks.model_checkpoint import ModelCheckpoint
from trainhooks.callbacks.reduce_lr_on_plateau import ReduceLROnPlateau
from trainhooks.callbacks.terminate_on_nan import TerminateOnNaN
from trainhooks.testing import Do, play
from trainhooks.testing.play import Dial

HISTORIES = int(os.environ.get("HISTORIES", "2000"))
"""Random histories for each class."""

Script = list[dict[str, float]]


class Saving(keras.Sequential):
    """A real model that only notes to which file its weights would go."""

    def save_weights(self, filepath: Any, overwrite: bool = True, **more: Any) -> None:
        self.saved.append(int(Path(filepath).name.split(".")[0]) - 1)


MODEL = Saving([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
MODEL.compile("sgd", "mse")


class After(Callback):
    """Write down ``look(run)`` after the decisions of each epoch."""

    phase = "save"

    def __init__(self, look: Callable[[Run], Any]) -> None:
        self.look, self.seen = look, []

    def on_epoch_end(self, run: Run) -> None:
        self.seen.append(self.look(run))


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Both warn of a metric that is missing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def seeds(kind: int) -> list[np.random.Generator]:
    made = [np.random.default_rng((kind, number)) for number in range(HISTORIES)]
    assert len(made) >= 200
    return made


def number(rng: np.random.Generator, grain: int, wild: float) -> float:
    if rng.random() < wild:
        return float(rng.choice([math.inf, -math.inf, math.nan]))
    return float(rng.integers(-40, 41)) / grain


def script(rng: np.random.Generator, *, first: int = 0, nan_first: bool = False) -> Script:
    """1 to 25 epochs with ``val_loss``, or without it; of the values from epoch ``first`` on the first is no NaN."""
    grain = int(rng.choice([4, 16, 64]))  # the coarser, the more ties
    wild, missing = rng.choice([0, 0, 0.15, 0.4]), rng.choice([0, 0, 0.2, 0.5])
    drift = float(rng.integers(-2, 3)) / grain
    made: Script = []
    begun = nan_first
    for epoch in range(rng.integers(1, 26)):
        logs = {"loss": 1.0}
        if rng.random() < missing:
            if rng.random() < 0.5:
                logs["val_other"] = 1.0  # it validated, and the metric is missing all the same
        else:
            value = number(rng, grain, wild) + epoch * drift
            if math.isnan(value) and epoch >= first and not begun:
                value = 0.5
            begun = begun or epoch >= first
            logs["val_loss"] = value
        made.append(logs)
    return made


def min_delta(rng: np.random.Generator) -> float:
    return float(rng.choice([0, 0, 1, -1, 5, -12])) / 64


def mode(rng: np.random.Generator) -> Any:
    return str(rng.choice(["min", "max", "auto"]))


def in_keras(callback: Any, history: Script, look: Callable[[dict[str, Any]], Any]) -> list[Any]:
    """Feed ``history`` to a Keras callback as ``fit`` would; what ``look(logs)`` sees after each epoch."""
    MODEL.stop_training, seen = False, []
    callback.set_model(MODEL)
    callback.on_train_begin()
    for epoch, logs in enumerate(history):
        callback.on_epoch_begin(epoch)
        if getattr(callback, "restore_best_weights", False):
            MODEL.set_weights([np.array([[epoch]], np.float32)])
        ends = dict(logs)
        callback.on_epoch_end(epoch, ends)
        seen.append(look(ends))
        if MODEL.stop_training:
            break
    callback.on_train_end()
    return seen


def keras_lr() -> float:
    return float(keras.ops.convert_to_numpy(MODEL.optimizer.learning_rate))


def test_early_stopping_decides_as_keras() -> None:
    stopped = 0
    for rng in seeds(1):
        settings = {
            "min_delta": min_delta(rng),
            "mode": mode(rng),
            "patience": int(rng.integers(0, 6)),
            "baseline": None if rng.random() < 0.5 else float(rng.integers(-30, 31)) / 16,
            "start_from_epoch": int(rng.choice([0, 0, 1, 3, 8])),
            "restore_best_weights": bool(rng.random() < 0.7),
        }
        history = script(rng, first=settings["start_from_epoch"])
        theirs, ours, dial = keras.callbacks.EarlyStopping(**settings), EarlyStopping(**settings, strict=False), Dial()
        after = After(lambda run, es=ours: (es.wait, es.best, es.best_epoch))
        wanted = in_keras(theirs, history, lambda logs, es=theirs: (es.wait, es.best, es.best_epoch))
        run = play(history, [ours, after], trainable=dial)
        assert after.seen == wanted, (settings, history)
        assert (ours.stopped_epoch, run.should_stop) == (theirs.stopped_epoch, MODEL.stop_training), (settings, history)
        if ours.restore_best_weights:
            assert dial.weight == float(MODEL.get_weights()[0][0, 0]), (settings, history)
        stopped += run.should_stop
    assert 0.2 * HISTORIES < stopped < 0.9 * HISTORIES  # both kinds were compared


def test_reduce_lr_on_plateau_decides_as_keras() -> None:
    reduced = 0
    for rng in seeds(2):
        settings = {
            "factor": float(rng.choice([0, 0.1, 0.5, 0.9])),
            "patience": int(rng.integers(0, 6)),
            "min_delta": min_delta(rng),
            "mode": mode(rng),
            "cooldown": int(rng.choice([0, 0, 1, 2, 5])),
            "min_lr": float(rng.choice([0, 0.001, 0.05, 0.1, 0.3])),
        }
        history, lr = script(rng), float(rng.choice([0.01, 0.1, 0.3]))
        theirs, ours = keras.callbacks.ReduceLROnPlateau(**settings), ReduceLROnPlateau(**settings, strict=False)
        MODEL.optimizer.learning_rate = lr
        wanted = in_keras(
            theirs,
            history,
            lambda logs, cb=theirs: (keras_lr(), logs["learning_rate"], cb.wait, cb.cooldown_counter, cb.best),
        )
        after = After(lambda run, cb=ours: (run.lr, run.logs["learning_rate"], cb.wait, cb.cooldown_counter, cb.best))
        play(history, [ours, after], trainable=Dial([lr], np.float32))
        assert after.seen == wanted, (settings, lr, history)
        reduced += after.seen[-1][0] < after.seen[0][1]
    assert 0.2 * HISTORIES < reduced < 0.9 * HISTORIES


def schedules(rng: np.random.Generator) -> Callable[..., float]:
    table = [float(lr) for lr in rng.uniform(0, 1, 25)]
    decay = float(rng.uniform(0.5, 1))
    made: list[Callable[..., float]] = [
        lambda epoch: table[epoch],
        lambda epoch, lr: lr * decay,
        lambda epoch, lr: table[epoch] if epoch % 3 else lr,
        lambda epoch, lr=0.5: lr * decay,
        lambda *both: both[1] * decay + both[0] * 0.01,
        lambda epoch: np.float32(table[epoch]),
        lambda epoch, lr: np.float64(lr) * decay,
        lambda epoch, **more: table[epoch],
    ]
    return made[rng.integers(len(made))]


def test_learning_rate_scheduler_decides_as_keras() -> None:
    for rng in seeds(3):
        schedule, lr, epochs = schedules(rng), float(rng.uniform(0, 1)), int(rng.integers(1, 26))
        MODEL.optimizer.learning_rate = lr
        look = in_keras(
            keras.callbacks.LearningRateScheduler(schedule),
            [{}] * epochs,
            lambda logs: keras_lr(),
        )
        after = After(lambda run: (run.lr, run.logs["learning_rate"]))
        play([{"loss": 1.0}] * epochs, [LearningRateScheduler(schedule), after], trainable=Dial([lr], np.float32))
        assert after.seen == [(one, one) for one in look]


class Weightless(Dial):
    """A dial whose weights can be saved."""

    def get_weights(self) -> dict[str, Any]:
        return {}

    def set_weights(self, weights: Any) -> None:
        raise NotImplementedError


def test_model_checkpoint_saves_what_keras_saves(tmp_path: Path) -> None:
    for rng in seeds(4):
        settings = {
            "mode": mode(rng),
            "initial_value_threshold": None if rng.random() < 0.5 else float(rng.integers(-30, 31)) / 16,
        }
        history = script(rng, nan_first=settings["initial_value_threshold"] is not None)
        MODEL.saved = []
        theirs = keras.callbacks.ModelCheckpoint(
            "{epoch}.weights.h5", save_best_only=True, save_weights_only=True, **settings
        )
        bests = in_keras(theirs, history, lambda logs, cb=theirs: cb.best)
        # where the metric is missing Keras saves over the best: a fault, which is not ours
        wanted = [epoch for epoch in MODEL.saved if "val_loss" in history[epoch]]
        ours = ModelCheckpoint(tmp_path / "w.safetensors", save_best_only=True, strict=False, **settings)
        after = After(lambda run, cb=ours: cb.best)
        saved: list[int] = []

        listen = Do("checkpoint", lambda run, saved=saved: saved.append(run.epoch), nth=None)
        play(history, [ours, listen, after], trainable=Weightless())
        assert (saved, after.seen) == (wanted, bests), (settings, history)


def test_terminate_on_nan_stops_where_keras_stops() -> None:
    ended = 0
    for rng in seeds(5):
        wild = rng.choice([0, 0.02, 0.2])
        losses = [number(rng, 16, wild) for _ in range(rng.integers(1, 26))]
        theirs, wanted, total = keras.callbacks.TerminateOnNaN(), len(losses), 0.0
        theirs.set_model(MODEL)
        MODEL.stop_training = False
        for batch, loss in enumerate(losses):
            total += loss
            theirs.on_batch_end(batch, {"loss": total / (batch + 1)})  # a running mean, as fit gives it
            if MODEL.stop_training:
                wanted = batch + 1
                break
        with LoopRun(callbacks=[TerminateOnNaN()]) as run:
            for _ in run.epochs(1):
                for loss in run.train(losses):
                    run.log(loss=loss)
        assert (run.step, run.should_stop) == (wanted, MODEL.stop_training), losses
        ended += run.should_stop
    assert 0.2 * HISTORIES < ended < 0.9 * HISTORIES


# Where ours differ, and say so

NAN_FIRST = [{"val_loss": value} for value in (math.nan, 3.0, 2.0, 2.0)]


def test_a_nan_that_comes_first_is_never_beaten_in_keras_and_never_the_best_in_ours() -> None:
    theirs, ours = keras.callbacks.EarlyStopping(patience=2), EarlyStopping(patience=2)
    in_keras(theirs, NAN_FIRST, lambda logs: None)
    play(NAN_FIRST, [ours])
    assert (repr(theirs.best), theirs.stopped_epoch, ours.best, ours.stopped_epoch) == ("nan", 2, 2.0, 0)


def test_after_a_nan_that_comes_first_keras_lowers_the_rate_while_the_metric_improves() -> None:
    MODEL.optimizer.learning_rate = 0.5
    theirs = keras.callbacks.ReduceLROnPlateau(patience=2, factor=0.5)
    after = After(lambda run: run.lr)
    rates = in_keras(theirs, NAN_FIRST, lambda logs: keras_lr())
    play(NAN_FIRST, [ReduceLROnPlateau(patience=2, factor=0.5), after], trainable=Dial([0.5]))
    assert (rates, after.seen) == ([0.5, 0.5, 0.25, 0.25], [0.5, 0.5, 0.5, 0.5])


def test_a_nan_that_comes_first_is_saved_by_keras_and_nothing_after_it(tmp_path: Path) -> None:
    MODEL.saved = []
    theirs = keras.callbacks.ModelCheckpoint("{epoch}.weights.h5", save_best_only=True, save_weights_only=True)
    in_keras(theirs, NAN_FIRST, lambda logs: None)
    ours = ModelCheckpoint(tmp_path / "{epoch}.safetensors", save_best_only=True)
    play(NAN_FIRST, [ours], trainable=Weightless())
    assert (MODEL.saved, sorted(path.name for path in tmp_path.iterdir())) == ([0], ["2.safetensors", "3.safetensors"])


def test_an_int_from_a_schedule_is_refused_by_keras_and_taken_by_ours() -> None:
    theirs = keras.callbacks.LearningRateScheduler(lambda epoch: 1)
    with pytest.raises(ValueError, match="should be a float"):
        in_keras(theirs, [{}], lambda logs: None)
    run = play([{"loss": 1.0}], [LearningRateScheduler(lambda epoch: 1)])
    assert run.lr == 1.0


# The direction that a name tells


def metrics() -> list[Any]:
    more = {
        "IoU": {"num_classes": 2, "target_class_ids": [0]},
        "MeanIoU": {"num_classes": 2},
        "OneHotIoU": {"num_classes": 2, "target_class_ids": [0]},
        "OneHotMeanIoU": {"num_classes": 2},
        "PrecisionAtRecall": {"recall": 0.5},
        "RecallAtPrecision": {"precision": 0.5},
        "SensitivityAtSpecificity": {"specificity": 0.5},
        "SpecificityAtSensitivity": {"sensitivity": 0.5},
        "MeanMetricWrapper": {"fn": lambda y, z: y},
    }
    made = {}
    for name, cls in vars(keras.metrics).items():
        if isinstance(cls, type) and issubclass(cls, keras.metrics.Metric) and cls is not keras.metrics.Metric:
            made[cls] = cls(**more.get(name, {}))
    return list(made.values())


def test_a_name_tells_the_direction_that_keras_gives_the_metric_of_that_name() -> None:
    ways = {"up": "max", "down": "min", None: None}
    wanted = {one.name: ways[getattr(one, "_direction", None)] for one in metrics()}
    assert len(wanted) > 40
    assert {name: direction(name) for name in wanted} == wanted
    assert {f"val_{name}": direction(f"val_{name}") for name in wanted} == {f"val_{n}": w for n, w in wanted.items()}
