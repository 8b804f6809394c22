"""ReferenceBench: the reference loop over the numpy model, which every adapter is compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..callback import Callback
from ..loop import LoopRun
from ..numpy_model import MLP
from ..run import Run
from ..trainable import Trainable
from .bench import LEAVE, Bench, Epoch


class ReferenceBench(Bench):
    """A small numpy model that is really trained, and a loop of its owner's around it, as ``fit`` has it.

    Attributes:
        model: what is trained; one with a momentum, so that there is more to keep than weights.
    """

    owns_loop = True
    lacks = frozenset({"save", "embeddings", "profile", "optimizer_average"})

    def __init__(self) -> None:
        self.model = self.make()
        rows = np.random.default_rng(0).normal(size=(self.batches, 4, 2)).astype(np.float32)
        self.data = [(x, np.arange(4) % 2) for x in rows]

    def make(self) -> MLP:
        """A new model, always with the same weights."""
        return MLP((2, 3, 2), lr=0.125, momentum=0.5)

    def trainable(self) -> Trainable:
        """What its adapter would give of the model."""
        return self.model

    def train(self, history: Sequence[Epoch], callbacks: Sequence[Callback], *, resume: Any = None) -> Run:
        with LoopRun(self.trainable(), callbacks, resume=resume, plugins="none") as run:
            for epoch in run.epochs(len(history)):
                for batch in run.train(self.data):
                    self.model.train_step(batch)
                    run.log(self.told(history[epoch], run.batch), n=len(batch[0]))
                    if history[epoch] == LEAVE and run.batch == self.batches - 1:
                        break
                if validation := self.told_in_validation(history[epoch]):
                    self.test(run, validation)
        return run.run

    def evaluate(self, metrics: Mapping[str, float], callbacks: Sequence[Callback]) -> Run | None:
        with LoopRun(self.trainable(), callbacks, plugins="none") as run:
            self.test(run, metrics)
        return run.run

    def predict(self, callbacks: Sequence[Callback]) -> Run | None:
        with LoopRun(self.trainable(), callbacks, plugins="none") as run:
            for batch in run.predict(self.data):
                run.log(outputs=self.model.predict_step(batch))
        return run.run

    def test(self, run: LoopRun, metrics: Mapping[str, float]) -> None:
        """A validation that reports ``metrics``."""
        for batch in run.test(self.data):
            self.model.test_step(batch)
            run.log(metrics, n=len(batch[0]))

    def left_on(self) -> list[Any]:
        return [*self.model.optimizer._watchers, *self.model.optimizer._changes]
