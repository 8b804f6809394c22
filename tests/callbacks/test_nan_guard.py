"""NaNGuard: after a NaN, the last good state and a smaller learning rate; after too many, a fault."""

from __future__ import annotations

import csv
import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainhooks import MLP, Callback, LoopRun, Run, Trainable, World
from trainhooks.callbacks.backup_and_restore import BackupAndRestore
from trainhooks.callbacks.csv_logger import CSVLogger
from trainhooks.callbacks.early_stopping import EarlyStopping
from trainhooks.callbacks.learning_rate_scheduler import LearningRateScheduler
from trainhooks.callbacks.nan_guard import NaNGuard
from trainhooks.errors import WeightsError
from trainhooks.testing import Do, StopAt
from trainhooks.testing.play import Dial

NAN = math.nan


def data(epochs: int = 2, steps: int = 4, bad: Sequence[tuple[int, int]] = (), value: float = NAN) -> Any:
    """For each epoch its batches; those in ``bad``, by epoch and batch, are poisoned with ``value``."""
    rng = np.random.default_rng(0)
    made = [[(rng.normal(size=(4, 3)), rng.normal(size=(4, 1))) for _ in range(steps)] for _ in range(epochs)]
    for epoch, batch in bad:
        made[epoch][batch][0][1, 2] = value
    return made


def train(made: Any, *callbacks: Callback, model: MLP | None = None, **options: Any) -> tuple[LoopRun, list[str]]:
    """A run over ``data``, and what it warned of."""
    model = model or MLP((3, 4, 1), loss="mse", optimizer="adam", lr=0.1)
    with warnings.catch_warnings(record=True) as caught, LoopRun(model, callbacks, **options) as run:
        warnings.simplefilter("always")
        for epoch in run.epochs(len(made)):
            for batch in run.train(made[epoch]):
                run.log(model.train_step(batch), n=len(batch[0]))
    return run, [str(one.message) for one in caught]


def logged(losses: Sequence[float], *callbacks: Callback, model: Any = None, **options: Any) -> tuple[Any, list[str]]:
    """A run of one epoch whose batches say that they have these losses, and what it warned of."""
    with warnings.catch_warnings(record=True) as caught, LoopRun(model or Groups(), callbacks, **options) as run:
        warnings.simplefilter("always")
        for _ in run.epochs(1):
            for loss in run.train(losses):
                run.log(loss=loss)
    return run, [str(one.message) for one in caught]


class Groups(Dial):
    """Nothing but learning rates, which are its whole state."""

    def state_dict(self) -> dict[str, Any]:
        return {"lrs": np.array(self.lrs)}

    def load_state_dict(self, state: Any) -> None:
        self.lrs = list(state["lrs"])


def each(event: str, read: Any) -> tuple[Do, list[Any]]:
    """A callback that reads something at each ``event``, after everybody else; and what it has read."""
    seen: list[Any] = []
    do = Do(event, lambda run: seen.append(read(run)), nth=None)
    do.phase = "report"
    return do, seen


def state_of(run: Run) -> dict[str, Any]:
    return {name: np.asarray(value).tolist() for name, value in run.trainable.state_dict().items()}


# A NaN


def test_at_a_poisoned_batch_the_state_of_the_epochs_begin_is_back_and_training_goes_on() -> None:
    begins, begun = each("epoch_begin", state_of)
    ends, ended = each("train_batch_end", state_of)
    run, told = train(data(bad=[(1, 2)]), NaNGuard(), begins, ends)
    after = begun[1] | {"optimizer/lr": 0.05}
    assert ended[6] == after  # of the optimizer too: its moments, its count of steps
    assert ended[7] != after
    assert all(np.isfinite(value).all() for value in run.trainable.state_dict().values())
    assert (run.outcome, run.step, run.lr) == ("completed", 8, 0.05)
    assert told == [
        "NaNGuard: epoch 1, batch 2: loss is nan. The state of step 4 is put back, the learning rate goes from 0.1 to "
        "0.05 (rollback 1 of 3)."
    ]


def test_the_rest_of_the_epoch_trains_as_it_would_have_from_there() -> None:
    made = data(epochs=1, bad=[(0, 1)])
    run, _ = train(made, NaNGuard(lr_factor=1))
    plain, _ = train([made[0][2:]])
    assert state_of(run.run) == state_of(plain.run)


