"""EarlyStopping: stop when a monitored metric has stopped improving."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..callback import Callback
from ._monitor import Mode, Monitor

if TYPE_CHECKING:
    from ..logs import Logs
    from ..run import Run


class EarlyStopping(Callback):
    """Stop training when ``monitor`` has not improved for ``patience`` checks.

    The constructor and the decisions are Keras's, save for its faults: a NaN is a miss and never a best; patience,
    best and best weights survive a resume; best weights come back however training ended, by an exception too (but
    not by a pause, which is to go on from where it was). A metric that is missing is an error (see ``strict``).

    As in Keras, an epoch that improves on the best never stops, and with a ``baseline`` patience starts again only
    when the baseline is beaten too; patience 0 and 1 are alike; the first epoch (number 0) never stops.

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

    Attributes:
        wait: checks since patience last started.
        best: the best value, None before the first check.
        best_epoch: its epoch, from 0.
        stopped_epoch: the epoch, from 0, at whose end it asked for the stop; 0 when it did not.
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
    ) -> None:
        if not patience >= 0:  # put this way round, NaN is refused too
            raise ValueError(f"EarlyStopping(patience={patience!r}): a number of checks, at least 0")
        if baseline is not None and math.isnan(baseline):
            raise ValueError(f"EarlyStopping(baseline={baseline!r}): a number, or None")
        self._watch = Monitor("EarlyStopping", monitor, mode, min_delta, strict=strict)
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
        self._snapshot: Any = None
        self._saved_weights: Mapping[str, Any] | None = None
        self._saved_under: str | None = None
        """The framework whose weights those are."""
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
        self.wait += 1
        if self._watch.is_better(value, self._watch.best):
            self._watch.best, self.best_epoch = value, epoch
            if self.restore_best_weights:
                self._snapshot, self._saved_weights = run.snapshot(), None
            if self.baseline is None or self._watch.is_better(value, self.baseline):
                self.wait = self.stopped_epoch = 0
                run.withdraw_stop(self)  # one that min_epochs still holds back
        elif self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            run.stop(self._reason(value), source=self)

    def on_train_end(self, run: Run, logs: Logs) -> None:
        self._watch.finish(run, logs)
        if not run.should_stop:  # it was held until the end
            self.stopped_epoch = 0
        if self.stopped_epoch and self.verbose:
            print(f"Epoch {self.stopped_epoch + 1}: early stopping")
        self._restore(run)

    def on_exception(self, run: Run) -> None:
        if self._trains:
            self._restore(run)

    def on_teardown(self, run: Run) -> None:
        self._trains = False
        if self._snapshot is not None and run.can("weights"):  # the state can be asked for when the model is gone
            self._saved_weights, self._saved_under = self._best_weights(), run.framework
            self._snapshot = None

    def state_dict(self) -> dict[str, Any]:
        state = {name: getattr(self, name) for name in ("wait", "best_epoch", "stopped_epoch")}
        under = self._saved_under if self._snapshot is None or self.run is None else self.run.framework
        weights = {"best_weights": self._best_weights(), "weights_of": under}
        return state | self._watch.state_dict(**self._settings) | weights

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.reset()
        if self._watch.load_state_dict(state, **self._settings):
            self.wait, self.best_epoch = state["wait"], state["best_epoch"]
            self.stopped_epoch = state["stopped_epoch"]
            self._saved_weights, self._saved_under = state["best_weights"], state["weights_of"]

    @property
    def _settings(self) -> dict[str, Any]:
        names = ("patience", "baseline", "restore_best_weights", "start_from_epoch")
        return {name: getattr(self, name) for name in names}

    def _reason(self, value: float) -> str:
        if self.best is None:
            return f"{self.monitor} is {value} and was never a number"
        return (
            f"{self.monitor} has not improved on {self.best:.6g} of epoch {self.best_epoch + 1} for {self.wait} checks"
        )

    def _restore(self, run: Run) -> None:
        if self._snapshot is not None:
            run.restore(self._snapshot)
        elif self._saved_weights is None:
            return
        elif self._saved_under == run.framework:
            run.set_weights(self._saved_weights)
        else:
            warnings.warn(
                f"EarlyStopping(restore_best_weights=True): the best weights, of epoch {self.best_epoch + 1}, were "
                f"{self._saved_under}'s and do not go into {run.framework}: the model keeps those it has.",
                stacklevel=2,
            )
            return
        if self.verbose:
            print(f"Restored the weights of the best epoch: {self.best_epoch + 1}.")

    def _best_weights(self) -> Mapping[str, Any] | None:
        """The snapshot as arrays; the model lends itself for that, since a snapshot is its framework's own."""
        if self._snapshot is None or self.run is None or not self.run.can("weights"):
            return self._saved_weights
        now = self.run.snapshot()
        self.run.restore(self._snapshot)
        try:
            return self.run.get_weights()
        finally:
            self.run.restore(now)
