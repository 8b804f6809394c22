"""Several ranks that train together: what they end with is the same on each, and they end together."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ranks import together

import trainhooks
from trainhooks import MLP, Callback, LoopRun, World
from trainhooks.callbacks import BackupAndRestore, CSVLogger, EarlyStopping
from trainhooks.testing import Trace

EPOCHS, BATCHES = 4, 3


def train(
    world: World, *callbacks: Any, at: Callable[[LoopRun], object] = lambda run: None, **settings: Any
) -> LoopRun:
    """Each batch logs the rank's number, with a weight of that and one; ``at`` is called in each."""
    with LoopRun(MLP((2, 2)), callbacks, plugins="none", world=world, **settings) as run:
        for epoch in run.epochs(EPOCHS):
            for _ in run.train(range(BATCHES)):
                run.log(loss=world.rank, n=world.rank + 1)
                at(run)
            for _ in run.test(range(1)):
                run.log(loss=world.rank + epoch)
    return run


def test_an_epoch_ends_with_the_weighted_means_over_all_ranks() -> None:
    runs, _ = together(train)
    assert [run.history for run in runs] == [[(n, {"loss": 2 / 3, "val_loss": 0.5 + n}) for n in range(EPOCHS)]] * 2


def test_a_validations_end_has_the_means_over_all_ranks_and_its_batches_the_ranks_own() -> None:
    def noted(world: World) -> LoopRun:
        seen: list[float] = []
        with LoopRun(plugins="none", world=world) as run:
            for event in ("test_batch_end", "test_end"):
                run.on(event)(lambda logs: seen.append(logs["loss"]))
            for _ in run.test(range(1)):
                run.log(loss=world.rank)
        assert seen == [world.rank, 0.5]
        return run

    together(noted)


def test_a_metric_of_one_rank_alone_is_on_all() -> None:
    def at(run: LoopRun) -> None:
        if not run.world.is_main:
            run.log(here=7, gone=float("nan"))

    runs, _ = together(lambda world: train(world, at=at))
    assert [run.history[-1].logs["here"] for run in runs] == [7, 7]
    assert str([run.history[-1].logs["gone"] for run in runs]) == "[nan, nan]"


def test_a_run_alone_and_ranks_that_agree_ask_as_little_as_can_be() -> None:
    class Alone(World):
        def gather(self, value: Any) -> Any:
            raise AssertionError("one process has nobody to ask")

        def broadcast(self, value: Any) -> Any:  # once, for a state to go on from
            return value

    assert train(Alone()).epochs_done == EPOCHS
    _, meeting = together(train)
    assert meeting.asked == 2 + 3 * EPOCHS  # for a state, as training begins; a validation, an epoch's means, its stops


@pytest.mark.parametrize("kind", ["decision", "fault", "pause"])
@pytest.mark.parametrize("rank", [0, 1])
def test_a_stop_of_one_rank_in_a_batch_stops_all_as_the_epoch_ends(rank: int, kind: Any) -> None:
    def at(run: LoopRun) -> None:
        if run.world.rank == rank and run.epoch == 1 and run.batch == 0:
            run.stop("enough", kind=kind, source="somebody")
            assert not run.should_stop

    traces = {0: Trace(), 1: Trace()}
    runs, _ = together(lambda world: train(world, traces[world.rank], at=at))
    told = ["paused" if kind == "pause" else "stopped", 2, 2 * BATCHES, "enough", kind, "somebody"]
    asked = [[r.outcome, r.epochs_done, r.step, r.stop_reason, r.stop_kind, r.stop_source] for r in runs]
    assert asked == [told, told]
    assert traces[0].outline() == traces[1].outline()
    assert "stop" in traces[0].outline()


def test_a_stop_before_training_has_no_rank_train() -> None:
    class Refuses(Callback):
        ranks = "main"

        def on_train_begin(self, run: Any) -> None:
            run.stop("there is a stop file")

    runs, _ = together(lambda world: train(world, Refuses()))
    assert [(run.epochs_done, run.step, run.stop_reason) for run in runs] == [(0, 0, "there is a stop file")] * 2


