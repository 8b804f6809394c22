"""Every built-in, under a PyTorch loop."""

from __future__ import annotations

from typing import Any

import pytest
from conformance import Conformance, Trainer

import trainhooks
from trainhooks import Callback

torch = pytest.importorskip("torch", reason="torch is not installed")


class Torch(Trainer):
    def train(self, *made: Callback, epochs: int = 3, resume: Any = None) -> Any:
        torch.manual_seed(0)
        model = torch.nn.Linear(2, 1, device="cpu")
        optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
        batches = torch.arange(12.0, device="cpu").reshape(2, 3, 2) / 6

        def loss_of(x: Any) -> Any:
            return (model(x) - 1).square().mean()

        with trainhooks.wrap(model, optimizer=optimizer, callbacks=made, resume=resume) as run:
            for _ in run.epochs(epochs):
                for x in run.train(batches):
                    optimizer.zero_grad()
                    loss = loss_of(x)
                    loss.backward()
                    optimizer.step()
                    run.log(loss=loss, n=len(x))
                with torch.no_grad():
                    for x in run.test(batches):
                        run.log(loss=loss_of(x), n=len(x))
        return run.run


class TestUnderATorchLoop(Conformance):
    trainer = Torch()
