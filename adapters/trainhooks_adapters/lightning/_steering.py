"""Steering: requests to stop, passed on to Lightning and taken from it."""

from __future__ import annotations

import math
from typing import Any

import trainhooks


class Steering:
    """What one fit is told by way of ``trainer.should_stop``, and what is put back when it is over.

    Attributes:
        trains: training is under way: what Lightning asks for by itself counts.
        batches: training batches that began in this epoch.
    """

    def __init__(self) -> None:
        self._trainer: Any = None
        self._progress: Any = None
        self.trains, self.batches = False, 0
        self._asked = self._came = False
        """Lightning was asked to stop; it asked by itself."""

    def begin(self, progress: Any, trainer: Any) -> None:
        """Training is about to begin. What Lightning's minimum of epochs or steps would hold, the run holds."""
        self._progress, self._trainer, self.trains = progress, trainer, True
        fit, loop = trainer.fit_loop, trainer.fit_loop.epoch_loop
        self._minimum = (fit.min_epochs, loop.min_steps)
        epochs, steps = fit.min_epochs or 0, trainer.num_training_batches
        if loop.min_steps and steps and math.isfinite(steps):
            epochs = max(epochs, math.ceil(loop.min_steps / math.ceil(steps / trainer.accumulate_grad_batches)))
        progress.min_epochs = max(progress.min_epochs, epochs)

    def look(self, driver: trainhooks.Driver, trainer: Any) -> None:
        """Pass on what was asked for since the last event, from either side."""
        if not self.trains:
            return
        progress = driver.progress
        if trainer.should_stop and not (self._asked or self._came or progress.should_stop):
            self._came = True
            driver.run.stop("trainer.should_stop was set", source="lightning")
            driver.attend()
        if progress.halt and not self._asked and (progress.should_stop or is_in_epoch(driver)):
            self._asked = trainer.should_stop = True
            trainer.fit_loop.min_epochs, trainer.fit_loop.epoch_loop.min_steps = 0, None

    def owes_validation(self, trainer: Any) -> bool:
        """Whether a stop came before the epoch's first batch: Lightning validates after batches only."""
        if not self.trains or self.batches or not self._progress.halt or self._progress.pause is not None:
            return False
        every = trainer.check_val_every_n_epoch
        return bool(trainer.enable_validation) and (every is None or (trainer.current_epoch + 1) % every == 0)

    def go_on(self, progress: Any) -> None:
        """An epoch has ended: where it alone was to end, the next one follows."""
        if self._asked and not progress.should_stop:
            self._put_back()

    def end(self) -> None:
        """The fit is over; the Trainer is as it was."""
        if self._trainer is not None:
            self._put_back()
        self._trainer = self._progress = None
        self.trains = self._asked = self._came = False
        self.batches = 0

    def _put_back(self) -> None:
        fit = self._trainer.fit_loop
        if self._asked:
            self._trainer.should_stop = self._asked = False
            fit.min_epochs, fit.epoch_loop.min_steps = self._minimum


def is_in_epoch(driver: trainhooks.Driver) -> bool:
    return any(frame.kind == "epoch" for frame in driver.stack)
