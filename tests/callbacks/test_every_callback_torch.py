"""Every built-in, under a PyTorch loop."""

from __future__ import annotations

from typing import Any

import pytest
from conformance import Conformance, Trainer

import trainhooks
from trainhooks import Callback

torch = pytest.importorskip("torch", reason="torch is not installed")


BATCHES = torch.arange(12.0, device="cpu").reshape(2, 3, 2) / 6


class Torch(Trainer):
    def train(self, *made: Callback, epochs: int = 3, resume: Any = None) -> Any:
        torch.manual_seed(0)
        self.model = model = torch.nn.Linear(2, 1, device="cpu")
        self.optimizer = optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
        with trainhooks.wrap(model, optimizer=optimizer, callbacks=made, resume=resume) as run:
            for _ in run.epochs(epochs):
                for x in run.train(BATCHES):
                    optimizer.zero_grad()
                    loss = self.loss_of(x)
                    loss.backward()
                    optimizer.step()
                    run.log(loss=loss, n=len(x))
                self.test(run)
        return run.run

    def evaluate(self, *made: Callback) -> Any:
        with trainhooks.wrap(self.model, optimizer=self.optimizer, callbacks=made) as run:
            self.test(run)
        return run.run

    def test(self, run: Any) -> None:
        with torch.no_grad():
            for x in run.test(BATCHES):
                run.log(loss=self.loss_of(x), n=len(x))

    def loss_of(self, x: Any) -> Any:
        return (self.model(x) - 1).square().mean()

    def left(self) -> list[Any]:
        of_steps = ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks")
        of_modules = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
        hooks = [*(getattr(self.optimizer, name) for name in of_steps)]
        hooks += [getattr(self.model, name) for name in of_modules]
        hooks += [parameter._backward_hooks or {} for parameter in self.model.parameters()]
        return [hook for some in hooks for hook in some.values()]


class TestUnderATorchLoop(Conformance):
    trainer = Torch()
