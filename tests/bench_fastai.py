"""FastaiBench: a tiny model under a fastai Learner, for the kits."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from fastai.callback.core import Callback as Native
from fastai.callback.core import CancelFitException, CancelValidException
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.learner import Learner
from fastai.optimizer import SGD

import trainhooks
from trainhooks import Callback, Run
from trainhooks.testing import BATCHES, Bench, Epoch

ROWS = torch.arange(12.0).reshape(BATCHES * 3, 2) / 6
DATA = [(row, torch.ones(1)) for row in ROWS]


class Script(Native):  # type: ignore[misc]
    """Says what is to be reported now; the loss and the metric ask it at each batch."""

    def __init__(self) -> None:
        super().__init__()
        self.history: Sequence[Epoch] = []
        self.entry: Epoch = {}
        self.batches = 0
        self.stops = False
        self.told: dict[str, float] = {}

    def before_epoch(self) -> None:
        self.batches = 0
        self.entry = self.history[self.epoch]

    def before_batch(self) -> None:
        if self.stops and self.training:
            raise CancelFitException

    def before_validate(self) -> None:
        if not Bench.told_in_validation(self.entry) and not hasattr(self.learn, "gather_preds"):
            raise CancelValidException

    def loss(self, outputs: Any, y: Any) -> Any:
        """What is told, with the gradient of the outputs' mean."""
        if self.training:
            self.told = Bench.told(self.entry, self.batches)
            self.batches += 1
        else:
            self.told = Bench.told_in_validation(self.entry)
        mean = outputs.mean()
        return self.told.get("loss", 0.0) + (mean - mean.detach())

    def accuracy(self, outputs: Any, y: Any) -> Any:
        return torch.tensor(self.told.get("accuracy", 0.0))


class FastaiBench(Bench):
    """A linear layer under fastai's SGD with momentum, in two parameter groups."""

    lacks = frozenset({"mid_epoch", "optimizer_average"})

    def __init__(self) -> None:
        torch.manual_seed(0)
        random.seed(0)  # a DataLoader draws from it what it shuffles by
        self.script = Script()
        model = torch.nn.Linear(2, 1)
        loaders = DataLoaders(DataLoader(DATA, bs=3, shuffle=True), DataLoader(DATA, bs=3), device="cpu")
        self.learn = Learner(
            loaders,
            model,
            self.script.loss,
            partial(SGD, mom=0.5),
            lr=[0.125, 0.0625],
            splitter=lambda model: [[model.weight], [model.bias]],
            cbs=self.script,
        )
        self.learn.logger = lambda log: None
        self.own = [*self.learn.cbs]

    def wrap(self, callbacks: Sequence[Callback], resume: Any = None) -> Any:
        return trainhooks.wrap(self.learn, callbacks=callbacks, resume=resume, plugins="none")

    def train(self, history: Sequence[Epoch], callbacks: Sequence[Callback], *, resume: Any = None) -> Run:
        self.script.history, self.script.stops = history, False
        has_accuracy = any("accuracy" in self.told_in_validation(epoch) for epoch in history)
        self.learn.metrics = [self.script.accuracy] if has_accuracy else []
        wrapped = self.wrap(callbacks, resume)
        wrapped.fit(len(history))
        return wrapped.run  # type: ignore[no-any-return]

    def evaluate(self, metrics: Mapping[str, float], callbacks: Sequence[Callback]) -> Run | None:
        return self.evaluate_resumed(metrics, callbacks, None)

    def evaluate_resumed(self, metrics: Mapping[str, float], callbacks: Sequence[Callback], resume: Any) -> Run | None:
        self.script.history = [{f"val_{name}": value for name, value in metrics.items()}]
        wrapped = self.wrap(callbacks, resume)
        wrapped.validate()
        return wrapped.run  # type: ignore[no-any-return]

    def predict(self, callbacks: Sequence[Callback]) -> Run | None:
        self.script.history = [{}]
        wrapped = self.wrap(callbacks)
        wrapped.get_preds()
        return wrapped.run  # type: ignore[no-any-return]

    def stop_itself(self) -> None:
        self.script.stops = True

    def left_on(self) -> list[Any]:
        return [one for one in self.learn.cbs if one not in self.own]
