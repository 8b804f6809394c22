"""EarlyStopping: stop when a monitored metric has stopped improving."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..callback import Callback
from ..checks import is_number
from ._monitor import Mode, Monitor
from ._snapshots import KeptWeights

if TYPE_CHECKING:
    from ..logs import Logs
    from ..progress import StopKind
    from ..run import Run


class EarlyStopping(Callback):
    """Stop training when ``monitor`` has not improved for ``patience`` checks.

    The constructor and the decisions are Keras's, save for its faults: a NaN is a miss and never a best; patience,
    best and best weights survive a resume; best weights come back however training ended, by an exception too (but
    not by a pause, which is to go on from where it was). A metric that is missing is an error (see ``strict``).

    As in Keras, an epoch that improves on the best never stops, and with a ``baseline`` patience starts again only
    when the baseline is beaten too; patience 0 and 1 are alike; the first epoch (number 0) never stops for want of
    patience.

    Three further reasons to stop are Lightning's, and off unless they are asked for. They need no patience, and hold
    for the first epoch too; what ``start_from_epoch`` leaves out they do not look at either:

    - ``check_finite``: the metric is NaN or infinite. Such an epoch is never the best.
    - ``divergence_threshold``: the metric is worse than this. Such an epoch is never the best either. Both are stops
      of kind ``"fault"``: backups survive them, and ``min_epochs`` does not hold them back.
    - ``stopping_threshold``: the metric is better than this: a goal that is reached, and a decision like that of
      patience, which ``min_epochs`` holds until then. The epoch is looked at as the best first (in Lightning it is
      not), so that it is its weights that come back.

    The comparisons are strict and without ``min_delta``. Lightning's own class has ``check_finite`` on and a patience
    of 3 unless told otherwise, and no exception for the first epoch; Ignite's, unless ``cumulative_delta`` is on,
    compares with the last better value even where that was no improvement by ``min_delta``.

    Args:
        monitor: key of the metric.
        min_delta: an improvement must be larger than this; its sign is ignored.
        patience: checks without improvement before it stops. A check is an epoch at whose end the metric was there.
        verbose: 1 prints what it decides.
        mode: ``"min"``, ``"max"``, or ``"auto"`` to tell from the metric's name.
        baseline: a value that must be beaten for patience to start again; None for none.
        restore_best_weights: give the model the weights of the best epoch when training ends.
        start_from_epoch: epochs with a smaller number (from 0) are not looked at.
        strict: a metric that is missing when it is due is an error; False warns and skips that epoch.
        check_finite: stop as soon as the metric is NaN or infinite.
        stopping_threshold: stop as soon as the metric is better than this; None for no goal.
        divergence_threshold: stop as soon as the metric is worse than this; None for no bound.

    Attributes:
        wait: checks since patience last started.
        best: the best value, None before the first check.
        best_epoch: its epoch, from 0.
        stopped_epoch: the epoch, from 0, at whose end it asked for the stop; 0 when it did not.

    Raises:
        TypeError: ``monitor`` is no string.
        ValueError: a setting has no meaning, or ``divergence_threshold`` is not worse than ``stopping_threshold``.
    """

    phase = "decide"

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0,
        patience: int = 0,
        verbose: int = 0,
        mode: Mode = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
        *,
        strict: bool = True,
        check_finite: bool = False,
        stopping_threshold: float | None = None,
        divergence_threshold: float | None = None,
    ) -> None:
        if not (is_number(patience) and patience >= 0):  # put this way round, NaN is refused too
            raise ValueError(f"EarlyStopping(patience={patience!r}): a number of checks, at least 0")
        if baseline is not None and not (is_number(baseline) and not math.isnan(baseline)):
            raise ValueError(f"EarlyStopping(baseline={baseline!r}): a number, or None")
        if not is_number(start_from_epoch):
            raise ValueError(f"EarlyStopping(start_from_epoch={start_from_epoch!r}): the number of an epoch, from 0")
        goal, bound = _threshold("stopping", stopping_threshold), _threshold("divergence", divergence_threshold)
        self._watch = Monitor("EarlyStopping", monitor, mode, min_delta, strict=strict)
        way = self._watch.mode
        if goal is not None and bound is not None and way is not None and not _beats(goal, bound, way):
            raise ValueError(
                f"EarlyStopping(stopping_threshold={goal!r}, divergence_threshold={bound!r}): the second is "
                f"the worse one, with mode={way!r} the {'greater' if way == 'min' else 'smaller'}"
            )
        self.check_finite, self.stopping_threshold, self.divergence_threshold = bool(check_finite), goal, bound
        self.monitor, self.patience, self.verbose, self.baseline = monitor, patience, verbose, baseline
        self.restore_best_weights, self.start_from_epoch = restore_best_weights, start_from_epoch
        self.requires = {"snapshot"} if restore_best_weights else set()
        self.reset()

    @property
    def best(self) -> float | None:
        return self._watch.best

    def reset(self) -> None:
        self._watch.reset()
        self.wait = self.best_epoch = self.stopped_epoch = 0
        self._asked = False
        """Whether it asked for a stop: the epoch of that may be number 0."""
        self._kept = KeptWeights()
        self._trains = False
        """Whether this run trains: an evaluation must not be given the weights of a training before it."""

    def on_train_begin(self) -> None:
        self._trains = True

    def on_epoch_end(self, run: Run, epoch: int, logs: Logs) -> None:
        self._trains = True  # it may have been attached since the beginning
        if epoch < self.start_from_epoch:
            return
        value = self._watch.read(run, logs)
        if value is None:
            return
        if fault := self._fault(value):
            self._ask(run, epoch, fault, "fault")
            return
        self.wait += 1
        better = self._watch.is_better(value, self._watch.best)
        if better:
            self._watch.best, self.best_epoch = value, epoch
            if self.restore_best_weights:
                self._kept.keep(run.snapshot(), run.framework)
            if self.baseline is None or self._watch.is_better(value, self.baseline):
                self.wait = self.stopped_epoch = 0
                self._asked = False
                run.withdraw_stop(self)  # one that min_epochs still holds back
        if self.stopping_threshold is not None and _beats(value, self.stopping_threshold, self._watch.mode):
            self._ask(run, epoch, f"{self.monitor} is {value:.6g}, better than {self.stopping_threshold:.6g}")
        elif not better and self.wait >= self.patience and epoch > 0:
            self._ask(run, epoch, self._reason(value))

    def on_train_end(self, run: Run, logs: Logs) -> None:
        self._watch.finish(run, logs)
        if not run.should_stop:  # it was held until the end
            self.stopped_epoch, self._asked = 0, False
        if self._asked and self.verbose:
            print(f"Epoch {self.stopped_epoch + 1}: early stopping")
        self._restore(run)

    def on_exception(self, run: Run) -> None:
        if self._trains:
            self._restore(run)

    def on_teardown(self, run: Run) -> None:
        self._trains = False
        self._kept.settle(run)
        if self._kept.arrays is not None:
            self._kept.snapshot = None  # the next run begins without, and a device's memory is scarce

    def state_dict(self) -> dict[str, Any]:
        state = {name: getattr(self, name) for name in ("wait", "best_epoch", "stopped_epoch")}
        kept = {"asked": self._asked, "best_weights": self._kept.state_dict(self.run)}
        return state | self._watch.state_dict(**self._settings) | kept

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.reset()
        if self._watch.load_state_dict(state, **self._settings):
            self.wait, self.best_epoch = state["wait"], state["best_epoch"]
            self.stopped_epoch = state["stopped_epoch"]
            self._asked = state["asked"]
            self._kept.load_state_dict(state["best_weights"])

    @property
    def _settings(self) -> dict[str, Any]:
        names = ["patience", "baseline", "restore_best_weights", "start_from_epoch"]
        names += ["check_finite", "stopping_threshold", "divergence_threshold"]
        return {name: getattr(self, name) for name in names}

    def _ask(self, run: Run, epoch: int, reason: str, kind: StopKind = "decision") -> None:
        self.stopped_epoch, self._asked = epoch, True
        run.stop(reason, kind=kind, source=self)

    def _fault(self, value: float) -> str | None:
        """Why this value is one to give up at, if it is."""
        if self.check_finite and not math.isfinite(value):
            return f"{self.monitor} is {value}, which is not finite"
        if self.divergence_threshold is not None and _beats(self.divergence_threshold, value, self._watch.mode):
            return f"{self.monitor} is {value:.6g}, worse than {self.divergence_threshold:.6g}"
        return None

    def _reason(self, value: float) -> str:
        if self.best is None:
            return f"{self.monitor} is {value} and was never a number"
        return (
            f"{self.monitor} has not improved on {self.best:.6g} of epoch {self.best_epoch + 1} for {self.wait} checks"
        )

    def _restore(self, run: Run) -> None:
        kept = self._kept
        if kept.snapshot is not None:
            run.restore(kept.snapshot)
        elif kept.arrays is None:
            return
        elif kept.framework == run.framework:
            run.set_weights(kept.arrays)
        else:
            warnings.warn(
                f"EarlyStopping(restore_best_weights=True): the best weights, of epoch {self.best_epoch + 1}, were "
                f"{kept.framework}'s and do not go into {run.framework}: the model keeps those it has.",
                stacklevel=2,
            )
            return
        if self.verbose:
            print(f"Restored the weights of the best epoch: {self.best_epoch + 1}.")


def _beats(value: float, than: float, mode: str | None) -> bool:
    """Whether it is strictly better; a NaN never is."""
    return value < than if mode == "min" else value > than


def _threshold(which: str, value: Any) -> float | None:
    if value is None:
        return None
    if not is_number(value) or math.isnan(value):
        raise ValueError(f"EarlyStopping({which}_threshold={value!r}): a number, or None")
    return float(value)
