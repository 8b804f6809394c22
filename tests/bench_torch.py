"""TorchBench: a tiny PyTorch model in a loop of its owner's, for the kits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

import trainhooks
from trainhooks import Callback, LoopRun, Run
from trainhooks.testing import BATCHES, LEAVE, Bench, Epoch

ROWS = torch.arange(12.0, device="cpu").reshape(BATCHES, 3, 2) / 6


class TorchBench(Bench):
    """A linear layer under SGD with momentum, in two parameter groups."""

    owns_loop = True
    lacks = frozenset({"optimizer_average"})

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.model = torch.nn.Linear(2, 1, device="cpu")
        groups = [{"params": [self.model.weight]}, {"params": [self.model.bias], "lr": 0.0625}]
        self.optimizer = torch.optim.SGD(groups, lr=0.125, momentum=0.5)

    def wrap(self, callbacks: Sequence[Callback], resume: Any = None) -> LoopRun:
        made: LoopRun = trainhooks.wrap(
            self.model, optimizer=self.optimizer, callbacks=callbacks, resume=resume, plugins="none"
        )
        return made

    def train(self, history: Sequence[Epoch], callbacks: Sequence[Callback], *, resume: Any = None) -> Run:
        with self.wrap(callbacks, resume) as run:
            for epoch in run.epochs(len(history)):
                for x in run.train(ROWS):
                    told = self.told(history[epoch], run.batch)
                    loss = (self.model(x) - 1).square().mean()
                    self.optimizer.zero_grad()
                    loss.backward()
                    self.optimizer.step()
                    run.log({name: torch.tensor(value) for name, value in told.items()}, n=len(x))
                    if history[epoch] == LEAVE and run.batch == 1:
                        break
                if validation := self.told_in_validation(history[epoch]):
                    self.test(run, validation)
        return run.run

    def evaluate(self, metrics: Mapping[str, float], callbacks: Sequence[Callback]) -> Run | None:
        with self.wrap(callbacks) as run:
            self.test(run, metrics)
        return run.run

    def predict(self, callbacks: Sequence[Callback]) -> Run | None:
        with self.wrap(callbacks) as run, torch.no_grad():
            for x in run.predict(ROWS):
                run.log(outputs=self.model(x))
        return run.run

    @torch.no_grad()
    def test(self, run: LoopRun, metrics: Mapping[str, float]) -> None:
        """A validation that reports ``metrics``."""
        for x in run.test(ROWS):
            self.model(x)
            run.log(metrics, n=len(x))

    def left_on(self) -> list[Any]:
        of_steps = ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks")
        of_modules = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
        hooks = [getattr(self.optimizer, name) for name in of_steps]
        hooks += [getattr(self.model, name) for name in of_modules]
        hooks += [parameter._backward_hooks or {} for parameter in self.model.parameters()]
        return [hook for some in hooks for hook in some.values()]
