"""LearningRateScheduler(unit="step"): the rate that each batch is trained with is the schedule's."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import trainhooks
from trainhooks import MLP, Callback, LoopRun, Run, fit
from trainhooks.callbacks.learning_rate_scheduler import LearningRateScheduler
from trainhooks.schedules import cosine, preview, warmup
from trainhooks.testing import Do, RaiseAt, batches
from trainhooks.testing.play import Dial

WARM = warmup(2, cosine(0.5, 4, end=0.125))


class Rates(Callback):
    """The rates that batches were trained with, as the last to look at them saw them."""

    phase = "save"

    def __init__(self) -> None:
        self.seen: list[float] = []

    def on_train_batch_begin(self, run: Run) -> None:
        self.seen.append(run.lr)


def drive(run: LoopRun, epochs: int = 2, steps: int = 3) -> None:
    for _ in run.epochs(epochs):
        for _ in run.train(batches(steps)):
            run.log(loss=1.0)


def rates(schedule: Callable[..., Any], **more: Any) -> list[float]:
    look = Rates()
    with LoopRun(Dial([8]), [LearningRateScheduler(schedule, unit="step"), look]) as run:
        drive(run, **more)
    return look.seen


# The rates


def test_it_is_asked_for_each_batch_of_the_whole_run() -> None:
    assert rates(lambda step: step + 1) == [1, 2, 3, 4, 5, 6]
    assert rates(lambda step, lr: lr / 2) == [4, 2, 1, 0.5, 0.25, 0.125]
    assert rates(WARM) == preview(WARM, 6).tolist()


def test_the_logs_have_the_rate_of_the_epoch_s_last_batch() -> None:
    with LoopRun(Dial(), [LearningRateScheduler(lambda step: step, unit="step")]) as run:
        drive(run)
    assert [record.logs["learning_rate"] for record in run.history] == [2, 5]


def test_verbose_prints_once_an_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    with LoopRun(Dial(), [LearningRateScheduler(lambda step: step / 2, 1, unit="step")]) as run:
        drive(run)
    assert capsys.readouterr().out == (
        "Epoch 1: LearningRateScheduler came to learning rate 1.0.\n"
        "Epoch 2: LearningRateScheduler came to learning rate 2.5.\n"
    )


def listened(**settings: Any) -> list[str]:
    scheduler = LearningRateScheduler(lambda number: 0.1, **settings)
    return sorted(one.event.name for one in scheduler.listeners())


def test_it_listens_to_batches_only_where_it_counts_them() -> None:
    assert listened() == listened(unit="epoch") == ["epoch_begin", "epoch_end"]
    assert listened(unit="step") == ["epoch_end", "train_batch_begin"]


def test_two_of_them_may_steer_by_epochs_and_by_steps() -> None:
    look, by_epoch = Rates(), LearningRateScheduler(lambda epoch: 8 / (epoch + 1))
    with LoopRun(Dial(), [by_epoch, LearningRateScheduler(lambda step, lr: lr / 2, unit="step"), look]) as run:
        drive(run)
    assert look.seen == [4, 2, 1, 2, 1, 0.5]


# A step that begins and is not trained, as in Keras where data runs out, and begins again in the next epoch


def with_a_vain_batch(schedule: Callable[..., float], change: Callable[[Run], object] = id) -> Any:
    """The rates of the batches, where each epoch's third does not count; those in the logs."""
    look, scheduler = Rates(), LearningRateScheduler(schedule, unit="step")
    with LoopRun(Dial([8]), [scheduler, Do("epoch_end", change, nth=None), look]) as run:
        for _ in run.epochs(2):
            for batch in run.train(batches(3)):
                if batch == 2:
                    break
                run.log(loss=1.0)
    return look.seen, [record.logs["learning_rate"] for record in run.history]


def test_a_step_that_begins_twice_is_decided_once() -> None:
    assert with_a_vain_batch(lambda step, lr: lr / 2) == ([4, 2, 1, 1, 0.5, 0.25], [2, 0.5])


