"""What BackupAndRestore makes of a disk that fails, a folder that is none, a run that ends otherwise than it should."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainhooks import MLP, Callback, evaluate, fit, store
from trainhooks.callbacks.backup_and_restore import BackupAndRestore
from trainhooks.callbacks.terminate_on_nan import TerminateOnNaN
from trainhooks.errors import StateFileError, WeightsError
from trainhooks.store import temporaries
from trainhooks.testing import Do, FaultyDisk, RaiseAt, StopAt

X, Y = np.arange(12.0, dtype=np.float32).reshape(6, 2) / 12, np.array([0, 1, 0, 1, 0, 1])

in_loop_and_background = pytest.mark.parametrize("background", [False, True], ids=["loop", "background"])


def run_it(backup: BackupAndRestore, *more: Callback, epochs: int = 4, **options: Any) -> Any:
    model = options.pop("model", None) or MLP((2, 2), optimizer="adam")
    return fit(model, (X, Y), epochs=epochs, batch_size=2, seed=3, callbacks=[backup, *more], **options)


def warning(backup: BackupAndRestore) -> BackupAndRestore:
    backup.on_error = "warn"
    return backup


def epochs_kept(folder: Path) -> list[int]:
    found = store.checkpoints(folder, verify=True)
    assert [one.problem for one in found] == [None] * len(found)
    return [one.about["epoch"] for one in found]


def weights(run: Any) -> Any:
    return {name: array.tolist() for name, array in run.get_weights().items()}


# The disk


FULL = r"^BackupAndRestore\.\w+ raised OSError: \[Errno 28\] .*No space left on device.* \(training goes on\)$"


def run_with(disk: FaultyDisk, backup: BackupAndRestore, *more: Callback, **options: Any) -> Any:
    """A run whose disk is ``disk`` once its first backup is written."""
    with contextlib.ExitStack() as stack:

        def exchange(run: Any) -> None:
            for thread in threading.enumerate():
                if thread.name == "trainhooks-write":
                    thread.join()
            stack.enter_context(disk.in_use())

        return run_it(backup, Do("epoch_begin", exchange), *more, **options)


@in_loop_and_background
@pytest.mark.parametrize("nth", range(19))  # of one backup, and of deleting the one before it
def test_each_operation_that_fails_ends_training_and_leaves_a_good_backup(
    tmp_path: Path, background: bool, nth: int
) -> None:
    folder = tmp_path / "backup"
    disk = FaultyDisk(nth, errno.ENOSPC)
    with pytest.raises(OSError) as raised:
        run_with(disk, BackupAndRestore(folder, background=background), epochs=1)
    assert raised.value.errno == errno.ENOSPC
    assert epochs_kept(folder)[-1:] in ([0], [1])
    again = run_it(BackupAndRestore(folder, background=background), epochs=1)
    assert (again.epochs_done, again.outcome, folder.exists()) == (1, "completed", False)


@in_loop_and_background
def test_where_it_only_warns_training_goes_on_and_later_backups_are_written(tmp_path: Path, background: bool) -> None:
    backup = warning(BackupAndRestore(tmp_path / "backup", delete_checkpoint=False, background=background))
    with pytest.warns(RuntimeWarning, match=FULL):
        run = run_with(FaultyDisk(0, errno.ENOSPC, "sync"), backup, epochs=3)
    assert (run.outcome, epochs_kept(tmp_path / "backup")) == ("completed", [3])


@in_loop_and_background
def test_where_it_only_warns_and_the_disk_is_full_for_good_the_first_backup_is_kept_until_the_end(
    tmp_path: Path, background: bool
) -> None:
    kept: list[int] = []
    backup = warning(BackupAndRestore(tmp_path / "backup", background=background))
    look = Do("train_end", lambda run: kept.extend(epochs_kept(tmp_path / "backup")))
    disk = FaultyDisk(0, errno.ENOSPC, "write", lasting=True)
    with pytest.warns(RuntimeWarning, match=FULL):
        run = run_with(disk, backup, look, epochs=3)
    assert (run.outcome, kept) == ("completed", [0])
    assert not (tmp_path / "backup").exists()  # the run ended well: run again, it begins anew


def test_a_folder_that_cannot_be_made_is_an_error_before_anything_is_trained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "backup"
    trained = Do("epoch_begin", lambda run: None)
    with pytest.raises(OSError) as caught:
        run_it(BackupAndRestore(path, background=True), trained)
    said = f"BackupAndRestore(backup_dir={str(path)!r}): the folder cannot be made: File exists"
    assert (caught.value.strerror, trained.fired) == (said, 0)


def test_what_is_no_folder_is_refused_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "backup"
    path.write_text("mine")
    with pytest.raises(NotADirectoryError) as caught:
        run_it(BackupAndRestore(path))
    said = f"BackupAndRestore(backup_dir={str(path)!r}): it is there and is no folder. Give another name."
    assert (str(caught.value), path.read_text()) == (said, "mine")


def test_what_is_a_checkpoint_itself_is_refused(tmp_path: Path) -> None:
    run_it(BackupAndRestore(tmp_path, delete_checkpoint=False))
    path = store.latest_good(tmp_path)
    with pytest.raises(StateFileError) as caught:
        run_it(BackupAndRestore(str(path)))
    assert str(caught.value) == (
        f"BackupAndRestore(backup_dir={str(path)!r}): it is a checkpoint itself. Give the folder that holds it; or "
        f"another one, and resume={str(path)!r}."
    )


# A backup that does not fit


def test_the_backup_of_another_model_is_refused_by_its_name_and_stays(tmp_path: Path) -> None:
    run_it(BackupAndRestore(tmp_path, delete_checkpoint=False))
    path = store.latest_good(tmp_path)
    with pytest.raises(WeightsError) as caught:
        run_it(BackupAndRestore(tmp_path), model=MLP((2, 3, 2), optimizer="adam"))
    said = str(caught.value)
    assert said.startswith(f"the checkpoint {str(path)!r} is of another model or optimizer. ")
    assert said.endswith("Delete it to begin anew, or give another folder.")
    assert epochs_kept(tmp_path) == [4]


def test_a_backup_with_more_epochs_than_are_asked_for_stays(tmp_path: Path) -> None:
    whole = run_it(BackupAndRestore(tmp_path, delete_checkpoint=False))
    with pytest.warns(UserWarning, match="the backup stays") as told:
        run = run_it(BackupAndRestore(tmp_path), epochs=3)
    assert [str(one.message) for one in told] == [
        f"BackupAndRestore: the backup in {str(tmp_path)!r} has 4 epochs, and 3 were asked for: nothing was trained, "
        "and the backup stays."
    ]
    assert (run.epochs_done, weights(run), epochs_kept(tmp_path)) == (4, weights(whole), [4])


def test_a_state_that_is_given_takes_the_place_of_the_backup_before_anything_is_trained(tmp_path: Path) -> None:
    folder, state = tmp_path / "backup", run_it(BackupAndRestore(tmp_path / "x"), epochs=1).state_dict()
    run_it(BackupAndRestore(folder, delete_checkpoint=False))
    with pytest.raises(ZeroDivisionError):
        run_it(BackupAndRestore(folder), RaiseAt("epoch_begin", 0, ZeroDivisionError()), resume=state)
    assert epochs_kept(folder) == [1]


# The end of a run


class Late(Callback):
    """Raises in its teardown."""

    def on_teardown(self) -> None:
        raise ZeroDivisionError


@in_loop_and_background
def test_what_another_callback_raises_in_its_teardown_keeps_the_backup(tmp_path: Path, background: bool) -> None:
    with pytest.raises(ZeroDivisionError):
        run_it(BackupAndRestore(tmp_path, background=background), Late())
    assert epochs_kept(tmp_path) == [4]


@in_loop_and_background
@pytest.mark.parametrize("save_freq", ["epoch", 1])
def test_what_a_nan_left_never_takes_the_place_of_a_backup(tmp_path: Path, background: bool, save_freq: Any) -> None:
    def spoil(run: Any) -> None:
        run.model.weights["layer0/kernel"][...] = np.nan

    guard, bad = TerminateOnNaN(), Do("train_batch_begin", spoil, 4)
    pause = StopAt("test_begin", 1, kind="pause")  # it saves, were there no fault
    backup = BackupAndRestore(tmp_path, save_freq, background=background)
    model = MLP((2, 2), optimizer="adam")
    run = fit(model, (X, Y), (X, Y), epochs=4, batch_size=2, seed=3, callbacks=[backup, guard, bad, pause])
    assert (run.outcome, [found.about["step"] for found in store.checkpoints(tmp_path)]) == (
        "paused",
        [3 if save_freq == "epoch" else 4],
    )
    again = fit(MLP((2, 2), optimizer="adam"), (X, Y), epochs=4, batch_size=2, seed=3, callbacks=[backup])
    assert (again.outcome, again.step) == ("completed", 12)


@in_loop_and_background
def test_one_object_serves_one_run_after_the_other(tmp_path: Path, background: bool) -> None:
    backup = BackupAndRestore(tmp_path / "backup", background=background, double_checkpoint=True)
    runs = [run_it(backup) for _ in range(2)]
    with pytest.raises(ZeroDivisionError):
        run_it(backup, RaiseAt("epoch_begin", 2, ZeroDivisionError()))
    assert epochs_kept(tmp_path / "backup") == [1, 2]
    runs.append(run_it(backup))
    assert [weights(run) for run in runs] == [weights(runs[0])] * 3
    assert not (tmp_path / "backup").exists()


def test_what_killed_processes_left_is_deleted_and_what_others_write_is_not(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    ours = temporaries.new(tmp_path / "backup-000001")
    theirs = tmp_path / ours.name.replace(f"-{os.getpid()}.", f"-{gone.pid}.")
    for path in (ours, theirs):
        path.mkdir()
        (path / "state.json").write_text("{")
    run_it(BackupAndRestore(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == [ours.name]
    temporaries.done(ours)


def test_an_evaluation_touches_nothing(tmp_path: Path) -> None:
    run_it(BackupAndRestore(tmp_path, delete_checkpoint=False))
    before = sorted(tmp_path.rglob("*"))
    evaluate(MLP((2, 2), optimizer="adam"), (X, Y), callbacks=[BackupAndRestore(tmp_path)])
    assert sorted(tmp_path.rglob("*")) == before


def test_a_backup_inside_an_epoch_that_was_not_asked_for_stays(tmp_path: Path) -> None:
    run_it(BackupAndRestore(tmp_path), StopAt(step=5, kind="pause"))
    with pytest.warns(UserWarning, match="nothing was trained, and the backup stays") as told:
        run = run_it(BackupAndRestore(tmp_path), epochs=1)
    assert (run.outcome, run.step, len(store.checkpoints(tmp_path))) == ("completed", 5, 1)
    assert str(told[0].message).startswith(
        f"BackupAndRestore: the backup in {str(tmp_path)!r} has 1 epochs and is inside epoch 1, and 1 were asked for"
    )
    again = run_it(BackupAndRestore(tmp_path))
    assert (again.outcome, again.step) == ("completed", 12)


def test_two_of_one_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is another of that folder, and each would delete the other's backups"):
        run_it(BackupAndRestore(tmp_path), BackupAndRestore(tmp_path / "x" / ".."))


def test_a_full_disk_is_told_of_with_the_folder_and_the_one_that_is_good(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    with pytest.raises(OSError, match="No space left on device") as refused:
        run_with(FaultyDisk(0, errno.ENOSPC), BackupAndRestore(tmp_path / "b"))
    assert (refused.value.errno, refused.value.strerror) == (
        errno.ENOSPC,
        f"BackupAndRestore: {str(tmp_path / 'b' / 'backup-000002')!r} could not be written (No space left on device); "
        "'backup-000001' before it is good.",
    )


def test_an_evaluation_that_is_paused_leaves_the_backup_of_the_training(tmp_path: Path) -> None:
    run_it(BackupAndRestore(tmp_path), StopAt(step=5, kind="pause"))
    kept = store.checkpoints(tmp_path)
    pause = StopAt("test_batch_end", kind="pause")
    evaluate(MLP((2, 2), optimizer="adam"), (X, Y), callbacks=[BackupAndRestore(tmp_path), pause])
    assert store.checkpoints(tmp_path) == kept
