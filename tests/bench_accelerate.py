"""AccelerateBench: a loop whose parts Accelerate prepares, for the kits."""

from __future__ import annotations

from typing import Any

from accelerate import Accelerator
from bench_prepared import PreparedBench


class AccelerateBench(PreparedBench):
    """A loop over what ``accelerator.prepare`` gave."""

    def prepare(self, scaler: Any) -> None:
        self.target = Accelerator(cpu=True, gradient_accumulation_steps=self.accumulate)
        self.target.scaler = scaler
        parts = self.target.prepare(self.model, self.optimizer, self.loader)
        self.model, self.optimizer, self.loader = parts
        if self.scheduler is not None:
            self.scheduler = self.target.prepare(self.scheduler)

    def accumulated(self, x: Any) -> None:
        with self.target.accumulate(self.model):
            self.step(x)

    def left_on(self) -> list[Any]:
        running = self.target.gradient_state.dataloader_references
        return [*super().left_on(), *[one for one in running if one is not None]]