def test_and_keeps_its_rate_whatever_was_set_in_between() -> None:
    def change(run: Run) -> None:
        run.lr = 7.0

    assert with_a_vain_batch(lambda step: 4 - step, change) == ([4, 3, 2, 2, 1, 0], [3, 1])


# State


def through_json(state: dict[str, Any]) -> dict[str, Any]:
    return json.loads(json.dumps(state))


@pytest.mark.parametrize("schedule", [WARM, lambda step, lr: lr / 2])
def test_resuming_after_any_epoch_equals_never_having_stopped(schedule: Any) -> None:
    states: list[tuple[dict[str, Any], list[float]]] = []
    keep, look = (
        Do("epoch_end", lambda run: states.append((through_json(run.state_dict()), run.lrs)), nth=None),
        Rates(),
    )
    keep.phase = "save"
    with LoopRun(Dial([8]), [LearningRateScheduler(schedule, unit="step"), keep, look]) as run:
        drive(run, epochs=4)
    for done, (state, lrs) in enumerate(states, start=1):
        again = Rates()
        with LoopRun(Dial(lrs), [LearningRateScheduler(schedule, unit="step"), again], resume=state) as run:
            drive(run, epochs=4)
        assert again.seen == look.seen[3 * done :]


def test_a_step_that_a_resumed_run_begins_again_is_not_decided_twice() -> None:
    first, again = (LearningRateScheduler(lambda step, lr: lr / 2, unit="step") for _ in range(2))
    dial, look, states = Dial([8]), Rates(), []
    between, fail = Do("epoch_end", lambda run: states.append(run.state_dict())), RaiseAt("train_batch_begin", 3)
    fail.phase = "report"  # when the rate is set
    with pytest.raises(RuntimeError, match="asked for"), LoopRun(dial, [first, between, fail]) as run:
        drive(run)
    inside = {**states[0], "callbacks": {"LearningRateScheduler": through_json(first.state_dict())}}
    with LoopRun(dial, [again, look], resume=inside) as run:
        drive(run)
    assert look.seen == [0.5, 0.25, 0.125]


class Keep(Callback):
    def save(self, run: Run) -> None:
        self.state = run.state_dict()


def test_a_step_that_was_begun_and_left_before_a_pause_gives_the_epoch_no_rate_after_it() -> None:
    def loop(*callbacks: Callback, resume: Any = None) -> Any:
        scheduler = LearningRateScheduler(lambda step: 2.0**-step, unit="step")
        with LoopRun(Dial([8]), [scheduler, *callbacks], resume=resume) as run:
            for _ in run.epochs(1):
                for batch in run.train(range(3)):
                    if batch == 2:
                        break
                    run.log(loss=1.0)
                for _ in run.test([0]):
                    run.log(loss=1.0)
        return run.history

    keep = Keep()
    whole = loop(keep, Do("test_end", Run.save))
    assert whole[0].logs["learning_rate"] == 0.5
    assert loop(resume=keep.state) == whole


def test_a_state_of_the_other_unit_is_told_of_and_left() -> None:
    old, new = LearningRateScheduler(lambda epoch: 0.1), LearningRateScheduler(lambda step: 0.1, unit="step")
    with LoopRun(Dial(), [old]) as run:
        drive(run)
    with pytest.warns(UserWarning, match="saved with unit='epoch'; the constructor's unit='step' holds") as caught:
        new.load_state_dict(through_json(old.state_dict()))
    assert len(caught) == 1
    assert new.state_dict() == LearningRateScheduler(lambda step: 0.1, unit="step").state_dict()


def test_a_state_from_before_there_were_units_is_of_epochs() -> None:
    scheduler = LearningRateScheduler(lambda epoch: 0.1)
    scheduler.load_state_dict({"decided": 3})
    assert scheduler.state_dict() == {"decided": 3, "unit": "epoch"}


def test_a_new_run_counts_from_0_again() -> None:
    scheduler, look = LearningRateScheduler(lambda step: step, unit="step"), Rates()
    for _ in range(2):
        with LoopRun(Dial(), [scheduler, look]) as run:
            drive(run, epochs=1)
    assert look.seen == [0, 1, 2, 0, 1, 2]


