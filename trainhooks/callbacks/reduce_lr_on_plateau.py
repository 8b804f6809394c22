"""ReduceLROnPlateau: lower the learning rate when a monitored metric has stopped improving."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..callback import Callback
from ..checks import is_number
from ._monitor import Mode, Monitor

if TYPE_CHECKING:
    from ..logs import Logs
    from ..run import Run


class ReduceLROnPlateau(Callback):
    """Multiply the learning rate by ``factor`` when ``monitor`` has not improved for ``patience`` checks.

    The constructor and the decisions are Keras's, save that a NaN is a miss and never a best, and that counters and
    best survive a resume. As in Keras, the check that ends a cooldown already counts towards patience, and patience
    0 and 1 are alike.

    PyTorch's ``torch.optim.lr_scheduler.ReduceLROnPlateau`` waits one check longer, in a cooldown too: with
    ``patience=p + 1``, ``cooldown=c + 1`` and ``min_delta=d`` this class decides as that one does with ``patience=p``,
    ``cooldown=c``, ``threshold_mode="abs"``, ``threshold=d`` and ``eps=0``, on NaN as well (``cooldown`` 0 and 1 are
    alike here). What remains different:

    - PyTorch's ``threshold_mode`` is ``"rel"`` unless it is given, which on a negative metric takes what is equal for
      an improvement; here a difference is absolute, as in Keras.
    - PyTorch leaves out a reduction by less than ``eps=1e-8``, and begins its cooldown all the same.
    - To PyTorch an infinity of the worse sign is a miss from the start; here the first one is the best so far.
    - PyTorch lowers each parameter group for itself, down to ``min_lr``; here the groups keep their proportions, and
      ``min_lr`` is for the first.

    It writes ``learning_rate`` into the logs: the rate that the epoch was trained with.

    Args:
        monitor: key of the metric.
        factor: what the rate is multiplied by; in [0, 1).
        patience: checks without improvement before the rate is lowered.
        verbose: 1 prints what it decides.
        mode: ``"min"``, ``"max"``, or ``"auto"`` to tell from the metric's name.
        min_delta: an improvement must be larger than this; its sign is ignored.
        cooldown: checks after a reduction during which nothing is counted.
        min_lr: the rate is never lowered below this.
        strict: a metric that is missing when it is due is an error; False warns and skips that epoch.

    Attributes:
        wait: checks since patience last started.
        cooldown_counter: checks until the cooldown is over.
        best: the best value, None before the first check.
    """

    phase = "decide"
    requires = {"lr"}

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: Mode = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
        *,
        strict: bool = True,
    ) -> None:
        if not (is_number(factor) and 0 <= factor < 1):
            raise ValueError(f"ReduceLROnPlateau(factor={factor!r}): in [0, 1), since it is to lower the learning rate")
        if not all(is_number(one) and one >= 0 for one in (patience, cooldown, min_lr)):
            raise ValueError(
                f"ReduceLROnPlateau(patience={patience!r}, cooldown={cooldown!r}, min_lr={min_lr!r}): "
                "numbers, and none is negative"
            )
        self._watch = Monitor("ReduceLROnPlateau", monitor, mode, min_delta, strict=strict)
        self.monitor, self.factor, self.patience, self.verbose = monitor, factor, patience, verbose
        self.cooldown, self.min_lr = cooldown, min_lr
        self.reset()

    @property
    def best(self) -> float | None:
        return self._watch.best

    def reset(self) -> None:
        self._watch.reset()
        self.wait = self.cooldown_counter = 0

    def on_epoch_end(self, run: Run, epoch: int, logs: Logs) -> None:
        logs["learning_rate"] = run.lr
        value = self._watch.read(run, logs)
        if value is None:
            return
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.wait = 0
        if self._watch.is_better(value, self._watch.best):
            self._watch.best = value
            self.wait = 0
        elif self.cooldown_counter <= 0:
            self.wait += 1
            if self.wait >= self.patience and self._reduce(run, epoch):
                self.cooldown_counter = self.cooldown
                self.wait = 0

    def on_train_end(self, run: Run, logs: Logs) -> None:
        self._watch.finish(run, logs)

    def state_dict(self) -> dict[str, Any]:
        counters = {"wait": self.wait, "cooldown_counter": self.cooldown_counter}
        return counters | self._watch.state_dict(**self._settings)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.reset()
        if self._watch.load_state_dict(state, **self._settings):
            self.wait, self.cooldown_counter = state["wait"], state["cooldown_counter"]

    @property
    def _settings(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("factor", "patience", "cooldown", "min_lr")}

    def _reduce(self, run: Run, epoch: int) -> bool:
        lr = run.lr
        if not np.float32(lr) > np.float32(self.min_lr):  # a float32 optimizer rounds min_lr when it is set
            return False
        run.lr = max(lr * self.factor, self.min_lr)
        if self.verbose:
            print(f"Epoch {epoch + 1}: ReduceLROnPlateau reducing learning rate to {run.lr}.")
        return True
