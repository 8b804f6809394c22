"""BackupAndRestore: the same script, run again, goes on."""

from __future__ import annotations

import math
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainhooks import MLP, Callback, LoopRun, fit, store
from trainhooks.callbacks.backup_and_restore import BackupAndRestore
from trainhooks.callbacks.csv_logger import CSVLogger
from trainhooks.callbacks.early_stopping import EarlyStopping
from trainhooks.callbacks.terminate_on_nan import TerminateOnNaN
from trainhooks.errors import CapabilityError, StateFileError
from trainhooks.testing import Constant, Do, RaiseAt, StopAt, Trace, batches

X, Y = np.arange(12.0, dtype=np.float32).reshape(6, 2) / 12, np.array([0, 1, 0, 1, 0, 1])


def script(folder: Path, *more: Callback, epochs: int = 6, **settings: Any) -> tuple[Any, Any, str]:
    """What a user's script does, whether it runs for the first time or again; an exception ends it."""
    model, trace = MLP((2, 3, 2), lr=0.05, optimizer="adam"), Trace(batches=False)
    callbacks = [BackupAndRestore(folder / "backup", **settings), EarlyStopping(patience=3), trace, *more]
    try:
        run = fit(model, (X, Y), (X, Y), epochs=epochs, batch_size=2, seed=3, callbacks=callbacks)
    except ZeroDivisionError:
        run = None
    return model, run, trace.outline()


def told(model: Any, run: Any) -> Any:
    return {name: value.tolist() for name, value in model.get_weights().items()}, list(run.history)


def crash(event: str = "epoch_begin", nth: int = 3) -> Callback:
    return RaiseAt(event, nth, ZeroDivisionError())


def kept(folder: Path) -> list[tuple[str, int]]:
    """The backups, each with the number of epochs that it holds."""
    return [(found.path.name, found.about["epoch"]) for found in store.checkpoints(folder / "backup", verify=True)]


@pytest.mark.parametrize("event, nth", [("epoch_begin", 3), ("train_batch_end", 10), ("test_begin", 3)])
def test_run_again_after_a_crash_it_ends_as_if_there_had_been_none(tmp_path: Path, event: str, nth: int) -> None:
    never = script(tmp_path)
    script(tmp_path, crash(event, nth))
    again = script(tmp_path)
    assert told(*again[:2]) == told(*never[:2])
    assert again[2] == "setup train[ epoch3[ test[] ] epoch4[ test[] ] epoch5[ test[] ] ] teardown"


def test_files_and_patience_go_on(tmp_path: Path) -> None:
    def flat(*more: Callback) -> Any:
        log = CSVLogger(tmp_path / "log.csv")
        callbacks = [BackupAndRestore(tmp_path / "backup"), EarlyStopping("loss", patience=4), log, *more]
        return fit(MLP((2, 2), lr=0.0), (X, Y), epochs=9, shuffle=False, callbacks=callbacks)

    with pytest.raises(ZeroDivisionError):
        flat(crash())
    run = flat()
    assert (run.epochs_done, run.outcome) == (5, "stopped")
    assert [line.partition(",")[0] for line in (tmp_path / "log.csv").read_text().split()] == ["epoch", *"01234"]


@pytest.mark.parametrize(
    "end, stays",
    [
        (Do("setup", id), False),
        (StopAt("epoch_end", 1), False),
        (StopAt("epoch_end", 1, kind="fault"), True),
        (StopAt("epoch_end", 1, kind="pause"), True),
        (StopAt("train_batch_end", 5, kind="pause"), True),
        (crash(), True),
        (crash("train_end", 0), True),
    ],
    ids=["completed", "decision", "fault", "pause", "pause in an epoch", "exception", "exception at the end"],
)
def test_it_is_deleted_only_after_a_run_that_ended_well(tmp_path: Path, end: Callback, stays: bool) -> None:
    script(tmp_path, end)
    assert (tmp_path / "backup").exists() is stays


def test_a_model_without_a_state_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CapabilityError, match="BackupAndRestore needs 'state'"):
        fit(Constant(), batches(1), callbacks=[BackupAndRestore(tmp_path)])