@pytest.mark.parametrize("value", [NAN, math.inf, -math.inf])
def test_a_nan_at_the_very_first_batch_is_none_the_worse(value: float) -> None:
    made = data(epochs=1, bad=[(0, 0)], value=value)
    run, told = train(made, NaNGuard(lr_factor=1))
    plain, _ = train([made[0][1:]])
    assert state_of(run.run) == state_of(plain.run)
    assert len(told) == 1


def test_without_a_nan_a_run_with_it_is_as_one_without() -> None:
    def story(*callbacks: Callback) -> Any:
        lr, lrs = each("train_batch_end", lambda run: run.lr)
        run, told = train(data(), *callbacks, lr)
        history = [{name: value for name, value in logs.items() if name == "loss"} for _, logs in run.history]
        return state_of(run.run), history, lrs, run.outcome, told

    assert story(NaNGuard(spike=1e6), NaNGuard(save_freq=1)) == story()


def test_twice_from_the_same_state_the_factor_counts_twice_and_from_a_later_one_too() -> None:
    lr, lrs = each("train_batch_end", lambda run: run.lr)
    _, told = train(data(3, bad=[(0, 1), (0, 2), (2, 3)]), NaNGuard(), lr)
    assert lrs == [0.1, 0.05, 0.025, 0.025, *[0.025] * 4, 0.025, 0.025, 0.025, 0.0125]
    assert [one.rpartition("(")[2] for one in told] == [f"rollback {n} of 3)." for n in (1, 2, 3)]


def test_the_factor_is_of_the_rate_that_the_good_state_had() -> None:
    lr, lrs = each("train_batch_end", lambda run: run.lr)
    steps = LearningRateScheduler(lambda epoch, rate: 1.0 if epoch == 0 else 0.4)
    train(data(2, bad=[(1, 1)]), steps, NaNGuard(), lr)
    assert lrs == [1.0] * 4 + [0.4, 0.2, 0.2, 0.2]


def test_a_scheduler_sets_the_rate_again_at_its_next_turn() -> None:
    lr, lrs = each("epoch_begin", lambda run: run.lr)
    train(data(3, bad=[(1, 1)]), NaNGuard(), LearningRateScheduler(lambda epoch, rate: 0.3), lr)
    assert lrs == [0.3, 0.3, 0.3]


def test_each_group_keeps_its_own_rate_times_the_factor() -> None:
    model = Groups([0.5, 0.2])
    logged([NAN, NAN], NaNGuard(), model=model)
    assert model.lrs == [0.125, 0.05]


class Unsteered(Trainable):
    """A state, and no learning rate; another one than it began with when it ``grew``."""

    framework = "unsteered"
    size = 1

    def state_dict(self) -> dict[str, Any]:
        return {"weight": np.zeros(self.size)}

    def load_state_dict(self, state: Any) -> None:
        if len(state["weight"]) != self.size:
            raise WeightsError("another size")


def test_without_a_learning_rate_only_the_state_is_put_back() -> None:
    _, told = logged([1.0, NAN], NaNGuard(), model=Unsteered())
    assert told == ["NaNGuard: epoch 0, batch 1: loss is nan. The state of step 0 is put back (rollback 1 of 3)."]


# Too many


def test_after_so_many_rollbacks_it_stops_as_for_a_fault_and_leaves_the_good_state() -> None:
    begins, begun = each("epoch_begin", state_of)
    run, told = train(data(3, 6, bad=[(1, n) for n in range(6)]), NaNGuard(max_rollbacks=2), begins)
    assert (run.outcome, run.stop_kind, run.stop_source, run.step) == ("stopped", "fault", "NaNGuard", 9)
    assert run.stop_reason == (
        "epoch 1, batch 2: loss is nan; max_rollbacks=2 are used up. The state of step 6 is put back"
    )
    assert state_of(run.run) == begun[1] | {"optimizer/lr": 0.025}
    assert len(told) == 2


def test_with_none_allowed_the_first_one_stops() -> None:
    run, told = train(data(bad=[(0, 1)]), NaNGuard(max_rollbacks=0))
    assert (run.stop_kind, run.step, run.lr, told) == ("fault", 2, 0.1, [])


def test_a_backup_outlives_it(tmp_path: Path) -> None:
    backup = BackupAndRestore(tmp_path / "backup")
    run, _ = train(data(2, bad=[(1, n) for n in range(4)]), NaNGuard(max_rollbacks=1), backup)
    assert run.stop_kind == "fault"
    resumed, _ = train(data(2), NaNGuard(max_rollbacks=1), BackupAndRestore(tmp_path / "backup"))
    assert (resumed.resumed, resumed.step, resumed.outcome) == (True, 8, "completed")


# The logs


