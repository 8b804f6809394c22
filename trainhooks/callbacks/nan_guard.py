"""NaNGuard: after a NaN, go back to the last good state with a smaller learning rate, and go on."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from ..callback import Callback
from ..checks import count, is_number, metric_name
from ..dispatch import Listener
from ..errors import NoWeightsError, WeightsError, unmet_monitor
from ..events import EVENTS, Event
from ._finite import first_nan, infinite
from ._save_freq import due_inside_epochs

if TYPE_CHECKING:
    from datetime import timedelta

    from ..logs import Logs
    from ..run import Run

_RECENT: Final = 50
_FEWEST: Final = 10
"""Values before which no median is trusted."""


class NaNGuard(Callback):
    """At a NaN or a spike of the loss, put back the last good state, lower the learning rate, and go on.

    ::

        callbacks=[NaNGuard(spike=100), BackupAndRestore("backup"), CSVLogger("log.csv")]

    It looks at each training batch's own ``monitor``. When that is not finite, weights and optimizer become what they
    were in the last good state, the learning rates ``lr_factor`` times those of that state (twice from the same state:
    ``lr_factor**2`` times), and training goes on with the next batch; a warning tells of it. When it has done so
    ``max_rollbacks`` times in a run, the next one puts the state back once more and asks for a stop of kind
    ``"fault"``: what was saved for a resume stays, and the model is left with its last good weights.

    A state is taken when everybody has seen an epoch begin, or each ``save_freq``, and is good only if all floats in it
    are finite, the optimizer's too; otherwise the one before it stays. (An array that holds infinities, and no NaN,
    when training begins, as a mask does, may go on holding them.) It is a copy in the memory of the host: one of the
    weights and the optimizer's slots, and for a moment a second one. It is not in the saved state of the run: after a
    resume it is taken anew.

    Nothing repairs a logged value: the epoch's mean stays NaN, which to ``EarlyStopping`` and the like is a miss. Into
    the logs it writes ``nonfinite_batches``, of this epoch, and ``rollbacks``, of this run.

    - Whatever sets the learning rate itself, as ``LearningRateScheduler`` or most of PyTorch's ``lr_scheduler``, sets
      it again at its next turn: let it begin with less, or take ``lr_factor=1``. What ``wrap(lr_scheduler=...)`` was
      given belongs to the state, and goes back with it.
    - Reading the loss at each batch makes the host wait for the device, as ``TerminateOnNaN`` does; the two together
      make no sense, since the mean that the latter reads stays NaN.
    - What a ``GradScaler`` or a ``LossScaleOptimizer`` skips because of its gradients has a finite loss, and is none
      of this callback's business. Gradients that are being accumulated are the good state's again.
    - An ``EMA`` that follows the optimizer's updates has taken the NaN in by then. Under Keras list it after this one.
    - Keras shows running means only, in which the first NaN of an epoch is seen and no later one: where there was one,
      the weights are looked at when the epoch ends, and put back there. ``spike`` cannot be had.
    - On several processes one of them is enough, and all go back together. They ask each other at every batch, so each
      must have as many batches as the others.

    Args:
        monitor: key of a metric of each batch.
        max_rollbacks: over the run; 0 stops at the first.
        lr_factor: in (0, 1]; without a learning rate that can be set, only the state is put back.
        save_freq: ``"epoch"``; or a number of training steps, or a time as ``"10m"`` or a ``datetime.timedelta``, after
            which a state is taken at the next end of a batch.
        spike: above so many times the median of the last 50 finite values a value counts as a NaN would, once there are
            10 of them and that median is above 0; above 1, None for never.

    Attributes:
        rollbacks: so far in this run.
        nonfinite_batches: so far in this epoch, as many as were seen.

    Raises:
        TypeError: ``monitor`` is no string.
        ValueError: an argument is outside these.
        CapabilityError: (when attached) the trainer has no state to put back, or with ``spike`` no values of batches.
        WeightsError: (when the first epoch begins) there is a NaN already, so that no state is good.
        MissingMetricError: (at an epoch's end) no batch has logged ``monitor``.
    """

    requires = {"state"}

    def __init__(
        self,
        monitor: str = "loss",
        max_rollbacks: int = 3,
        lr_factor: float = 0.5,
        save_freq: Literal["epoch"] | int | str | timedelta = "epoch",
        spike: float | None = None,
    ) -> None:
        if not (is_number(lr_factor) and 0 < lr_factor <= 1):
            raise ValueError(f"NaNGuard(lr_factor={lr_factor!r}): in (0, 1], 1 to leave the learning rate as it is")
        if spike is not None and not (is_number(spike) and 1 < spike < math.inf):
            raise ValueError(f"NaNGuard(spike={spike!r}): how many times the median is too much, above 1; or None")
        self._due = due_inside_epochs("NaNGuard", save_freq)
        self.monitor, self.lr_factor = metric_name(monitor, "NaNGuard"), float(lr_factor)
        self.save_freq, self.spike = save_freq, spike
        self.max_rollbacks = count(max_rollbacks, f"NaNGuard(max_rollbacks={max_rollbacks!r})")
        if spike is not None:
            self.requires = {"state", "batch_logs"}  # in a running mean a spike is flat
        self.reset()
        self._forget()

    def listeners(self, events: Mapping[str, Event] = EVENTS) -> Iterator[Listener]:
        yield from super().listeners(events)
        who = type(self).__name__
        yield Listener(events["epoch_begin"], self._take_at_epoch, f"{who}.epoch_taken", **self._last)
        if self._due is not None:
            batch = Listener(events["train_batch_end"], self._take, f"{who}.batch_taken", **self._last)
            yield batch.when_due(self._due)

    def reset(self) -> None:
        self.rollbacks = self.nonfinite_batches = 0
        self._epoch: int | None = None
        """The epoch that ``nonfinite_batches`` counts in."""
        self._recent: list[float] = []
        self._seen = False
        """Whether a batch had the metric, before a resume as well."""

    def _forget(self) -> None:
        self._good: Mapping[str, Any] | None = None
        self._taken_at = self._since = 0
        """The step of the good state, and how often it was put back."""
        self._infinite: set[str] = set()
        self._unbuilt = False
        """Whether a state could not be taken because the model had no weights yet."""
        self._blind = False
        """Whether a running mean has been NaN in this epoch."""

    def on_epoch_begin(self, epoch: int) -> None:
        self._blind = False
        if epoch != self._epoch:  # a run that goes on inside an epoch begins it again
            self._epoch, self.nonfinite_batches = epoch, 0

    def on_train_batch_end(self, run: Run, batch: int, logs: Logs) -> None:
        own = run.can("batch_logs")
        value = (run.batch_logs if own else logs).get(self.monitor)
        trouble = None
        if value is not None and not self._blind:
            self._seen = True
            trouble = self._judge(value)
            self._blind = trouble is not None and not own
        if self._unbuilt and trouble is None:
            self._take(run)
        if run.world.any(trouble is not None):
            if value is not None and not math.isfinite(value):
                self.nonfinite_batches += 1
            self._go_back(run, f"epoch {run.epoch}, batch {batch}: {trouble or 'another process had trouble'}")
            logs["nonfinite_batches"], logs["rollbacks"] = self.nonfinite_batches, self.rollbacks
        elif value is not None and self.spike is not None:
            self._recent = [*self._recent[1 - _RECENT :], value]

    def on_epoch_end(self, run: Run, epoch: int, logs: Logs) -> None:
        if self._blind and (name := self._not_finite(run.trainable.state_dict())):
            self.nonfinite_batches += 1
            self._go_back(run, f"epoch {epoch}, at its end: {name!r} is not finite")
        logs["nonfinite_batches"], logs["rollbacks"] = self.nonfinite_batches, self.rollbacks
        if not self._seen and "train" in run.passes and not run.cut_short:
            what = f"NaNGuard(monitor={self.monitor!r}): epoch {epoch} ended, and no batch had that metric."
            raise unmet_monitor(what, self.monitor, list(logs), False)

    def on_teardown(self) -> None:
        self._forget()

    def state_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("rollbacks", "nonfinite_batches")} | {
            "epoch": self._epoch,
            "recent": list(self._recent),
            "seen": self._seen,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.rollbacks, self.nonfinite_batches = state["rollbacks"], state["nonfinite_batches"]
        self._epoch, self._recent, self._seen = state["epoch"], list(state["recent"]), state["seen"]

    @property
    def _last(self) -> dict[str, Any]:
        """Of a listener that comes last of all: what sets the learning rate has had its turn."""
        return {"phase": "save", "on_error": self.on_error, "owner": self}

    def _judge(self, value: float) -> str | None:
        """What is wrong with a value; None where nothing is."""
        if not math.isfinite(value):
            return f"{self.monitor} is {value}"
        if self.spike is None or len(self._recent) < _FEWEST:
            return None
        median = float(np.median(self._recent))
        if not 0 < self.spike * median < value:
            return None
        return f"{self.monitor} is {value:.6g}, above {self.spike:g} times its median {median:.6g}"

    def _take_at_epoch(self, run: Run) -> None:
        if self._due is None or self._good is None:
            self._take(run)

    def _take(self, run: Run) -> None:
        """Keep the state as it is now, if it is good."""
        try:
            state = run.trainable.state_dict()
        except NoWeightsError:
            if run.step:
                raise
            self._unbuilt = True  # they are made at the first batch, after which it is taken
            return
        self._unbuilt = False
        if self._good is None:
            if name := first_nan(state):
                raise WeightsError(f"NaNGuard: {name!r} holds a NaN, and there is no good state to go back to.")
            self._infinite = infinite(state)
        elif name := self._not_finite(state):  # where the loss did not show it
            self.nonfinite_batches += 1
            self._go_back(run, f"epoch {run.epoch}, before batch {run.batch + 1}: {name!r} is not finite")
            return
        self._good, self._taken_at, self._since = state, run.step, 0

    def _not_finite(self, state: Mapping[str, Any]) -> str | None:
        """The name of an array that is not finite, and was when training began."""
        return first_nan(state) or min(infinite(state) - self._infinite, default=None)

    def _go_back(self, run: Run, trouble: str) -> None:
        """Put the good state back and lower the learning rate; stop where that cannot be, or was done too often."""
        if self._good is None:
            self._stop(run, trouble, "there is no good state to go back to")
            return
        before = run.lr if run.can("lr") else None
        try:
            run.trainable.load_state_dict(self._good)
        except WeightsError as error:
            self._stop(run, trouble, f"the good state does not fit the model as it is now ({error})")
            return
        goes_on = self.rollbacks < self.max_rollbacks
        if goes_on:
            self.rollbacks += 1
            self._since += 1
        if before is not None and (factor := self.lr_factor**self._since) != 1:
            run.lrs = [lr * factor for lr in run.lrs]
        if goes_on:
            self._tell(run, trouble, before)
        else:
            used = f"max_rollbacks={self.max_rollbacks} are used up"
            self._stop(run, trouble, f"{used}. The state of step {self._taken_at} is put back")

    def _stop(self, run: Run, trouble: str, why: str) -> None:
        run.stop(f"{trouble}; {why}", kind="fault", source=self)

    def _tell(self, run: Run, trouble: str, before: float | None) -> None:
        lr = "" if before is None else f", the learning rate goes from {before:.6g} to {run.lr:.6g}"
        warnings.warn(
            f"NaNGuard: {trouble}. The state of step {self._taken_at} is put back{lr} (rollback {self.rollbacks} of "
            f"{self.max_rollbacks}).",
            stacklevel=4,
        )