@pytest.mark.parametrize(
    "event, nth, backup, outline",
    [
        ("epoch_end", 1, ("backup-000004", 2), "epoch2[ test[] ]"),
        ("train_batch_end", 4, ("backup-000003", 1), "epoch1[ test[] ] epoch2[ test[] ]"),
        ("test_batch_end", 4, ("backup-000003", 1), "epoch1[ test[] ] epoch2[ test[] ]"),
        ("test_begin", 1, ("backup-000003", 1), "epoch1[ test[] ] epoch2[ test[] ]"),
        ("train_begin", 0, ("backup-000002", 0), "epoch0[ test[] ] epoch1[ test[] ] epoch2[ test[] ]"),
    ],
)
def test_a_pause_in_any_phase_is_gone_on_from(
    tmp_path: Path, event: str, nth: int, backup: tuple[str, int], outline: str
) -> None:
    never = script(tmp_path, epochs=3)
    assert script(tmp_path, StopAt(event, nth, kind="pause"), epochs=3)[1].outcome == "paused"
    assert kept(tmp_path) == [backup]
    again = script(tmp_path, epochs=3)
    assert told(*again[:2]) == told(*never[:2])
    assert again[2] == f"setup train[ {outline} ] teardown"


def test_a_pause_in_a_prediction_is_gone_on_from(tmp_path: Path) -> None:
    def predicts(*more: Callback) -> tuple[LoopRun, int]:
        outputs, model = 0, MLP((2, 2))
        with LoopRun(model, [BackupAndRestore(tmp_path / "backup"), *more]) as run:
            for _ in run.epochs(1):
                for _ in run.train([0, 1]):
                    run.log(model.train_step((X, Y)))
                for _ in run.predict([0, 1, 2]):
                    outputs += 1
        return run, outputs

    assert predicts(StopAt("predict_batch_end", 1, kind="pause"))[1] == 2
    run, outputs = predicts()
    assert (run.outcome, run.step, outputs) == ("completed", 2, 3)


def test_a_stopped_run_whose_backup_is_kept_stays_stopped(tmp_path: Path) -> None:
    script(tmp_path, StopAt("epoch_end", 1), delete_checkpoint=False)
    with pytest.warns(UserWarning, match="stays stopped; resume_stopped=True has it go on"):
        _, run, outline = script(tmp_path, delete_checkpoint=False)
    assert (outline, run.outcome, run.stop_reason) == ("setup train[] teardown", "stopped", "asked for")


def test_a_stopped_run_whose_backup_is_kept_goes_on_if_asked(tmp_path: Path) -> None:
    script(tmp_path, StopAt("epoch_end", 1), delete_checkpoint=False)
    _, run, outline = script(tmp_path, epochs=3, resume_stopped=True)
    assert (outline, run.outcome) == ("setup train[ epoch2[ test[] ] ] teardown", "completed")


def test_with_a_number_of_steps_it_is_taken_after_each_so_many(tmp_path: Path) -> None:
    seen: list[Any] = []
    look = Do("train_batch_begin", lambda run: seen.append(store.checkpoints(tmp_path / "backup")[-1].about), None)
    script(tmp_path, look, save_freq=7, epochs=6)  # of three steps an epoch
    assert [about["step"] for about in seen] == [0] * 7 + [7] * 7 + [14] * 4
    assert [about["inside"] for about in seen[::7]] == [None, "batch 0 of epoch 2", "batch 1 of epoch 4"]


@pytest.mark.parametrize("save_freq", [1, 2, 4, "0.001s", timedelta(microseconds=1)])
@pytest.mark.parametrize("nth", [1, 10])
def test_of_mid_epoch_too_it_ends_as_if_there_had_been_no_crash(tmp_path: Path, save_freq: Any, nth: int) -> None:
    never = script(tmp_path)
    script(tmp_path, crash("train_batch_end", nth), save_freq=save_freq)
    assert told(*script(tmp_path, save_freq=save_freq)[:2]) == told(*never[:2])


def test_with_a_time_it_is_taken_when_that_has_passed(tmp_path: Path) -> None:
    script(tmp_path, crash(), save_freq="10h")
    assert kept(tmp_path) == [("backup-000001", 0)]
    script(tmp_path, crash("train_end", 0), save_freq=timedelta(microseconds=1))
    assert kept(tmp_path) == [("backup-000019", 5)]  # eighteen batches later; the last is one of the sixth epoch


def test_two_are_kept_and_where_the_last_is_damaged_the_one_before_is_taken(tmp_path: Path) -> None:
    script(tmp_path, crash(), double_checkpoint=True)
    assert kept(tmp_path) == [("backup-000003", 2), ("backup-000004", 3)]
    newest = tmp_path / "backup" / "backup-000004" / "arrays.safetensors"
    newest.write_bytes(newest.read_bytes()[:-4])
    with pytest.warns(UserWarning, match=r"is damaged.* Taken is 'backup-000003', the newest that is good\."):
        _, _, outline = script(tmp_path, epochs=3, double_checkpoint=True)
    assert outline == "setup train[ epoch2[ test[] ] ] teardown"
    assert not (tmp_path / "backup").exists()


