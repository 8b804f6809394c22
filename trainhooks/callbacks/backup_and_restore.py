"""BackupAndRestore: the same script, run again after a crash, goes on."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from ..callback import Callback
from ..dispatch import Listener
from ..errors import StateFileError
from ..events import EVENTS, Event
from ..state_file import load_state, save_state
from ._save_freq import due_inside_epochs

if TYPE_CHECKING:
    from datetime import timedelta

    from ..run import Run

_NEWEST: Final = "backup.safetensors"
_BEFORE: Final = "backup-before.safetensors"


class BackupAndRestore(Callback):
    """Keep a backup of the whole run in a folder, and go on from it when the same script is run again.

    ::

        fit(model, data, validation_data, epochs=50, callbacks=[BackupAndRestore("backup"), EarlyStopping(patience=3)])

    A backup holds weights and optimizer, the counts, the history and what every callback knows, so that patience, bests
    and files go on as if there had been no crash. (Keras's brings back weights and optimizer alone: patience starts
    from zero.) It is taken after everything else has seen the end of an epoch, and written atomically; nothing in it is
    unpickled.

    Args:
        backup_dir: the folder of the backup; made where it lacks. A folder serves one run at a time.
        save_freq: ``"epoch"``; or a number of training steps, or a time as ``"10m"`` or a ``datetime.timedelta``: then
            a backup is taken at the end of the first epoch by which so many more steps were done, or so much time has
            passed. (Keras takes it in mid-epoch, and trains that epoch's batches twice.)
        double_checkpoint: keep the backup before the last as well, which is taken where the last one is damaged.
        delete_checkpoint: delete the backups after a run that ended well: completed, or stopped by a decision. After
            an exception, a fault (a NaN), a pause, or a ``break`` out of the loop they stay. What a fault left is not
            taken: the backup is of the epoch before.

    The process's own random generators (of ``torch``, ``numpy``, ``random``) are not in it: where dropout or the order
    of the data hangs on them, a resumed run draws other numbers. Keras's seed generators are. On TensorFlow a model
    must be built before ``fit`` to take its weights back: give it an ``Input``.

    ``run.save()`` takes a backup too. A pause that is taken inside an epoch leaves the backup of the epoch before it.

    Raises:
        ValueError: ``save_freq`` has no meaning, or ``backup_dir`` is empty.
        StateFileError: (before training) the backup is damaged, and there is no other; or it is another framework's.
        WeightsError: (before training) it is of another model or optimizer: delete it to begin anew.
        OSError: (at an epoch's end) it cannot be written; the backup before it stays good.
    """

    phase = "save"
    requires = {"state"}
    ranks = "main"

    def __init__(
        self,
        backup_dir: str | os.PathLike[str],
        save_freq: Literal["epoch"] | int | str | timedelta = "epoch",
        double_checkpoint: bool = False,
        delete_checkpoint: bool = True,
    ) -> None:
        if not os.fspath(backup_dir):
            raise ValueError(f"BackupAndRestore(backup_dir={backup_dir!r}): the name of a folder")
        self._due = due_inside_epochs("BackupAndRestore", save_freq)
        self.backup_dir, self.save_freq = Path(backup_dir), save_freq
        self.double_checkpoint, self.delete_checkpoint = double_checkpoint, delete_checkpoint
        self._trains = False
        self._holds: int | None = None
        """The count of epochs in the newest backup that this run wrote."""

    def listeners(self, events: Mapping[str, Event] = EVENTS) -> Iterator[Listener]:
        for one in super().listeners(events):
            if one.event.name == "epoch_end" and self._due is not None:
                yield one.when_due(self._due)
            else:
                yield one

    def resume_from(self, run: Run) -> Mapping[str, Any] | None:
        damaged: StateFileError | None = None
        for path in self._paths:
            try:
                state = load_state(path)
            except FileNotFoundError:
                continue
            except StateFileError as error:
                damaged = damaged or error
                continue
            if state["framework"] != run.framework:
                raise StateFileError(
                    f"BackupAndRestore: the backup in {str(self.backup_dir)!r} is {state['framework']}'s, and this run "
                    f"is {run.framework}'s: its weights do not go over. Delete it, or give another folder."
                )
            if damaged is not None:
                warnings.warn(f"BackupAndRestore: {damaged}. The one before it is taken.", stacklevel=2)
                self._paths[0].unlink(missing_ok=True)  # else the next write would put it over the good one
            return state
        if damaged is not None:
            raise StateFileError(
                f"BackupAndRestore: {damaged}. There is no other in {str(self.backup_dir)!r}: delete it to begin anew."
            ) from damaged
        return None

    def on_train_begin(self) -> None:
        self._trains, self._holds = True, None

    def on_epoch_end(self, run: Run) -> None:
        run.save()  # after the last listener: another callback that saves has files to tell of in its state

    def save(self, run: Run) -> None:
        if run.is_between_epochs and run.stop_kind != "fault":  # what a fault left is nothing to go on from
            self._write(run)

    def on_teardown(self, run: Run) -> None:
        trained, self._trains = self._trains, False
        # a loop that was left by a break or a return says of no decision: it may be meant to go on
        ended_well = run.outcome in ("completed", "stopped") and run.stop_kind != "fault"
        ended_well = ended_well and (run.outcome == "completed" or run.stop_kind == "decision")
        if trained and ended_well and self.delete_checkpoint:
            for path in self._paths:
                path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # somebody keeps other things there
                self.backup_dir.rmdir()

    @property
    def _paths(self) -> tuple[Path, Path]:
        return self.backup_dir / _NEWEST, self.backup_dir / _BEFORE

    def _write(self, run: Run) -> None:
        newest, before = self._paths
        state = run.state_dict()
        if self.double_checkpoint and newest.exists() and self._holds != run.epochs_done:  # a pause saves once more
            os.replace(newest, before)
        save_state(newest, state)
        self._holds = run.epochs_done