def test_the_logs_count_what_was_not_finite_and_keep_their_nan(tmp_path: Path) -> None:
    log = CSVLogger(tmp_path / "log.csv")
    train(data(3, bad=[(1, 1), (1, 3)]), log, NaNGuard())
    with open(tmp_path / "log.csv") as file:
        rows = [(row["nonfinite_batches"], row["rollbacks"], row["loss"] == "nan") for row in csv.DictReader(file)]
    assert rows == [("0", "0", False), ("2", "2", True), ("0", "2", False)]


def test_a_logger_sees_them_at_the_batch_itself() -> None:
    logs, seen = each("train_batch_end", lambda run: (run.logs.get("nonfinite_batches"), run.logs.get("rollbacks")))
    train(data(1, bad=[(0, 1), (0, 2)]), logs, NaNGuard(max_rollbacks=1))
    assert seen == [(None, None), (1, 1), (2, 1)]


def test_early_stopping_counts_such_an_epoch_as_a_miss() -> None:
    stopper = EarlyStopping("loss", patience=2)
    run, _ = train(data(3, bad=[(1, 0), (2, 0)]), NaNGuard(), stopper)
    assert (run.stop_source, stopper.wait) == ("EarlyStopping", 2)


# What it must keep


def test_a_resumed_run_counts_on_and_takes_its_state_anew() -> None:
    state: list[Any] = []
    keep = Do("epoch_end", lambda run: state.append(run.state_dict()))
    keep.phase = "save"
    made = data(2, bad=[(0, 1), (0, 2), (1, 2)])
    whole, all_told = train(made, NaNGuard(max_rollbacks=2), keep)
    resumed, told = train(made, guard := NaNGuard(max_rollbacks=2), resume=state[0])
    assert (guard.rollbacks, told, len(all_told)) == (2, [], 2)
    assert (resumed.stop_reason, resumed.lr) == (whole.stop_reason, whole.lr)
    assert resumed.stop_reason is not None and "The state of step 4" in resumed.stop_reason
    assert state_of(resumed.run) == state_of(whole.run)


class Saver(Callback):
    def save(self, run: Run) -> None:
        self.state = run.state_dict()


def test_a_run_that_was_paused_inside_an_epoch_counts_its_batches_on() -> None:
    made, end = data(2, bad=[(1, 0), (1, 3)]), StopAt(step=6, kind="pause")
    paused, _ = train(made, NaNGuard(), saver := Saver(), end)
    resumed, told = train(made, NaNGuard(), resume=saver.state)
    logs = {name: resumed.history[1].logs[name] for name in ("nonfinite_batches", "rollbacks")}
    assert (paused.outcome, resumed.outcome, logs) == ("paused", "completed", {"nonfinite_batches": 2, "rollbacks": 2})
    assert told[-1].endswith(
        "The state of step 6 is put back, the learning rate goes from 0.05 to 0.025 (rollback 2 of 3)."
    )


def test_a_run_that_was_paused_in_a_validation_goes_on_there() -> None:
    def run(*callbacks: Callback, **options: Any) -> LoopRun:
        model = MLP((3, 1), loss="mse")
        with LoopRun(model, callbacks, **options) as run:
            for _ in run.epochs(1):
                for batch in run.train(data()[0]):
                    run.log(model.train_step(batch))
                for batch in run.test(data()[0]):
                    run.log(model.test_step(batch))
        return run

    paused = run(NaNGuard(), saver := Saver(), StopAt("test_batch_begin", 1, kind="pause"))
    resumed = run(NaNGuard(), resume=saver.state)
    assert (paused.outcome, resumed.outcome, resumed.history[0].logs) == (
        "paused",
        "completed",
        run(NaNGuard()).history[0].logs,
    )


def test_a_new_run_begins_with_new_counts_and_keeps_no_state_of_the_old() -> None:
    guard = NaNGuard(spike=1e9)
    runs = [train(data(1, bad=[(0, 2)]), guard) for _ in range(2)]
    assert [told for _, told in runs] == [runs[0][1]] * 2
    assert guard._good is None


def test_on_several_processes_one_is_enough() -> None:
    class Two(World):
        size = 2
        asked = 0

        def any(self, flag: bool) -> bool:
            self.asked += 1
            return flag or self.asked == 2  # the other one's

    run, told = logged([1.0, 1.0, 1.0], NaNGuard(), world=Two())
    assert [one.partition(".")[0] for one in told] == ["NaNGuard: epoch 0, batch 1: another process had trouble"]
    assert run.history[0].logs["nonfinite_batches"] == 0
