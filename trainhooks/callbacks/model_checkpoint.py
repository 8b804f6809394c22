"""ModelCheckpoint: save the model during training."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeGuard

from .. import store
from ..callback import Callback
from ..checks import count, is_number, metric_name, path_of, whole
from ..dispatch import Listener
from ..events import EVENTS, Event
from ._filepath import FilePath
from ._formats import BY_NAME, WEIGHTS_ALONE, suffix_for, suffix_of
from ._monitor import Mode, Monitor
from ._retention import Retention
from ._save_freq import due_inside_epochs

if TYPE_CHECKING:
    from datetime import timedelta

    from ..logs import Logs
    from ..run import Run


class ModelCheckpoint(Callback):
    """Save the model at the end of epochs, or every so many steps or seconds; all of them, the best, or the newest.

    The file's suffix says what is written: ``.safetensors`` (weights by name) under every trainer; ``.keras`` (the
    whole model) and ``.weights.h5`` (weights and optimizer) under Keras; ``.pt`` (a ``state_dict()``, which
    ``torch.load(weights_only=True)`` reads) under PyTorch and the trainers of its modules; ``.ubj`` and ``.json`` under
    XGBoost, ``.txt`` under LightGBM. Without a suffix it is the trainer's own, the first of these that it writes, and
    is put at the end: ``ModelCheckpoint("best")`` writes ``best.keras``, ``best.pt``, ``best.ubj``::

        ModelCheckpoint("best.keras", save_best_only=True)

        ModelCheckpoint("w-{epoch:02d}-{val_loss:.2f}.safetensors", keep_best=3, keep_last=1)

        ModelCheckpoint("w-{epoch}-{batch}.pt", save_freq="10m", keep_last=2)

    ``safetensors.numpy.load_file(path)`` gives what ``run.set_weights(...)`` takes. A metric in the name must be there
    at each save.

    A file is written beside its target and renamed, so that a crash or a full disk leaves the one before; then
    ``checkpoint`` is fired. The best is never overwritten by a worse one: a NaN is never a best, the best is kept over
    runs (as in Keras) and over a resume, and where the metric is missing nothing is saved for it (Keras saves). So
    with a ``save_freq`` in steps or seconds it needs a metric that is there at a step's end, as ``loss`` is.

    With ``keep_best`` or ``keep_last`` older files are deleted once the new one is safely there; with both, what either
    keeps stays. Only files that this callback wrote, and has in its state, are ever deleted. ``keep_best`` alone writes
    only what is among the best so far; with ``save_best_only`` all this holds among those that were better than all
    before.

    Args:
        filepath: where to; ``{epoch}`` (from 1, as in Keras) and any metric can stand in it, and with a ``save_freq``
            in steps or seconds ``{batch}`` (from 1).
        monitor: key of the metric that ``save_best_only`` and ``keep_best`` look at.
        verbose: 1 prints what it saves.
        save_best_only: save only what is better than the best so far.
        save_weights_only: True refuses ``.keras``, as Keras does. The other suffixes say whether they hold weights
            alone, whatever this is.
        mode: ``"min"``, ``"max"``, or ``"auto"`` to tell from the metric's name.
        save_freq: ``"epoch"``; a number of training steps, counted over the whole run; or a time with its unit, at
            whose passing the next batch's end saves: ``"600s"``, ``"10m"``, ``"2h"``, or a ``datetime.timedelta``.
        initial_value_threshold: a best to begin with.
        strict: a metric that is missing when it is due is an error; False warns, and nothing is saved for it.
        keep_best: how many of the best files stay; None keeps all. Of equal ones the older stays.
        keep_last: how many of the newest files stay; None keeps all. Where several files are to stay, the name needs
            ``{epoch}``, and inside epochs ``{batch}``, so that they differ.

    Attributes:
        best: the best value that was saved, or ``initial_value_threshold``; None where no metric is looked at.
        best_path: the file that holds it, or None.
        last_path: the file that was saved last, or None.
        kept_paths: the files that ``keep_best`` and ``keep_last`` keep, absolute, the oldest first.

    Raises:
        TypeError: ``filepath`` is neither text nor a path, or ``monitor`` no text.
        ValueError: there is a suffix that is none of these, or ``.keras`` with ``save_weights_only``; ``save_freq``,
            ``keep_best`` or ``keep_last`` has no meaning; several files would have one name; a field of ``filepath`` is
            no plain name or cannot be formatted so; or the threshold is NaN.
        CapabilityError: (when attached, or before training) this trainer does not write that suffix.
        OSError: (before training) no file can be put there; (at a save) it cannot be written, and the one before stays.
        MissingMetricError: (at a save) a field of ``filepath`` is no metric.
    """

    phase = "save"
    ranks = "main"

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: Mode = "auto",
        save_freq: Literal["epoch"] | int | str | timedelta = "epoch",
        initial_value_threshold: float | None = None,
        *,
        strict: bool = True,
        keep_best: int | None = None,
        keep_last: int | None = None,
    ) -> None:
        self.filepath = path_of(filepath, "ModelCheckpoint", "filepath")
        self._who = f"ModelCheckpoint(filepath={self.filepath!r})"
        self._suffix = suffix_of(self._who, self.filepath, save_weights_only)
        self.requires = {BY_NAME: {"weights"}, None: set()}.get(self._suffix, {"save"})
        self._due = due_inside_epochs("ModelCheckpoint", save_freq)
        best = initial_value_threshold
        if best is not None and not (is_number(best) and not math.isnan(best)):
            raise ValueError(f"ModelCheckpoint(initial_value_threshold={initial_value_threshold!r}): a number, or None")
        self._file = FilePath("ModelCheckpoint", self.filepath, has_batches=self._due is not None)
        self.keep_best = None if keep_best is None else count(keep_best, f"ModelCheckpoint(keep_best={keep_best!r})", 1)
        self.keep_last = None if keep_last is None else count(keep_last, f"ModelCheckpoint(keep_last={keep_last!r})", 1)
        self._check_names()
        watches = save_best_only or keep_best is not None
        self._watch = Monitor("ModelCheckpoint", monitor, mode, strict=strict) if watches else None
        self._kept: Retention | None = None
        if self._watch is not None:
            self._watch.reset(initial_value_threshold)
        if keep_best is not None or keep_last is not None:
            better = (lambda value, than: False) if self._watch is None else self._watch.is_better
            self._kept = Retention(self.keep_best, self.keep_last, better)
        self.monitor, self.verbose = metric_name(monitor, "ModelCheckpoint"), verbose
        self.save_best_only = save_best_only
        self.initial_value_threshold = initial_value_threshold
        steps = whole(save_freq)
        self.save_freq: Literal["epoch"] | int | str | timedelta = save_freq if steps is None else steps
        self.save_weights_only = save_weights_only
        self.last_path: Path | None = None

    @property
    def best(self) -> float | None:
        return self._watch.best if self._watch is not None else None

    @property
    def best_path(self) -> Path | None:
        if self.save_best_only:  # whatever it saved was a best
            return self.last_path
        best = self._kept.best if self._kept is not None else []
        return Path(best[0].path) if best else None

    @property
    def kept_paths(self) -> list[Path]:
        return [] if self._kept is None else [Path(one.path) for one in self._kept.files]

    def listeners(self, events: Mapping[str, Event] = EVENTS) -> Iterator[Listener]:
        dropped = "train_batch_end" if self._due is None else "epoch_end"
        for one in super().listeners(events):
            if one.event.name == "train_batch_end" and self._due is not None:
                yield one.when_due(self._due)
            elif one.event.name != dropped:
                yield one

    def reset(self) -> None:
        if self._watch is not None:
            self._watch.reset(self._watch.best)  # that of the file which is there

    def on_setup(self, run: Run) -> None:
        suffix_for(run, self._who, self._suffix)

    def on_train_begin(self, run: Run) -> None:
        self._file.prepare(suffix_for(run, self._who, None) if self._suffix is None else "")

    def on_epoch_end(self, run: Run, logs: Logs) -> None:
        self._consider(run, logs, "epoch")

    def on_train_batch_end(self, run: Run, logs: Logs) -> None:
        self._consider(run, logs, "step")

    def on_train_end(self, run: Run, logs: Logs) -> None:
        if self._watch is None:
            return
        if self._due is None:
            self._watch.finish(run, logs)
        else:
            self._watch.finish(run, logs, "no step ended with that metric, so nothing was saved")

    def state_dict(self) -> dict[str, Any]:
        state = {} if self._watch is None else self._watch.state_dict()
        if self._kept is not None:
            state |= {"kept": self._kept.state(), "kept_as": self.filepath}
        return state | {"last_path": None if self.last_path is None else str(self.last_path)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if self._watch is None:
            fits = True
        elif fits := "best" in state:  # it was made with save_best_only or keep_best
            fits = self._watch.load_state_dict(state)
        if fits:
            self.last_path = None if state["last_path"] is None else Path(state["last_path"])
            if self._kept is not None and self._is_of_mine(state):
                self._kept.load(state.get("kept", ()))

    def _is_of_mine(self, state: Mapping[str, Any]) -> bool:
        """Whether the files that a state tells of are of this template; of another's none may be deleted."""
        saved = state.get("kept_as", self.filepath)
        if saved != self.filepath:
            warnings.warn(
                f"{self._who}: saved with filepath={saved!r}; the files of that name are left alone, and stay.",
                stacklevel=3,
            )
        return bool(saved == self.filepath)

    def _consider(self, run: Run, logs: Logs, now: str) -> None:
        value = None if self._watch is None else self._watch.read(run, logs, now)
        if self._watch is None or self._wants(self._watch, value):
            self._write(run, logs, value)

    def _wants(self, watch: Monitor, value: float | None) -> bool:
        if self.save_best_only:
            return value is not None and watch.is_better(value, watch.best)
        if self.keep_last is not None:
            return True  # the newest stays, whatever it is worth
        return self._kept is not None and self._is_good(value) and self._kept.takes(value)

    def _is_good(self, value: float | None) -> TypeGuard[float]:
        """Whether it can be one of the best: a number, and better than what it was to begin with."""
        return (
            value is not None and self._watch is not None and self._watch.is_better(value, self.initial_value_threshold)
        )

    def _write(self, run: Run, logs: Logs, value: float | None) -> None:
        suffix = suffix_for(run, self._who, self._suffix)  # it may have been attached since setup
        path = self._file.fill(run, logs)
        if self._suffix is None:
            path = path.with_name(path.name + suffix)
        good = value if self._is_good(value) else None
        better = self._kept.spares(path, good) if self._kept is not None else None
        if better is not None:
            warnings.warn(
                f"ModelCheckpoint: {str(path)!r} holds one with {self.monitor}={better:.6g}, and is not written over "
                f"with {value}. Give each run a folder of its own.",
                stacklevel=2,
            )
            return
        self._save(run, path, suffix)
        self.last_path = path
        if self._watch is not None and good is not None and self._watch.is_better(good, self._watch.best):
            self._watch.best = good  # once the file is there: a write that failed is no best
        if self._kept is not None:
            self._kept.add(path, good)
            self._kept.prune("ModelCheckpoint")
        if self.verbose:
            what = "weights" if suffix in WEIGHTS_ALONE else "model"
            print(f"Epoch {run.epoch + 1}: saving {what} to {path}")
        run.emit("checkpoint", path=path, logs=logs)

    def _save(self, run: Run, path: Path, suffix: str) -> None:
        if suffix == BY_NAME:
            told = {"framework": run.framework, "epoch": str(run.epoch), "step": str(run.step)}
            store.save_arrays(path, run.get_weights(), told)
        else:
            store.write_atomically(path, run.trainable.save, suffix=suffix)

    def _check_names(self) -> None:
        """Refuse a name under which several files that are to stay would be one."""
        needed = ["epoch"] if self._due is None else ["epoch", "batch"]
        lacking = " and ".join(f"{{{name}}}" for name in needed if name not in self._file.fields)
        if lacking and (self.keep_best or 0) + (self.keep_last or 0) > 1:
            given = {"keep_best": self.keep_best, "keep_last": self.keep_last}
            rules = " and ".join(f"{name}={value}" for name, value in given.items() if value is not None)
            raise ValueError(
                f"{self._who}: by {rules} several files are to stay, so each needs a name of its own. "
                f"Put {lacking} into it."
            )
