"""LearningRateMonitor: the rate that an epoch was trained with, in the logs of every trainer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from test_against_keras import passes

import trainhooks
from trainhooks import MLP, Callback, LoopRun, Run, errors, evaluate, fit
from trainhooks.callbacks.learning_rate_monitor import LearningRateMonitor
from trainhooks.callbacks.learning_rate_scheduler import LearningRateScheduler
from trainhooks.callbacks.reduce_lr_on_plateau import ReduceLROnPlateau
from trainhooks.testing import Constant, Do, batches, play
from trainhooks.testing.play import Dial


def rates(run: Any, name: str = "learning_rate") -> list[float]:
    return [record.logs[name] for record in run.history]


def halve(run: Run) -> None:
    run.lr = run.lr / 2


class Look(Callback):
    """What the logs hold at the end of each batch."""

    phase = "report"

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def on_train_batch_end(self, logs: Any) -> None:
        self.seen.append(logs.get("learning_rate"))


def test_each_epoch_s_logs_have_the_rate() -> None:
    model = MLP((2, 2), lr=0.5)
    x, y = np.zeros((4, 2), np.float32), np.zeros(4, int)
    run = fit(model, (x, y), epochs=2, batch_size=2, callbacks=[LearningRateMonitor()])
    assert rates(run) == [0.5, 0.5]


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("unit", ["epoch", "step"])
def test_it_is_the_rate_before_any_decision_about_the_next_epoch(first: bool, unit: Any) -> None:
    monitor, decide = LearningRateMonitor(unit), Do("epoch_end", halve, nth=None)
    decide.phase = "decide"
    run = play([{"loss": 1.0}] * 3, [monitor, decide] if first else [decide, monitor], trainable=Dial([1.0]))
    assert rates(run) == [1.0, 0.5, 0.25]


def test_it_says_what_those_that_decide_say() -> None:
    plateau = ReduceLROnPlateau("loss", factor=0.5, patience=1)
    alone = play([{"loss": 1.0}] * 4, [plateau], trainable=Dial([1.0]))
    both = play([{"loss": 1.0}] * 4, [plateau, LearningRateMonitor()], trainable=Dial([1.0]))
    assert rates(alone) == rates(both) == [1.0, 1.0, 0.5, 0.25]
    scheduled = [LearningRateMonitor(), LearningRateScheduler(lambda epoch: 1.0 / (1 + epoch))]
    assert rates(play([{"loss": 1.0}] * 3, scheduled)) == [1.0, 0.5, 1 / 3]


def test_each_of_several_groups_has_its_own_beside_the_first_s() -> None:
    run = play([{"loss": 1.0}], [LearningRateMonitor(), Do("train_begin", halve)], trainable=Dial([1.0, 0.25]))
    assert run.history[0].logs == {
        "loss": 1.0,
        "learning_rate": 0.5,
        "learning_rate/0": 0.5,
        "learning_rate/1": 0.125,
    }


@pytest.mark.parametrize("unit", ["epoch", "step"])
def test_only_steps_are_seen_in_a_batch_s_logs_each_with_its_own_rate(unit: Any) -> None:
    look = Look()
    with LoopRun(Dial([1.0]), [look, LearningRateMonitor(unit), Do("train_batch_begin", halve, nth=None)]) as run:
        for _ in run.epochs(2):
            for _ in run.train(range(2)):
                run.log(loss=1.0)
    assert look.seen == ([0.5, 0.25, 0.125, 0.0625] if unit == "step" else [None] * 4)
    assert rates(run) == [0.25, 0.0625]


def test_only_with_steps_does_it_listen_to_batches() -> None:
    heard = [{one.event.name for one in LearningRateMonitor(unit).listeners()} for unit in ("epoch", "step")]
    assert heard[1] - heard[0] == {"train_batch_end"}
    assert not any("batch" in name for name in heard[0])


def scheduled_by_the_loop(
    unit: Any, *more: Callback, validate: bool, epochs: int = 3, steps: Sequence[int] = (0, 0), resume: Any = None
) -> LoopRun:
    """A loop whose own scheduler halves the rate as the last thing in each epoch."""
    with LoopRun(Dial([1.0]), [LearningRateMonitor(unit), *more], resume=resume) as run:
        for _ in run.epochs(epochs):
            for _ in run.train(steps):
                run.log(loss=1.0)
            if validate:
                for _ in run.test([0]):
                    run.log(loss=1.0)
            run.lr = run.lr / 2
    return run


@pytest.mark.parametrize("unit, validate", [("epoch", True), ("step", True), ("step", False)])
def test_a_scheduler_that_steps_after_the_validation_or_with_steps_after_the_batches_is_not_taken_for_earlier(
    unit: str, validate: bool
) -> None:
    assert rates(scheduled_by_the_loop(unit, validate=validate)) == [1.0, 0.5, 0.25]


class Keep(Callback):
    def save(self, run: Run) -> None:
        self.state = run.state_dict()


@pytest.mark.parametrize("unit", ["epoch", "step"])
def test_a_run_that_goes_on_after_the_validation_has_the_rate_of_the_batches_before_it(unit: str) -> None:
    keep = Keep()
    scheduled_by_the_loop(unit, keep, Do("test_end", Run.save), validate=True, epochs=1)
    assert rates(scheduled_by_the_loop(unit, validate=True, resume=keep.state)) == [1.0, 0.5, 0.25]


def test_an_epoch_without_a_batch_has_its_own_rate() -> None:
    assert rates(scheduled_by_the_loop("epoch", validate=True, steps=())) == [1.0, 0.5, 0.25]


def test_a_validation_in_the_midst_of_an_epoch_does_not_tell_its_end() -> None:
    with LoopRun(Dial([1.0]), [LearningRateMonitor()]) as run:
        for _ in run.epochs(1):
            for batch in run.train(range(4)):
                run.log(loss=1.0)
                if batch == 1:
                    for _ in run.test([0]):
                        run.log(loss=1.0)
                    run.lr = 0.5
    assert rates(run) == [0.5]


def test_it_is_not_changed_by_what_the_loop_logs_and_is_no_mean() -> None:
    look = Look()
    with LoopRun(Dial([1.0]), [LearningRateMonitor("step"), look, Do("train_batch_begin", halve, nth=None)]) as run:
        for _ in run.epochs(1):
            for _ in run.train(range(2)):
                run.log(loss=1.0, learning_rate=9.0)
    assert (look.seen, rates(run)) == ([0.5, 0.25], [0.25])


def test_an_evaluation_alone_has_no_rate() -> None:
    run = evaluate(MLP((2, 2)), [(np.zeros((2, 2), np.float32), np.zeros(2, int))], callbacks=[LearningRateMonitor()])
    assert "learning_rate" not in dict(run)


def test_a_trainer_without_a_rate_is_refused() -> None:
    with pytest.raises(errors.CapabilityError, match="LearningRateMonitor needs 'read_lr', which this trainer lacks"):
        fit(Constant(), batches(1), callbacks=[LearningRateMonitor()])


@pytest.mark.parametrize(
    ("unit", "hint"), [("steps", " Did you mean 'step'?"), ("epochs", " Did you mean 'epoch'?"), (3, ""), (None, "")]
)
def test_a_unit_that_is_none_is_refused(unit: Any, hint: str) -> None:
    with pytest.raises(ValueError) as caught:
        LearningRateMonitor(unit)
    assert str(caught.value) == f"LearningRateMonitor(unit={unit!r}): 'epoch' or 'step'.{hint}"


# Under frameworks


@pytest.mark.parametrize("unit", ["epoch", "step"])
def test_under_torch_each_parameter_group_is_there_and_its_scheduler_is_seen(unit: Any) -> None:
    torch = pytest.importorskip("torch")
    model = torch.nn.Linear(1, 1)
    optimizer = torch.optim.SGD([{"params": [model.weight], "lr": 1.0}, {"params": [model.bias], "lr": 0.5}])
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
    with trainhooks.wrap(model, optimizer=optimizer, callbacks=[LearningRateMonitor(unit)]) as run:
        for _ in run.epochs(3):
            for _ in run.train([0, 0]):
                optimizer.step()
                run.log(loss=0.0)
            for _ in run.test([0]):
                run.log(loss=0.0)
            scheduler.step()
    assert rates(run) == rates(run, "learning_rate/0") == [1.0, 0.5, 0.25]
    assert rates(run, "learning_rate/1") == [0.5, 0.25, 0.125]


def test_under_keras_it_is_the_same() -> None:
    passes("case_learning_rate_monitor.py", "jax")