def test_of_two_the_older_is_of_an_earlier_epoch_after_a_pause_too(tmp_path: Path) -> None:
    script(tmp_path, StopAt("epoch_end", 2, kind="pause"), double_checkpoint=True)
    assert kept(tmp_path) == [("backup-000003", 2), ("backup-000005", 3)]


def test_a_run_that_a_nan_stopped_goes_on_from_the_epoch_before(tmp_path: Path) -> None:
    def bad(run: Any) -> None:
        run.model.weights["layer0/kernel"][...] = math.nan

    script(tmp_path, TerminateOnNaN(), Do("epoch_begin", bad, 2))
    assert kept(tmp_path) == [("backup-000003", 2)]
    assert script(tmp_path, TerminateOnNaN(), epochs=3)[2] == "setup train[ epoch2[ test[] ] ] teardown"


def test_a_loop_that_was_left_by_a_break_leaves_the_backup(tmp_path: Path) -> None:
    model = MLP((2, 2))
    with LoopRun(model, [BackupAndRestore(tmp_path / "backup")]) as run:
        for epoch in run.epochs(9):
            for _ in run.train([0]):
                run.log(model.train_step((X, Y)))
            if epoch == 2:
                break
    assert (run.outcome, kept(tmp_path)) == ("stopped", [("backup-000004", 3)])


def test_a_damaged_one_does_not_take_the_place_of_the_good_one(tmp_path: Path) -> None:
    script(tmp_path, crash(), double_checkpoint=True)
    newest = tmp_path / "backup" / "backup-000004" / "manifest.json"
    newest.write_bytes(b"")
    with pytest.warns(UserWarning, match="Taken is 'backup-000003'"):
        script(tmp_path, crash("epoch_begin", 1), double_checkpoint=True)
    assert kept(tmp_path) == [("backup-000003", 2), ("backup-000005", 3)]


def test_a_damaged_one_alone_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    script(tmp_path, crash())
    newest = tmp_path / "backup" / "backup-000004"
    (newest / "state.json").write_bytes(b"")
    with pytest.raises(StateFileError) as caught:
        script(tmp_path)
    backup = str(tmp_path / "backup")
    assert str(caught.value) == (
        f"BackupAndRestore(backup_dir={backup!r}): {backup!r} holds no good checkpoint. The checkpoint "
        f"{str(newest)!r} is damaged. {damage_of(newest)}. Delete it to begin anew."
    )
    assert newest.exists()


def damage_of(path: Path) -> str | None:
    return next(found.problem for found in store.checkpoints(path.parent) if found.path == path)


def test_the_backup_of_another_framework_is_refused_and_stays(tmp_path: Path) -> None:
    script(tmp_path, crash())
    with pytest.raises(StateFileError) as caught, LoopRun(Dialled(), [BackupAndRestore(tmp_path / "backup")]):
        pass
    assert str(caught.value) == (
        f"BackupAndRestore(backup_dir={str(tmp_path / 'backup')!r}): the backup 'backup-000004' is numpy's, and this "
        "run is other's: its weights do not go over. Delete it, or give another folder."
    )
    assert kept(tmp_path) == [("backup-000004", 3)]


class Dialled(MLP):
    framework = "other"

    def __init__(self) -> None:
        super().__init__((2, 3, 2))


def test_a_state_that_is_given_comes_before_the_backup(tmp_path: Path) -> None:
    script(tmp_path, crash())
    state = fit(MLP((2, 3, 2), optimizer="adam"), (X, Y), epochs=1, callbacks=[]).state_dict()
    trace = Trace(batches=False)
    fit(
        MLP((2, 3, 2), optimizer="adam"),
        (X, Y),
        epochs=2,
        callbacks=[BackupAndRestore(tmp_path / "backup"), trace],
        resume=state,
    )
    assert trace.outline() == "setup train[ epoch1[] ] teardown"


def test_other_files_in_the_folder_stay(tmp_path: Path) -> None:
    (tmp_path / "backup").mkdir()
    (tmp_path / "backup" / "mine").write_text("mine")
    script(tmp_path)
    assert [path.name for path in (tmp_path / "backup").iterdir()] == ["mine"]


def test_what_has_no_meaning_is_refused(tmp_path: Path) -> None:
    for freq in (0, -1, 2.5, True, "epochs", None):
        with pytest.raises(ValueError) as caught:
            BackupAndRestore(tmp_path, save_freq=freq)  # type: ignore[arg-type]
        assert str(caught.value) == (
            f"BackupAndRestore(save_freq={freq!r}): 'epoch'; a number of steps, at least 1; or a time above 0, as "
            "'600s', '10m', '2h' or a datetime.timedelta"
        )
    with pytest.raises(ValueError, match="the name of a folder"):
        BackupAndRestore("")
