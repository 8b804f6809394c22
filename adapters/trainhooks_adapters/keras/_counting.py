"""Counting: how many batches of an epoch are finished, where Keras tells of some of them, or of none."""

from __future__ import annotations

from typing import Any

import trainhooks


class Counting:
    """The counts of one epoch. A Keras callback has ``model`` and ``params``."""

    model: Any
    params: dict[str, Any]
    hooks: frozenset[str]
    native: Any
    """The model, without a look at it: ``model`` would synchronise JAX's state."""
    _done = 0
    """Batches of this epoch that are counted."""
    _ended = 0
    """Batches of it whose ends were noted, though nobody listens to them."""
    _updates = 0
    """What ``_count_updates`` was as it began."""

    def _begin_counting(self) -> None:
        self._done = self._ended = 0
        self._updates = self._count_updates()

    def _steps(self, done: int) -> int:
        """How many batches were finished since it was last asked, now that ``done`` of the epoch are."""
        total = self.params.get("steps")
        if total is not None:
            done = min(done, total)  # the last of several steps_per_execution are fewer
        elif self.native.steps_per_execution > 1:
            done = min(done, self._finished())
        done = max(done, self._done)  # a rollback takes the optimizer's count back, and not the batches
        steps, self._done = done - self._done, done
        return steps

    def _count_finished(self, driver: trainhooks.Driver) -> None:
        if driver.progress.phase == "train" and "on_train_batch_end" not in self.hooks:
            driver.count_steps(self._steps(self._finished()))

    def _finished(self) -> int:
        """Batches finished in this epoch, as far as is seen without ``on_train_batch_end``."""
        if self._ended and self.native.steps_per_execution == 1:
            return self._ended
        updates, total = self._count_updates() - self._updates, self.params.get("steps")
        if total is None or self.native.stop_training:
            return updates
        each = updates > 0 and not hasattr(self.model.optimizer, "inner_optimizer")  # a scaled loss skips some
        return updates if each else int(total)

    def _count_updates(self) -> int:
        """How often the optimizer was given gradients: what ``iterations`` is before accumulation divides it."""
        optimizer = getattr(self.model, "optimizer", None)
        variables = getattr(getattr(optimizer, "inner_optimizer", optimizer), "variables", None)
        return int(variables[0]) if variables else 0  # it is the first of them, up to keras 3.15
