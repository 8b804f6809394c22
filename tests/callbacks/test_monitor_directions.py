"""Monitor: which way a metric is better, where the trainer knows."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Literal

import pytest

from trainhooks import Callback, LoopRun, Run, Trainable
from trainhooks.callbacks import EarlyStopping, ModelCheckpoint, ReduceLROnPlateau


class Knows(Trainable):
    """A trainer that knows some of its metrics, once it has told of them."""

    framework = "knows"
    model = "a model"

    def __init__(self, **directions: Literal["min", "max"]) -> None:
        self.directions = directions

    def direction(self, metric: str) -> Literal["min", "max"] | None:
        return self.directions.get(metric)


def train(trainable: Trainable, values: Sequence[float], *callbacks: Callback, resume: Any = None) -> Run:
    """A run whose epochs report ``values`` as ``gain``."""
    with LoopRun(trainable, callbacks, resume=resume, plugins="none") as run:
        for epoch in run.epochs(len(values)):
            for _ in run.train(range(1)):
                run.log({"gain": values[epoch]})
    return run.run


def test_the_trainer_tells_what_the_name_does_not() -> None:
    stopping = EarlyStopping("gain", patience=2)
    assert train(Knows(gain="max"), [1, 2, 3, 2, 2, 9], stopping).epochs_done == 5
    assert (stopping.best, stopping.best_epoch) == (3, 2)


def test_the_trainer_is_asked_before_the_name() -> None:
    trainable = Knows(gain_loss="max")
    stopping = EarlyStopping("gain_loss", patience=1)
    with LoopRun(trainable, [stopping], plugins="none") as run:
        for epoch in run.epochs(3):
            for _ in run.train(range(1)):
                run.log({"gain_loss": float(epoch)})
    assert (run.run.epochs_done, stopping.best) == (3, 2.0)


def test_a_mode_that_is_given_holds_whatever_the_trainer_says() -> None:
    stopping = EarlyStopping("gain", patience=9, mode="min")
    train(Knows(gain="max"), [1, 2, 3], stopping)
    assert stopping.best == 1


def test_a_name_that_nobody_knows_is_refused() -> None:
    with pytest.raises(ValueError, match=r"mode='auto' cannot tell which way it is better"):
        train(Knows(), [1, 2], EarlyStopping("gain"))


def test_the_next_run_asks_its_own_trainer() -> None:
    stopping = EarlyStopping("gain", patience=9)
    train(Knows(gain="max"), [1, 2, 3], stopping)
    train(Knows(gain="min"), [1, 2, 3], stopping)
    assert stopping.best == 1
    with pytest.raises(ValueError, match=r"cannot tell"):
        train(Knows(), [1, 2], stopping)


class Keeps(Callback):
    phase = "save"

    def __init__(self) -> None:
        self.states: list[Any] = []

    def on_epoch_end(self, run: Run) -> None:
        self.states.append(run.state_dict())


def test_what_the_trainer_told_goes_on_with_the_state() -> None:
    whole, keeps = EarlyStopping("gain", patience=2), Keeps()
    values = [3, 2, 4, 1, 1, 1]
    expected = train(Knows(gain="max"), values, whole, keeps).epochs_done
    for state in keeps.states[:-1]:
        rest = EarlyStopping("gain", patience=2)
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # that it begins anew would be a warning
            run = train(Knows(gain="max"), values, rest, Keeps(), resume=state)
        assert (run.epochs_done, rest.best, rest.best_epoch) == (expected, 4, 2)


def test_each_callback_that_monitors_asks(tmp_path: Any) -> None:
    class Saves(Knows):
        formats = {".txt": "nothing"}

        def get_lrs(self) -> list[float]:
            return [self.lr]

        def set_lrs(self, lrs: Sequence[float]) -> None:
            (self.lr,) = lrs

        def save(self, path: Any) -> None:
            path.write_text("")

    trainable = Saves(gain="max")
    trainable.lr = 1.0
    saved = ModelCheckpoint(tmp_path / "{epoch}.txt", "gain", save_best_only=True)
    train(trainable, [1, 3, 2, 2, 4], saved, ReduceLROnPlateau("gain", factor=0.5, patience=2))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.txt", "2.txt", "5.txt"]
    assert trainable.lr == 0.5
