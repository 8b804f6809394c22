"""BackupAndRestore: the same script, run again after a crash, goes on."""

from __future__ import annotations

import contextlib
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from .. import store
from ..callback import Callback
from ..checkpoint import owned, read_from, without_stop
from ..checks import path_of
from ..dispatch import Listener
from ..errors import NoWeightsError, StateFileError
from ..events import EVENTS, Event
from ._background import Background
from ._save_freq import due_inside_epochs

if TYPE_CHECKING:
    from datetime import timedelta

    from ..run import Run

_NAME: Final = re.compile(r"backup-([0-9]+)")


class BackupAndRestore(Callback):
    """Keep a backup of the whole run in a folder, and go on from it when the same script is run again.

    ::

        fit(model, data, validation_data, epochs=50, callbacks=[BackupAndRestore("backup"), EarlyStopping(patience=3)])

    A backup holds weights and optimizer, the counts, the history, what every callback knows, the random generators of
    the process and the place inside an epoch, so that patience, bests, files and the order of the data go on as if
    there had been no crash. (Keras's brings back weights and optimizer alone: patience starts from zero, and a backup
    of mid-epoch trains batches twice.) The first one is taken as training begins. Each is a folder that appears whole
    or not at all; ``trainhooks checkpoints backup`` lists them. Nothing in them is unpickled.

    Args:
        backup_dir: the folder of the backups; made where it lacks. A folder serves one run at a time.
        save_freq: ``"epoch"``; a number of training steps; or a time as ``"10m"`` or a ``datetime.timedelta``. Where
            training begins at an epoch (Keras's ``fit``), a backup of mid-epoch goes on from the beginning of that
            epoch.
        double_checkpoint: keep the backup before the last as well, which is taken where the last one is damaged.
        delete_checkpoint: delete the backups after a run that ended well: completed, or stopped by a decision. After
            an exception, a fault (a NaN), a pause, or a ``break`` out of the loop they stay. What a fault left is not
            taken: the backup is of before it.
        background: write in a thread. Training waits while the state is copied in memory (which takes as much again),
            and for the write before if that is still under way; a kill in between leaves the backup before. A program
            that ends waits for it.
        resume_stopped: whether a run whose backup says that it was stopped goes on. It stays stopped otherwise.

    ``run.save()`` takes a backup too, and so does a pause of a training, at the batch where it is taken. Where a run is
    given a state to go on from (``resume=``), that comes first, and takes the place of the backups as training begins.
    ``save_freq`` counts training batches: a validation that is killed each time before its end begins again each time.

    What is not in it, and what to do:

    - Whatever the loop's owner keeps outside of model, optimizer and callbacks, as a ``np.random.default_rng`` of one's
      own or a counter. Of the loop, ``enumerate(run.train(loader))`` counts from 0 again: use ``run.batch`` and
      ``run.step``; ``zip(run.train(a), b)`` has ``b`` begin anew: give ``run.train`` a loader of the pairs.
    - A loader's place, where it has no ``state_dict()``: the batches that were done are drawn again and dropped, with
      the random generators as they were when the pass began. So it must give the same batches again: not an iterator
      that runs over several epochs, nor one that draws from a global generator, batch by batch, what the training draws
      from too (a shuffle buffer): give it a seed of its own, or a ``state_dict()``. A generator that it was given is
      found on a ``DataLoader``, its samplers, and through ``tqdm``; not inside ``zip`` or ``itertools.chain``.
    - On TensorFlow a model must be built before ``fit`` to take its weights back: give it an ``Input``.

    Raises:
        TypeError: ``backup_dir`` is neither text nor a path.
        ValueError: ``save_freq`` has no meaning, or ``backup_dir`` is empty; or another one has the same folder.
        StateFileError: (before training) every backup is damaged; or it is another framework's.
        NoWeightsError: (before training) the model has not been built, so that it cannot take its weights back.
        WeightsError: (before training) it is of another model or optimizer: delete it to begin anew.
        OSError: (before training) nothing can be written there; (later) a backup cannot be written, and the one before
            it stays good. With ``background`` that is raised at the next backup, which is begun all the same, or in the
            end. Set ``on_error = "warn"`` on the callback to have training go on, and later backups be tried.
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
        *,
        background: bool = False,
        resume_stopped: bool = False,
    ) -> None:
        self.backup_dir = Path(path_of(backup_dir, "BackupAndRestore", "backup_dir", "folder"))
        self._due, self.save_freq = due_inside_epochs("BackupAndRestore", save_freq), save_freq
        self.double_checkpoint, self.delete_checkpoint = double_checkpoint, delete_checkpoint
        self.background, self.resume_stopped = background, resume_stopped
        self._trains = False
        self._good: list[Path] = []
        """The backups of this run that are whole, the oldest first."""
        self._place: tuple[Any, ...] | None = None
        """Where in the run the last of them is of."""
        self._writer = Background()

    def listeners(self, events: Mapping[str, Event] = EVENTS) -> Iterator[Listener]:
        for one in super().listeners(events):
            if one.event.name == "train_batch_end":
                if self._due is not None:
                    yield one.when_due(self._due)
            elif one.event.name != "epoch_end" or self._due is None:
                yield one

    def settings_dict(self) -> dict[str, Any]:  # how often and where is no matter of the run that is kept
        return {}

    def resume_from(self, run: Run) -> Mapping[str, Any] | None:
        self._good = []
        who = f"BackupAndRestore(backup_dir={str(self.backup_dir)!r})"
        if self.backup_dir.exists() and not self.backup_dir.is_dir():
            raise NotADirectoryError(f"{who}: it is there and is no folder. Give another name.")
        try:
            found = store.load_latest(self.backup_dir)
        except StateFileError as error:
            raise StateFileError(f"{who}: {error} Delete it to begin anew.") from error
        if found is None:
            return None
        path, state = found
        if path == self.backup_dir:
            raise StateFileError(
                f"{who}: it is a checkpoint itself. Give the folder that holds it; or another one, and "
                f"resume={str(self.backup_dir)!r}."
            )
        if state.get("framework") != run.framework:
            raise StateFileError(
                f"{who}: the backup {path.name!r} is {state.get('framework')}'s, and this run is {run.framework}'s: "
                "its weights do not go over. Delete it, or give another folder."
            )
        self._good = [path]
        return read_from(path, without_stop(state) if self.resume_stopped else state)

    def on_train_begin(self, run: Run) -> None:
        self._trains = True
        self._prepare(run)
        if not self._good:  # a crash in the first epoch is gone on from as well
            run.save()

    def on_train_batch_end(self, run: Run) -> None:
        run.save()

    def on_epoch_end(self, run: Run) -> None:
        run.save()  # after the last listener: another callback that saves has files to tell of in its state

    def save(self, run: Run) -> None:
        # what an evaluation alone could save would take the place of a training's
        if not (self._trains and run.is_resumable):
            return
        failed = self._waited()  # before anything is copied: no two copies are in memory
        state = self._state(run)
        if state is not None:
            about, place = _about(run), (run.step, run.epochs_done, run.phase, run.batch)
            if self.background:
                state = owned(state)
                self._writer.start(lambda: self._write(state, about, place))
            else:
                self._write(state, about, place)
        if failed is not None:
            raise failed

    def on_teardown(self, run: Run) -> None:
        trained, self._trains = self._trains, False
        failed = self._waited()
        self._good, self._place = [], None
        # a loop that was left by a break or a return says of no decision: it may be meant to go on
        ended_well = run.outcome == "completed" or (run.outcome == "stopped" and run.stop_kind == "decision")
        if failed is not None and self.on_error == "raise":
            ended_well = False
        if trained and ended_well and run.stop_kind != "fault" and self.delete_checkpoint:
            self._delete(run)
        if failed is not None:
            raise failed

    def _prepare(self, run: Run) -> None:
        """See, before anything is trained, whether a backup can be put there; tidy up after a process that was killed.

        Raises:
            OSError: it cannot.
            ValueError: another one of the run keeps its backups there.
        """
        who = f"BackupAndRestore(backup_dir={str(self.backup_dir)!r})"
        others = [one for one in run.bus.callbacks if isinstance(one, BackupAndRestore) and one is not self]
        if any(one.backup_dir.resolve() == self.backup_dir.resolve() for one in others):
            raise ValueError(f"{who}: there is another of that folder, and each would delete the other's backups.")
        try:
            store.make_folders(self.backup_dir)
        except OSError as error:
            what = f"{who}: the folder cannot be made: {error.strerror}"
            raise type(error)(error.errno, what, error.filename) from None
        if not os.access(self.backup_dir, os.W_OK | os.X_OK):
            raise PermissionError(f"{who}: nothing can be written into it. Give another folder.")
        store.tidied(self.backup_dir)

    def _state(self, run: Run) -> dict[str, Any] | None:
        """The state to keep; None where it is nothing to go on from."""
        try:
            state = run.state_dict(on_device=self.background)
        except NoWeightsError:
            if run.step:
                raise
            return None  # the model has no weights yet: to begin anew is to go on from here
        left_by_fault = any(kind == "fault" for kind, *_ in state["progress"]["stops"])
        return None if left_by_fault else state

    def _waited(self) -> Exception | None:
        """Wait for the write that is under way; gives what it raised."""
        try:
            self._writer.wait()
        except Exception as error:
            return error
        return None

    def _delete(self, run: Run) -> None:
        if run.is_getting_back or (run.max_epochs is not None and run.epochs_done > run.max_epochs):
            inside = f" and is inside epoch {run.epoch}" if run.is_getting_back else ""
            warnings.warn(
                f"BackupAndRestore: the backup in {str(self.backup_dir)!r} has {run.epochs_done} epochs{inside}, and "
                f"{run.max_epochs} were asked for: nothing was trained, and the backup stays.",
                stacklevel=3,
            )
            return
        for path in self._backups():  # the oldest first: killed in the midst, it has ended when it is run again
            store.delete_checkpoint(path)
        with contextlib.suppress(OSError):  # somebody keeps other things there
            self.backup_dir.rmdir()

    def _backups(self) -> list[Path]:
        """The backups in the folder, the oldest first, whole or not."""
        if not self.backup_dir.is_dir():
            return []
        found = [(int(match[1]), path) for path in self.backup_dir.iterdir() if (match := _NAME.fullmatch(path.name))]
        return [path for _, path in sorted(found)]

    def _write(self, state: Mapping[str, Any], about: Mapping[str, Any], place: tuple[Any, ...]) -> None:
        backups = self._backups()
        number = int(backups[-1].name.rpartition("-")[2]) + 1 if backups else 1
        path = self.backup_dir / f"backup-{number:06d}"
        try:
            store.save_checkpoint(path, state, about)
        except OSError as error:
            good = f"{self._good[-1].name!r} before it is good" if self._good else "there is none before it"
            what = f"BackupAndRestore: {str(path)!r} could not be written ({error.strerror or error}); {good}."
            raise type(error)(error.errno, what) from error
        before = self._good[:-1] if place == self._place else self._good  # of the same place one is enough
        self._good, self._place = [*before, path][-2 if self.double_checkpoint else -1 :], place
        for old in backups:
            if old not in self._good:
                store.delete_checkpoint(old)


def _about(run: Run) -> dict[str, Any]:
    """What a list of checkpoints shows of this one."""
    last = run.history[-1].logs if run.history else {}
    inside = run.step > 0 and run.epochs_done <= run.epoch
    return {
        "epoch": run.epochs_done,
        "step": run.step,
        "framework": run.framework,
        "metrics": {name: float(value) for name, value in last.items() if isinstance(value, (int, float))},
        "inside": f"batch {run.batch} of epoch {run.epoch}" if inside else None,
        "saved_at": datetime.now(timezone.utc).isoformat(timespec="microseconds"),
    }
