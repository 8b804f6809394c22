"""The adapter, held against every rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tinytrainer
import trainhooks_tinytrainer

import trainhooks
from trainhooks.testing import BATCHES, Bench, Epoch, check_adapter

ROWS = 4


class Told(tinytrainer.Linear):
    """A model that is really trained, and reports what it is told to."""

    history: Sequence[Epoch] = ()
    alone: Mapping[str, float] = {}
    trainer: tinytrainer.Trainer
    batch = 0

    def gradients(self, x: Any, y: Any) -> Any:
        batch, self.batch = self.batch % BATCHES, self.batch + 1
        return Bench.told(self.history[self.trainer.epoch - 1], batch), super().gradients(x, y)[1]

    def metrics(self, x: Any, y: Any) -> Any:
        return self.alone or Bench.told_in_validation(self.history[self.trainer.epoch - 1])


class Sparing(tinytrainer.Trainer):
    """A trainer that evaluates only where it is told of metrics."""

    def evaluate(self, data: Any) -> dict[str, float]:
        return super().evaluate(data) if self.model.metrics(*data) else {}


class TinyBench(Bench):
    lacks = frozenset({"mid_epoch", "gradients", "optimizer_average", "graph", "embeddings", "profile"})

    def __init__(self) -> None:
        self.model = Told(2)
        self.trainer = self.model.trainer = Sparing(self.model, lr=0.125, momentum=0.5, batch_size=ROWS)
        x = np.random.default_rng(0).normal(size=(BATCHES * ROWS, 2)).astype(np.float32)
        self.data = x, x.sum(axis=1, keepdims=True)

    def train(
        self, history: Sequence[Epoch], callbacks: Sequence[trainhooks.Callback], *, resume: Any = None
    ) -> trainhooks.Run:
        self.model.history, self.model.alone, self.model.batch = history, {}, 0
        wrapped = trainhooks_tinytrainer.wrap(self.trainer, callbacks=callbacks, resume=resume, plugins="none")
        wrapped.fit(self.data, self.data, epochs=len(history))
        assert wrapped.run is not None
        return wrapped.run

    def evaluate(self, metrics: Mapping[str, float], callbacks: Sequence[trainhooks.Callback]) -> trainhooks.Run | None:
        return self.evaluate_resumed(metrics, callbacks, None)

    def evaluate_resumed(
        self, metrics: Mapping[str, float], callbacks: Sequence[trainhooks.Callback], resume: Any
    ) -> trainhooks.Run | None:
        self.model.alone = metrics
        wrapped = trainhooks_tinytrainer.wrap(self.trainer, callbacks=callbacks, resume=resume, plugins="none")
        wrapped.evaluate(self.data)
        return wrapped.run

    def predict(self, callbacks: Sequence[trainhooks.Callback]) -> trainhooks.Run | None:
        wrapped = trainhooks_tinytrainer.wrap(self.trainer, callbacks=callbacks, plugins="none")
        wrapped.predict(self.data[0])
        return wrapped.run

    def stop_itself(self) -> None:
        self.trainer.stop = True

    def left_on(self) -> list[Any]:
        return list(self.trainer.hooks)


test_tinytrainer = check_adapter(TinyBench)
