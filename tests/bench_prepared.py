"""PreparedBench: the tiny PyTorch model of ``TorchBench`` in a loop whose parts a framework prepares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from bench_torch import TorchBench

import trainhooks
from trainhooks import Callback, LoopRun, Run
from trainhooks.testing import LEAVE, Bench, Epoch

DATA = torch.utils.data.TensorDataset(torch.arange(12.0, device="cpu").reshape(6, 2) / 16)


class PreparedBench(TorchBench):
    """It draws its rows at random from a loader that is prepared too.

    Args:
        compiled: whether the model is compiled; it is not called here.
        scheduled: whether a scheduler halves the learning rates.
        accumulate: over how many batches gradients are summed.
        scaler: of the losses.
    """

    target: Any
    scheduler: Any = None

    def __init__(
        self, *, compiled: bool = False, scheduled: bool = False, accumulate: int = 1, scaler: Any = None
    ) -> None:
        super().__init__()
        self.plain, self.inner, self.accumulate = self.model, self.optimizer, accumulate
        self.loader: Any = torch.utils.data.DataLoader(DATA, batch_size=3, shuffle=True)
        if compiled:
            self.model = torch.compile(self.plain, backend="eager")
        if scheduled:
            self.scheduler = torch.optim.lr_scheduler.StepLR(self.inner, 1, 0.5)
        self.prepare(scaler)

    def prepare(self, scaler: Any) -> None:
        """Make ``target``, and have it prepare the other parts."""
        raise NotImplementedError

    def accumulated(self, x: Any) -> None:
        """One batch, whose gradients are summed with others."""
        raise NotImplementedError

    def wrap(self, callbacks: Sequence[Callback], resume: Any = None) -> LoopRun:
        made: LoopRun = trainhooks.wrap(
            self.target,
            model=self.model,
            optimizer=self.optimizer,
            lr_scheduler=self.scheduler,
            callbacks=callbacks,
            resume=resume,
            plugins="none",
        )
        return made

    def train(self, history: Sequence[Epoch], callbacks: Sequence[Callback], *, resume: Any = None) -> Run:
        return self.loop(self.wrap(callbacks, resume), history)

    def loop(self, run: LoopRun, history: Sequence[Epoch]) -> Run:
        """The training, of a run that was made before."""
        with run:
            for epoch in run.epochs(len(history)):
                for (x,) in run.train(self.loader):
                    told = self.told(history[epoch], run.batch)
                    self.step(x)
                    run.log({name: torch.tensor(value) for name, value in told.items()}, n=len(x))
                    if history[epoch] == LEAVE and run.batch == 1:
                        break
                if validation := Bench.told_in_validation(history[epoch]):
                    self.test(run, validation)
        return run.run

    def step(self, x: Any) -> None:
        """One batch."""
        self.target.backward((self.model(x) - 1).square().mean())
        self.optimizer.step()
        self.optimizer.zero_grad()

    @torch.no_grad()
    def test(self, run: LoopRun, metrics: Mapping[str, float]) -> None:
        for (x,) in run.test(self.loader):
            self.model(x)
            run.log(metrics, n=len(x))

    def left_on(self) -> list[Any]:
        self.model, self.optimizer = self.plain, self.inner  # what is around them has no hooks
        return super().left_on()