# Under real trainers: the first weight of a model whose gradient is 1 moves by the rate

MOVES = preview(WARM, 8)


class Even(MLP):
    """A numpy model whose every gradient is -1, so that an update adds the rate."""

    def gradients(self, batch: Any) -> Any:
        return {"loss": 1.0}, {name: -np.ones_like(weight) for name, weight in self.weights.items()}


def test_each_update_of_a_numpy_model_has_the_schedule_s_rate() -> None:
    model, biases = Even((1, 1), loss="mse", lr=8), [0.0]
    look = Do("train_batch_end", lambda run: biases.append(model.weights["layer0/bias"].item()), nth=None)
    data = np.ones((16, 1), np.float32), np.ones((16, 1), np.float32)
    fit(model, data, epochs=2, batch_size=4, callbacks=[look, LearningRateScheduler(WARM, unit="step")])
    np.testing.assert_allclose(np.diff(biases), MOVES, atol=1e-6)


def torch_moves(epochs: int, state: dict[str, Any] | None = None, *, accumulate: int = 1) -> tuple[list[float], Any]:
    """By how much each batch moved the weight of a PyTorch module whose gradient is 1, and the state at the end."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    model, seen = torch.nn.Linear(1, 1, bias=False), []
    optimizer = torch.optim.SGD(model.parameters(), lr=8)
    scheduler = LearningRateScheduler(WARM, unit="step")
    states: list[dict[str, Any]] = []
    keep = Do("epoch_end", lambda run: states.append(run.state_dict()), nth=None)
    keep.phase = "save"
    with trainhooks.wrap(model, optimizer=optimizer, callbacks=[scheduler, keep], resume=state) as run:
        for _ in run.epochs(epochs):
            for batch in run.train(batches(4)):
                before = model.weight.item()
                loss = -model(torch.ones(1, 1)).sum() / accumulate
                loss.backward()
                if (batch + 1) % accumulate == 0:
                    optimizer.step()
                    optimizer.zero_grad()
                run.log(loss=loss)
                seen.append(model.weight.item() - before)
    return seen, states[-1]


def test_each_update_of_a_torch_module_has_the_schedule_s_rate() -> None:
    moves, _ = torch_moves(2)
    np.testing.assert_allclose(moves, MOVES, atol=1e-6)


def test_so_it_has_in_a_run_that_is_resumed() -> None:
    first, state = torch_moves(1)
    second, _ = torch_moves(2, state)
    np.testing.assert_allclose([*first, *second], MOVES, atol=1e-6)


def test_an_update_that_gathers_several_batches_has_the_rate_of_the_last_of_them() -> None:
    moves, _ = torch_moves(2, accumulate=2)
    np.testing.assert_allclose(moves, np.where(np.arange(8) % 2, MOVES, 0), atol=1e-6)


# What has no meaning


@pytest.mark.parametrize(
    "unit, more",
    [("steps", " Did you mean 'step'?"), ("batch", ""), (None, ""), (7, "")],
)
def test_another_unit_is_refused(unit: Any, more: str) -> None:
    with pytest.raises(ValueError) as caught:
        LearningRateScheduler(lambda step: 0.1, unit=unit)
    assert str(caught.value) == f"LearningRateScheduler(unit={unit!r}): a unit is 'epoch' or 'step'.{more}"


def test_what_is_no_rate_is_refused_at_its_step() -> None:
    with pytest.raises(ValueError) as caught:
        rates(lambda step: 3 - step)
    assert str(caught.value) == (
        "LearningRateScheduler: schedule gave -1 for step 4; a learning rate is a finite number, at least 0"
    )


def test_a_number_is_no_schedule() -> None:
    with pytest.raises(TypeError) as caught:
        LearningRateScheduler(0.1, unit="step")  # type: ignore[arg-type]
    assert str(caught.value) == (
        "LearningRateScheduler(schedule=0.1): its arguments cannot be read. "
        "Give a function: lambda step: ..., or lambda step, lr: ..."
    )
