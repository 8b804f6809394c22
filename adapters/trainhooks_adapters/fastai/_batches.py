"""Batches: what fastai tells from a batch's begin to its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import trainhooks

from ._optimizer import AsTorch


class Batches:
    """The native events of a batch, in the order in which they come."""

    learn: Any
    driver: trainhooks.Driver | None
    count_rows: Callable[[Any], int]
    """fastai's own function for the size of a batch."""
    in_batch = False
    _is_done = _is_cancelled = _will_step = False
    """Whether its work was done; whether it was cancelled; whether the optimizer is at its step."""

    @property
    def open_driver(self) -> trainhooks.Driver:
        assert self.driver is not None  # without one no event is translated
        return self.driver

    def before_batch(self) -> None:
        self.in_batch, self._is_done, self._is_cancelled, self._will_step = True, False, False, False
        self.open_driver.batch_begin(self.learn.iter)

    def after_loss(self) -> None:
        self._is_done = not self.learn.training

    def after_backward(self) -> None:
        self._is_done = True

    def before_step(self) -> None:
        self._will_step = True
        if self._optimizer is not None:
            self._optimizer.will_step()

    def after_cancel_step(self) -> None:
        self._will_step = False

    def after_step(self) -> None:
        if self._will_step:
            self._will_step = False
            if self._optimizer is not None:
                self._optimizer.has_stepped()

    def after_cancel_batch(self) -> None:
        self._is_cancelled = True

    def after_batch(self) -> None:
        self._is_done = self._is_done or not self._is_cancelled
        self.end_batch()

    def end_batch(self) -> None:
        """The batch under way ends, if there is one: told where its work was done, and dropped where it was not."""
        if not self.in_batch:
            return
        driver, learn = self.open_driver, self.learn
        self.after_step()  # where a callback of fastai's cancelled the batch once the update was made
        self.in_batch = False
        if not self._is_done:
            driver.drop_batch()
        elif driver.progress.phase == "predict":
            driver.batch_end(outputs=learn.pred)
        else:
            if len(learn.yb):
                loss = learn.loss.detach()
                driver.log({"loss": loss if loss.numel() == 1 else loss.mean()}, n=self.count_rows(learn.yb))
            driver.batch_end()

    @property
    def _optimizer(self) -> AsTorch | None:
        """The one that must be told of its steps; PyTorch's own, in an ``OptimWrapper``, tell of them."""
        optimizer = self.open_driver.trainable.optimizer
        return optimizer if isinstance(optimizer, AsTorch) else None
