"""TensorBoard: what becomes of its files when a run ends, goes on, or fails; and of a profile."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorboardX")
from event_files import everything, read, steps
from runs import live_until

from trainhooks import MLP, Callback, Driver, LoopRun, Run, fit
from trainhooks.callbacks.tensorboard import TensorBoard
from trainhooks.events import EVENTS
from trainhooks.testing import Do, RaiseAt, batches, play

X = np.linspace(-1, 1, 24, dtype=np.float32).reshape(12, 2)
Y = (X.sum(axis=1) > 0).astype(int)


def train(*callbacks: Callback, epochs: int, resume: Any = None) -> LoopRun:
    """Epochs of 3 batches, each with a validation."""
    return fit(MLP((2, 3, 2)), (X, Y), (X, Y), epochs=epochs, batch_size=4, seed=0, callbacks=callbacks, resume=resume)


def state_of_epoch(number: int, into: list[Any]) -> Callback:
    """Put the state that the run has at the end of this epoch into a list."""
    keep = Do("epoch_end", lambda run: into.append(run.state_dict()), nth=number)
    keep.phase = "save"
    return keep


# Runs in one folder


def test_a_new_run_is_written_beside_what_is_there(tmp_path: Path) -> None:
    board = TensorBoard(tmp_path, update_freq=3)
    for _ in range(2):
        train(board, epochs=2)
    assert steps(tmp_path) == {
        "train/batch_loss": [3, 6, 3, 6],
        "train/batch_accuracy": [3, 6, 3, 6],
        "train/epoch_loss": [0, 1, 0, 1],
        "train/epoch_accuracy": [0, 1, 0, 1],
        "train/epoch_learning_rate": [0, 1, 0, 1],
        "validation/evaluation_loss_vs_iterations": [3, 6, 3, 6],
        "validation/evaluation_accuracy_vs_iterations": [3, 6, 3, 6],
        "validation/epoch_loss": [0, 1, 0, 1],
        "validation/epoch_accuracy": [0, 1, 0, 1],
    }


def test_in_a_run_that_goes_on_from_an_earlier_epoch_each_step_stands_once(tmp_path: Path) -> None:
    states: list[Any] = []
    settings: dict[str, Any] = {"update_freq": 2, "histogram_freq": 1, "write_images": True}
    train(
        TensorBoard(tmp_path / "ours", **settings), state_of_epoch(1, states), epochs=4
    )  # beyond the state that it goes on from
    train(TensorBoard(tmp_path / "ours", **settings), epochs=6, resume=states[0])
    train(TensorBoard(tmp_path / "at once", **settings), epochs=6)
    assert everything(tmp_path / "ours") == everything(tmp_path / "at once")
    assert steps(tmp_path / "ours")["train/batch_loss"] == [2, 4, 6, 8, 10, 12, 14, 16, 18]
    found = everything_of_weights(tmp_path / "ours" / "train")
    assert set(map(tuple, found.values())) == {(0, 1, 2, 3, 4, 5)} and len(found) == 8


def test_a_run_that_goes_on_does_not_write_its_graph_again(tmp_path: Path) -> None:
    states: list[Any] = []
    train(TensorBoard(tmp_path), state_of_epoch(0, states), epochs=1)
    train(TensorBoard(tmp_path), epochs=2, resume=states[0])
    files = sorted((tmp_path / "train").glob("events*"))
    assert [read(path).Tags()["graph"] for path in files] == [True, False]


def everything_of_weights(folder: Path) -> dict[str, list[int]]:
    found = read(folder)
    tags = found.Tags()
    return {tag: [one.step for one in found.Histograms(tag)] for tag in tags["histograms"]} | {
        tag: [one.step for one in found.Tensors(tag)] for tag in tags["tensors"]
    }


def test_going_on_twice_from_one_state_leaves_the_last_way_alone(tmp_path: Path) -> None:
    states: list[Any] = []
    train(TensorBoard(tmp_path), state_of_epoch(0, states), epochs=1)
    for _ in range(2):
        train(TensorBoard(tmp_path), epochs=3, resume=states[0])
    assert steps(tmp_path)["train/epoch_loss"] == [0, 1, 2]
    assert steps(tmp_path)["validation/evaluation_loss_vs_iterations"] == [3, 6, 9]


class Keep(Callback):
    """Keeps a state whenever a save is asked for."""

    def save(self, run: Run) -> None:
        self.state = run.state_dict()


def test_a_validation_after_the_state_that_was_saved_at_the_same_step_stands_once(tmp_path: Path) -> None:
    keep = Keep()
    with pytest.raises(RuntimeError, match="asked for"):
        train(TensorBoard(tmp_path), keep, Do("train_batch_end", Run.save, 2), RaiseAt("epoch_end"), epochs=2)
    assert steps(tmp_path)["validation/evaluation_loss_vs_iterations"] == [3]  # not in the state, which is of step 3
    train(TensorBoard(tmp_path), epochs=2, resume=keep.state)
    assert steps(tmp_path)["validation/evaluation_loss_vs_iterations"] == [3, 6]


def test_what_a_state_counts_is_in_the_files_even_if_the_process_is_killed_then(tmp_path: Path) -> None:
    program = (
        "import os, sys; from trainhooks import LoopRun; from trainhooks.testing import Do\n"
        "from trainhooks.callbacks.tensorboard import TensorBoard\n"
        "def die(run):\n"
        "    print(run.state_dict()['callbacks']['TensorBoard']['written'], flush=True)\n"
        "    os._exit(9)\n"
        "last = Do('train_batch_end', die, 2)\n"
        "last.phase = 'save'\n"
        "with LoopRun(callbacks=[TensorBoard(sys.argv[1], update_freq=1), last]) as run:\n"
        "    for _ in run.epochs(1):\n"
        "        for _ in run.train(range(5)): run.log(loss=1.0)\n"
    )
    died = subprocess.run([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert (died.returncode, died.stdout) == (9, "{'train': 3}\n")
    assert steps(tmp_path) == {"train/batch_loss": [1, 2, 3]}


def test_an_evaluation_alone_is_no_part_of_the_run_that_a_state_counts(tmp_path: Path) -> None:
    board = TensorBoard(tmp_path)
    with LoopRun(callbacks=[board]) as run:
        for _ in run.test([0]):
            run.log(loss=1.0)
    assert board.state_dict() == {"run_id": None, "written": {}}
    assert steps(tmp_path) == {"validation/evaluation_loss_vs_iterations": [0]}


def test_the_files_of_another_run_in_the_folder_are_left_alone_when_one_goes_on(tmp_path: Path) -> None:
    states: list[Any] = []
    train(TensorBoard(tmp_path), epochs=3)
    before = {path: path.read_bytes() for path in tmp_path.rglob("events*")}
    train(TensorBoard(tmp_path), state_of_epoch(0, states), epochs=2)
    train(TensorBoard(tmp_path), epochs=2, resume=states[0])
    assert {path: path.read_bytes() for path in before} == before
    assert steps(tmp_path)["train/epoch_loss"] == [0, 1, 2, 0, 1]


def test_a_file_whose_last_record_a_crash_cut_short_is_cut_back_all_the_same(tmp_path: Path) -> None:
    states: list[Any] = []
    train(TensorBoard(tmp_path), state_of_epoch(0, states), epochs=3)
    for path in tmp_path.rglob("events*"):
        path.write_bytes(path.read_bytes()[:-7])
    train(TensorBoard(tmp_path), epochs=3, resume=states[0])
    assert steps(tmp_path)["train/epoch_loss"] == [0, 1, 2]


def test_a_process_that_dies_leaves_the_epochs_that_ended(tmp_path: Path) -> None:
    program = (
        "import os, sys; from trainhooks.testing import Do, play\n"
        "from trainhooks.callbacks.tensorboard import TensorBoard\n"
        "history = [{'loss': 1.0, 'val_loss': 2.0}] * 3\n"
        "play(history, [TensorBoard(sys.argv[1]), Do('epoch_begin', lambda run: os._exit(9), nth=2)])"
    )
    died = subprocess.run([sys.executable, "-c", program, str(tmp_path)])
    assert died.returncode == 9
    assert steps(tmp_path) == {
        "train/epoch_loss": [0, 1],
        "train/epoch_learning_rate": [0, 1],
        "validation/evaluation_loss_vs_iterations": [1, 2],
        "validation/epoch_loss": [0, 1],
    }


# Ways out


def open_files() -> list[str]:
    folder = Path("/proc/self/fd")
    if not folder.exists():
        pytest.skip("the open files of a process are read from /proc")
    return sorted(os.readlink(one) for one in folder.iterdir() if one.exists())


@pytest.mark.parametrize("event", EVENTS)
def test_an_exception_at_any_event_leaves_no_file_open(tmp_path: Path, event: str) -> None:
    before = open_files()
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        live_until(event, TensorBoard(tmp_path, update_freq=1, histogram_freq=1))
        gc.collect()
    assert open_files() == before
    if tmp_path.joinpath("train").exists():
        assert steps(tmp_path).get("train/epoch_loss", []) in ([], [0], [0, 1])


def test_teardown_may_come_without_setup_and_twice(tmp_path: Path) -> None:
    board = TensorBoard(tmp_path)
    board.on_teardown()
    play([{"loss": 1.0}], [board])
    board.on_teardown()
    assert steps(tmp_path)["train/epoch_loss"] == [0]


@pytest.mark.skipif(os.name == "nt", reason="the size of files is limited with setrlimit")
def test_a_full_disk_is_a_warning_and_training_goes_on_and_nothing_hangs(tmp_path: Path) -> None:
    program = (
        "import resource, sys, warnings; from trainhooks.testing import Do, play\n"
        "from trainhooks.callbacks.tensorboard import TensorBoard\n"
        "warnings.simplefilter('always')\n"
        "full = lambda run: resource.setrlimit(resource.RLIMIT_FSIZE, (10, resource.RLIM_INFINITY))\n"
        "run = play([{'loss': 1.0}] * 3, [TensorBoard(sys.argv[1]), Do('epoch_begin', full, nth=1)])\n"
        "print(run.outcome, run.epochs_done)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert done.stdout == "completed 3\n", done.stderr
    assert "TensorBoard.on_epoch_end raised OSError: [Errno 27] File too large (training goes on)" in done.stderr
    assert steps(tmp_path)["train/epoch_loss"] == [0]


# The profile


class Profiled(MLP):
    """A model whose profiler tells between which steps it ran."""

    def __init__(self) -> None:
        super().__init__((1, 1))
        self.told: list[Any] = []

    def profile(self, folder: Path) -> Callable[[], None]:
        self.told.append(("begun", folder.name))
        return lambda: self.told.append("ended")


def profiled(tmp_path: Path, profile_batch: Any, *callbacks: Callback, resume: Any = None) -> list[Any]:
    """Where the profile of two epochs of 3 batches began and ended, in between the numbers of the batches."""
    model = Profiled()

    class Tell(Callback):
        phase = "save"

        def on_train_batch_begin(self, run: Run) -> None:
            model.told.append(run.step + 1)

    made = [TensorBoard(tmp_path, profile_batch=profile_batch), Tell(), *callbacks]
    try:
        with LoopRun(model, made, resume=resume) as run:
            for _ in run.epochs(2):
                for _ in run.train(batches(3)):
                    run.log(loss=1.0)
    except RuntimeError:
        model.told.append("raised")
    return model.told


BEGUN = ("begun", "train")


@pytest.mark.parametrize(
    "profile_batch, told",
    [
        (1, [BEGUN, 1, "ended", 2, 3, 4, 5, 6]),
        (2, [1, BEGUN, 2, "ended", 3, 4, 5, 6]),
        ((3, 5), [1, 2, BEGUN, 3, 4, 5, "ended", 6]),
        ([6, 9], [1, 2, 3, 4, 5, BEGUN, 6, "ended"]),
        (7, [1, 2, 3, 4, 5, 6]),
        (0, [1, 2, 3, 4, 5, 6]),
    ],
)
def test_the_profile_is_of_these_batches_of_the_run_and_ends_with_it(
    tmp_path: Path, profile_batch: Any, told: list[Any]
) -> None:
    assert profiled(tmp_path, profile_batch) == told


def test_an_exception_ends_the_profile_once(tmp_path: Path) -> None:
    assert profiled(tmp_path, (2, 9), RaiseAt("train_batch_end", 2)) == [1, BEGUN, 2, 3, "ended", "raised"]


def test_a_run_that_goes_on_behind_the_profiled_batches_profiles_none(tmp_path: Path) -> None:
    states: list[Any] = []
    profiled(tmp_path, 2, state_of_epoch(0, states))
    assert profiled(tmp_path, 2, resume=states[0]) == [4, 5, 6]


def test_of_batches_that_the_trainer_joins_those_that_are_over_are_not_profiled(tmp_path: Path) -> None:
    model = Profiled()
    driver = Driver(model, [TensorBoard(tmp_path, profile_batch=(2, 3))])
    driver.setup()
    for kind in ("train", "epoch", "pass"):
        driver.open(kind)  # type: ignore[arg-type]
    for batch in (0, 4):
        driver.batch_begin(batch)
        driver.batch_end(steps=4)
    driver.teardown()
    assert model.told == []


class Unprofiled(MLP):
    def profile(self, folder: Path) -> Callable[[], None]:
        raise RuntimeError("another profile is running")


def test_a_profiler_that_does_not_begin_is_a_warning_and_training_goes_on(tmp_path: Path) -> None:
    with pytest.warns(RuntimeWarning) as caught:
        run = play([{"loss": 1.0}] * 2, [TensorBoard(tmp_path, profile_batch=1)], trainable=Unprofiled((1, 1)))
    assert [str(one.message) for one in caught] == [
        "TensorBoard.on_train_batch_begin raised RuntimeError: another profile is running (training goes on)"
    ]
    assert run.outcome == "completed"
