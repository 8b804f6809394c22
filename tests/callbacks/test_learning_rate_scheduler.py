"""LearningRateScheduler: a function of the epoch, and the learning rate that each epoch is trained with."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from trainhooks import LoopRun, Run
from trainhooks.callbacks.learning_rate_scheduler import LearningRateScheduler
from trainhooks.errors import CapabilityError
from trainhooks.schedules import cosine
from trainhooks.testing import Do, RaiseAt, play
from trainhooks.testing.play import Dial

EPOCHS = [{"loss": 1.0}] * 3


def rates(schedule: Callable[..., Any], lr: float = 8.0) -> list[float]:
    """The learning rate that each epoch's batch was trained with."""
    seen: list[float] = []
    look = Do("train_batch_begin", lambda run: seen.append(run.lr), nth=None)
    play(EPOCHS, [LearningRateScheduler(schedule), look], trainable=Dial([lr]))
    return seen


class Decay:
    def __init__(self, by: float) -> None:
        self.by = by

    def __call__(self, epoch: int, lr: float) -> float:
        return lr * self.by

    def of_epoch(self, epoch: int) -> float:
        return self.by**epoch


@pytest.mark.parametrize(
    "schedule, wanted",
    [
        (lambda epoch: [3.0, 2.0, 1.0][epoch], [3, 2, 1]),
        (lambda epoch, lr: lr / 2, [4, 2, 1]),
        (lambda epoch, lr: lr if epoch < 2 else lr / 4, [8, 8, 2]),
        (lambda epoch, lr=5.0: lr / 2, [4, 2, 1]),
        (lambda *both: both[1] / 2, [4, 2, 1]),
        (lambda epoch, **more: epoch + 1.0, [1, 2, 3]),
        (lambda epoch, *, scale=2.0: scale, [2, 2, 2]),
        (Decay(0.5), [4, 2, 1]),
        (Decay(0.5).of_epoch, [1, 0.5, 0.25]),
        (functools.partial(lambda by, epoch, lr: lr * by, 0.5), [4, 2, 1]),
        (lambda epoch: np.float32(epoch), [0, 1, 2]),
        (lambda epoch: np.int64(epoch), [0, 1, 2]),
        (lambda epoch: epoch, [0, 1, 2]),
        (lambda epoch: np.array(0.25), [0.25] * 3),
        (cosine(8, 2), [8, 4, 0]),
    ],
)
def test_the_epochs_are_trained_with_what_the_schedule_gives(schedule: Any, wanted: list[float]) -> None:
    assert rates(schedule) == wanted


def test_the_logs_have_the_rate_of_the_epoch() -> None:
    run = play(EPOCHS, [LearningRateScheduler(lambda epoch: 1.0 + epoch)])
    assert [record.logs["learning_rate"] for record in run.history] == [1, 2, 3]


def test_the_groups_keep_their_proportions() -> None:
    dial = Dial([8, 2])
    play(EPOCHS, [LearningRateScheduler(lambda epoch, lr: lr / 2)], trainable=dial)
    assert dial.lrs == [1, 0.25]


def test_verbose_prints_what_it_sets(capsys: pytest.CaptureFixture[str]) -> None:
    play(EPOCHS[:2], [LearningRateScheduler(lambda epoch: 0.5, verbose=1), LearningRateScheduler(lambda epoch: 0.25)])
    assert capsys.readouterr().out == (
        "Epoch 1: LearningRateScheduler setting learning rate to 0.5.\n"
        "Epoch 2: LearningRateScheduler setting learning rate to 0.5.\n"
    )


@pytest.mark.parametrize(
    "given", [-0.1, float("nan"), float("inf"), None, "0.1", True, np.array([0.1]), np.array(True), 1j]
)
def test_what_is_no_rate_is_refused_at_its_epoch(given: Any) -> None:
    dial = Dial([8])
    with pytest.raises(ValueError) as caught:
        play(EPOCHS, [LearningRateScheduler(lambda epoch: given if epoch else 4.0)], trainable=dial)
    assert str(caught.value) == (
        f"LearningRateScheduler: schedule gave {given!r} for epoch 1; a learning rate is a finite number, at least 0"
    )
    assert dial.lrs == [4]


def test_a_type_error_inside_the_schedule_is_reported_as_it_is() -> None:
    def schedule(epoch: int, lr: float) -> float:
        return lr * "2"  # type: ignore[operator]

    with pytest.raises(TypeError, match="can't multiply sequence by non-int"):
        rates(schedule)


def none() -> float:
    return 0.1


def three(epoch: int, lr: float, step: int) -> float:
    return 0.1


@pytest.mark.parametrize(
    "schedule, what",
    [
        (none, "it takes () -> 'float'. Give a function of (epoch) or of (epoch, lr)."),
        (
            three,
            "it takes (epoch: 'int', lr: 'float', step: 'int') -> 'float'. "
            "Give a function of (epoch) or of (epoch, lr).",
        ),
        (0.1, "its arguments cannot be read. Give a function: lambda epoch: ..., or lambda epoch, lr: ..."),
    ],
)
def test_what_takes_neither_one_nor_two_arguments_is_refused(schedule: Any, what: str) -> None:
    with pytest.raises(TypeError) as caught:
        LearningRateScheduler(schedule)
    assert str(caught.value) == f"LearningRateScheduler(schedule={schedule!r}): {what}"


def test_it_needs_a_trainer_with_a_rate() -> None:
    with pytest.raises(CapabilityError, match="LearningRateScheduler needs 'lr'"):
        LoopRun(callbacks=[LearningRateScheduler(lambda epoch: 0.1)])


# State


def test_resuming_after_any_epoch_equals_never_having_stopped() -> None:
    def schedule(epoch: int, lr: float) -> float:
        return lr * (0.5 if epoch % 2 else 0.75)

    history = [{"loss": 1.0}] * 8
    states: list[tuple[dict[str, Any], list[float]]] = []

    def keep(run: Run) -> None:
        states.append((json.loads(json.dumps(run.state_dict())), run.lrs))

    whole = Dial([8])
    play(history, [LearningRateScheduler(schedule), Do("epoch_end", keep, nth=None)], trainable=whole)
    ended = []
    for state, lrs in states:
        dial = Dial(lrs)
        play(history, [LearningRateScheduler(schedule)], trainable=dial, resume=state)
        ended.append(dial.lrs)
    assert ended == [whole.lrs] * 8


def test_an_epoch_that_is_begun_again_is_not_decided_twice() -> None:
    scheduler, states, dial = LearningRateScheduler(lambda epoch, lr: lr / 2), [], Dial([8])
    between = Do("epoch_end", lambda run: states.append(run.state_dict()))
    with pytest.raises(RuntimeError, match="asked for"):
        play(EPOCHS, [scheduler, between, RaiseAt("train_batch_end", 1)], trainable=dial)
    inside = {**states[0], "callbacks": {"LearningRateScheduler": scheduler.state_dict()}}
    seen: list[float] = []
    look = Do("train_batch_begin", lambda run: seen.append(run.lr), nth=None)
    again = LearningRateScheduler(lambda epoch, lr: lr / 2)
    play(EPOCHS, [again, look], trainable=dial, resume=inside)
    assert seen == [2, 1]


def test_a_new_run_decides_its_first_epoch_anew() -> None:
    scheduler, dial = LearningRateScheduler(lambda epoch, lr: lr / 2), Dial([8])
    for _ in range(2):
        play(EPOCHS[:1], [scheduler], trainable=dial)
    assert dial.lrs == [2]