def test_min_epochs_hold_the_stop_of_one_rank_on_all() -> None:
    def at(run: LoopRun) -> None:
        if not run.world.is_main and run.epoch == 0:
            run.stop("too early")

    runs, _ = together(lambda world: train(world, at=at, min_epochs=3))
    assert [(run.epochs_done, run.stop_reason) for run in runs] == [(3, "too early")] * 2


def test_the_first_rank_that_asks_is_told_of() -> None:
    runs, _ = together(lambda world: train(world, at=lambda run: run.stop(f"rank {run.world.rank}")))
    assert [run.stop_reason for run in runs] == ["rank 0", "rank 0"]


def test_ranks_decide_alike_on_what_each_measured_otherwise_and_the_main_one_writes(tmp_path: Path) -> None:
    def noted(world: World) -> LoopRun:
        stopping = EarlyStopping("val_loss", patience=2)
        return train(world, stopping, CSVLogger(tmp_path / f"{world.rank}.csv"))

    runs, _ = together(noted, size=3)
    assert [(run.epochs_done, run.stop_source) for run in runs] == [(3, "EarlyStopping")] * 3
    assert [path.name for path in tmp_path.iterdir()] == ["0.csv"]


def test_a_state_of_the_main_rank_is_gone_on_from_by_all_and_knows_of_the_stop(tmp_path: Path) -> None:
    def noted(world: World) -> LoopRun:
        backup = BackupAndRestore(tmp_path / "backup", delete_checkpoint=False)
        return train(world, backup, EarlyStopping("val_loss", patience=1))

    first, _ = together(noted)
    with pytest.warns(UserWarning, match="stays stopped"):
        again, _ = together(noted)
    assert [(run.resumed, run.epochs_done, run.step) for run in again] == [(True, 2, 2 * BATCHES)] * 2
    assert again[1].history == first[0].history


def test_a_rank_that_goes_on_misses_nothing_of_what_the_main_one_keeps(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    state = train(World(), CSVLogger(path)).state_dict()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        together(lambda world: train(world, CSVLogger(path), resume=state))
    with pytest.warns(UserWarning, match="'CSVLogger' stays behind"):
        train(World(), resume=state)


def test_a_state_that_is_taken_before_the_ranks_have_agreed_has_the_stop() -> None:
    class Takes(Callback):
        phase = "save"
        state: Any = None

        def on_epoch_end(self, run: Any) -> None:
            self.state = self.state or (run.state_dict() if run.epoch == 1 else None)

    takes = Takes()
    together(lambda world: train(world, EarlyStopping("val_loss", patience=1), *[takes] * world.is_main))
    assert takes.state["progress"]["is_stopped"] is True


def test_ranks_that_do_not_run_the_same_validations_are_told_of_it() -> None:
    def alone(world: World) -> LoopRun:
        with LoopRun(plugins="none", world=world) as run:
            for _ in run.epochs(1):
                for _ in run.test(range(world.is_main)):  # the other has no rows, and a validation all the same
                    run.log(loss=1)
                if world.is_main:
                    for _ in run.test(range(1), name="more"):
                        run.log(loss=1)
        return run

    with pytest.raises(trainhooks.errors.LoopError, match=r"a validation .more. in epoch 0.*every rank runs"):
        together(alone)


@pytest.mark.parametrize("value, weights", [((1.0, 4.0), (3.0, 1.0)), ((1.0, float("nan")), (1.0, 1.0))])
def test_questions_have_one_answer(value: tuple[float, float], weights: tuple[float, float]) -> None:
    told: dict[int, Any] = {}

    def asks(world: World) -> LoopRun:
        r = world.rank
        told[r] = [world.any(r == 1), world.any(False), str(world.mean(value[r], weights[r])), world.broadcast(r)]
        return LoopRun(world=World())

    together(asks)
    mean = "1.75" if value[1] == 4.0 else "nan"
    assert told == {0: [True, False, mean, 0], 1: [True, False, mean, 0]}
    assert World().mean(0.5, weight=0) == 0.5
