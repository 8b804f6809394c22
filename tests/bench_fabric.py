"""FabricBench: a loop whose parts Lightning Fabric sets up, for the kits."""

from __future__ import annotations

from typing import Any

from bench_prepared import PreparedBench
from lightning_fabric import Fabric  # as lightning.fabric, and read in half the time
from lightning_fabric.plugins import MixedPrecision


class FabricBench(PreparedBench):
    """A loop over what ``fabric.setup`` gave."""

    fabric = Fabric

    def prepare(self, scaler: Any) -> None:
        plugins = [] if scaler is None else [MixedPrecision("16-mixed", "cpu", scaler)]
        self.target = self.fabric(accelerator="cpu", devices=1, plugins=plugins)
        self.model, self.optimizer = self.target.setup(self.model, self.optimizer)
        self.loader = self.target.setup_dataloaders(self.loader)
        self.summed = 0

    def accumulated(self, x: Any) -> None:
        self.summed += 1
        is_last = self.summed % self.accumulate == 0
        with self.target.no_backward_sync(self.model, enabled=not is_last):
            self.target.backward((self.model(x) - 1).square().mean())
        if is_last:
            self.optimizer.step()
            self.optimizer.zero_grad()
