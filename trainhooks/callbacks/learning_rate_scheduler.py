"""LearningRateScheduler: set the learning rate at the beginning of each epoch by a function."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from numbers import Real
from typing import TYPE_CHECKING, Any

from ..callback import Callback

if TYPE_CHECKING:
    from ..logs import Logs
    from ..run import Run


class LearningRateScheduler(Callback):
    """Set the learning rate to ``schedule(epoch, lr)`` or ``schedule(epoch)`` at the beginning of each epoch.

    As Keras's, save that how many arguments ``schedule`` takes is read from its signature (Keras tries two and takes
    any TypeError for "one", so that one inside ``schedule`` is reported as something else), and that an epoch which a
    resumed run begins for a second time is not decided twice.

    It writes ``learning_rate`` into the logs at the end of each epoch.

    Args:
        schedule: a function of the epoch's number, from 0, and of the current rate; it returns the new one.
        verbose: 1 prints what it sets.

    Raises:
        TypeError: ``schedule`` takes neither one nor two arguments.
        ValueError: (at an epoch) it returned no finite number of at least 0.
    """

    phase = "decide"
    requires = {"lr"}

    def __init__(self, schedule: Callable[..., float], verbose: int = 0) -> None:
        self.schedule, self.verbose = schedule, verbose
        self._takes_lr = _takes_lr(schedule)
        self.reset()

    def reset(self) -> None:
        self._decided: int | None = None

    def on_epoch_begin(self, run: Run, epoch: int) -> None:
        if epoch == self._decided:
            return
        lr = self.schedule(epoch, run.lr) if self._takes_lr else self.schedule(epoch)
        if not isinstance(lr, Real) or isinstance(lr, bool) or not (math.isfinite(lr) and lr >= 0):
            raise ValueError(
                f"LearningRateScheduler: schedule gave {lr!r} for epoch {epoch}; a learning rate is a finite number, "
                "at least 0"
            )
        run.lr = float(lr)
        self._decided = epoch
        if self.verbose:
            print(f"Epoch {epoch + 1}: LearningRateScheduler setting learning rate to {run.lr}.")

    def on_epoch_end(self, run: Run, logs: Logs) -> None:
        logs["learning_rate"] = run.lr

    def state_dict(self) -> dict[str, Any]:
        return {"decided": self._decided}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._decided = state["decided"]


def _takes_lr(schedule: Callable[..., float]) -> bool:
    """Whether it can be called with an epoch and a rate, rather than with an epoch alone."""
    try:
        signature = inspect.signature(schedule)
    except (TypeError, ValueError):
        raise TypeError(
            f"LearningRateScheduler(schedule={schedule!r}): its arguments cannot be read. "
            "Give a function: lambda epoch: ..., or lambda epoch, lr: ..."
        ) from None
    for arguments in ((0, 0.1), (0,)):
        try:
            signature.bind(*arguments)
        except TypeError:
            continue
        return len(arguments) == 2
    raise TypeError(
        f"LearningRateScheduler(schedule={schedule!r}): it takes {signature}. "
        "Give a function of (epoch) or of (epoch, lr)."
    )
