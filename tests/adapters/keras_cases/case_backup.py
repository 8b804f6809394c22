"""The same script, run again under Keras, goes on from a backup."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import keras
import pytest
from tiny import BACKEND, bare, build, fit, plain, rows
from trainhooks_adapters.keras import bridge

import trainhooks
from trainhooks.callbacks.backup_and_restore import BackupAndRestore
from trainhooks.callbacks.early_stopping import EarlyStopping
from trainhooks.errors import WeightsError
from trainhooks.testing import RaiseAt, StopAt, Trace


def told_of(model: Any, run: Any) -> Any:
    return [value.tolist() for value in model.get_weights()], list(run.history)


def backups(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


@pytest.mark.parametrize("save_freq", ["epoch", 1])
@pytest.mark.parametrize("carry", ["wrap", "bridge"])
def test_the_same_script_run_again_goes_on_after_a_crash(carry: str, save_freq: Any, tmp_path: Path) -> None:
    def script(*more: Any) -> tuple[Any, Any, str]:
        """What a user's script does, whether it runs for the first time or again."""
        keras.utils.set_random_seed(1)
        trace = Trace(batches=False)
        dropped = keras.layers.Dense(4), keras.layers.Dropout(0.5), keras.layers.Dense(1)
        model = build(*dropped, optimizer=keras.optimizers.Adam(0.05))
        backup = BackupAndRestore(tmp_path / "backup", save_freq)
        callbacks = [backup, EarlyStopping("loss", patience=3, min_delta=9), trace, *more]
        run = None
        try:
            if carry == "wrap":
                wrapped = trainhooks.wrap(model, callbacks=callbacks)
                fit(wrapped, epochs=5, shuffle=True)
                run = wrapped.run
            else:
                made = bridge(callbacks)
                fit(model, epochs=5, shuffle=True, callbacks=[made])
                run = made.run
        except ZeroDivisionError:
            pass
        assert model._initial_epoch is None
        return model, run, trace.outline()

    whole, never, _ = script()
    assert backups(tmp_path / "backup") == []
    inside = save_freq == 1
    at = ("train_batch_begin", 8) if inside else ("epoch_begin", 2)
    script(RaiseAt(*at, ZeroDivisionError()))
    assert len(backups(tmp_path / "backup")) == 1
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        again, run, outline = script()
    ours = [str(one.message) for one in told if "it goes on from" in str(one.message)]
    assert ours == inside * [
        "the checkpoint was made inside epoch 2, and keras's training begins at an epoch: it goes on from the "
        "beginning of epoch 2."
    ]
    assert outline == "setup train[ epoch2[] epoch3[] stop ] teardown"
    assert told_of(again, run) == told_of(whole, never)
    assert backups(tmp_path / "backup") == []


def test_a_backup_is_written_in_the_background(tmp_path: Path) -> None:
    model = build(optimizer=keras.optimizers.Adam(0.05))
    backup = BackupAndRestore(tmp_path, delete_checkpoint=False, background=True)
    wrapped = trainhooks.wrap(model, callbacks=[backup])
    fit(wrapped)
    other = build(optimizer=keras.optimizers.Adam(0.05))
    again = trainhooks.wrap(other, resume=tmp_path)
    with pytest.warns(UserWarning, match="so that none is left to train"):
        fit(again)
    assert told_of(other, again.run) == told_of(model, wrapped.run)


def test_an_evaluation_neither_reads_the_backup_nor_deletes_it(tmp_path: Path) -> None:
    fit(trainhooks.wrap(plain(), callbacks=[BackupAndRestore(tmp_path, delete_checkpoint=False)]), epochs=2)
    before, model = backups(tmp_path), plain()
    trainhooks.wrap(model, callbacks=[BackupAndRestore(tmp_path)]).evaluate(*rows(), verbose=0)
    assert (len(before), backups(tmp_path), model.get_weights()[1].tolist()) == (1, before, [0])


def test_a_pause_leaves_the_backup_and_a_stopped_run_that_is_kept_stays_stopped(tmp_path: Path) -> None:
    backup = BackupAndRestore(tmp_path, delete_checkpoint=False)
    assert bare(backup, StopAt("epoch_end", 1, kind="pause"), epochs=4).endswith("paused")
    assert bare(backup, RaiseAt("predict_end"), epochs=3).endswith("completed")
    assert len(backups(tmp_path)) == 1
    (tmp_path / "stopped").mkdir()
    backup = BackupAndRestore(tmp_path / "stopped", delete_checkpoint=False)
    assert bare(backup, StopAt("epoch_end", 0), epochs=4).endswith("] stop ] teardown stopped")
    with pytest.warns(UserWarning, match="It stays stopped"):
        assert bare(backup, epochs=4) == "setup train[] teardown stopped"
    backup = BackupAndRestore(tmp_path / "stopped", resume_stopped=True)
    assert bare(backup, epochs=2) == ("setup train[ epoch1[ batch0[] batch1[] batch2[] ] ] teardown completed")


def test_a_model_that_is_built_by_its_first_batch_is_backed_up_from_then_on(tmp_path: Path) -> None:
    def made() -> Any:
        model = keras.Sequential([keras.layers.Dense(1)])
        model.compile("sgd", loss="mse")
        return model

    backup = BackupAndRestore(tmp_path, delete_checkpoint=False)
    fit(trainhooks.wrap(made(), callbacks=[backup, StopAt("epoch_end", 0, kind="pause")]), epochs=2)
    assert len(backups(tmp_path)) == 1
    again = trainhooks.wrap(made(), callbacks=[BackupAndRestore(tmp_path)])
    if BACKEND == "tensorflow":  # elsewhere Keras builds it before training begins
        with pytest.raises(WeightsError, match="Give it an Input layer, or call it on a batch, before fit"):
            fit(again, epochs=2)
    else:
        fit(again, epochs=2)
        assert [record.epoch for record in again.run.history] == [0, 1]


def test_a_stop_of_kerass_own_is_a_decision_so_that_the_finished_run_is_over(tmp_path: Path) -> None:
    class Stops(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.model.stop_training = epoch == 1

    wrapped = trainhooks.wrap(plain(), callbacks=[BackupAndRestore(tmp_path / "backup")])
    fit(wrapped, epochs=5, callbacks=[Stops()])
    run = wrapped.run
    assert (run.outcome, run.stop_kind, run.stop_source, run.epochs_done) == ("stopped", "decision", "keras", 2)
    assert (run.stop_reason, backups(tmp_path / "backup")) == ("model.stop_training was set", [])
