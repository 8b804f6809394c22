"""Adapters under which callbacks decide otherwise, and adapters that go on wrongly from a state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from broken_adapters import breaks
from driven_bench import BoostedBench, DrivenBench

from trainhooks import Callback, Driver, Run
from trainhooks.testing.bench import BATCHES, Epoch

# Decisions


@breaks("same-weights")
class ExportsItsOwnWeights(DrivenBench):
    """Writes the parameters of its loop into the model when all is over."""

    def fit(self, driver: Driver, history: Sequence[Epoch]) -> None:
        self.carried = self.model.get_weights()
        super().fit(driver, history)
        self.model.set_weights(self.carried)

    def epoch(self, driver: Driver, epoch: int, told: Epoch) -> None:
        super().epoch(driver, epoch, told)
        self.carried = self.model.get_weights()


@breaks("same-stops")
class HidesNaN(DrivenBench):
    def tell(self, driver: Driver, metrics: Mapping[str, float]) -> None:
        super().tell(driver, {name: 0.0 if value != value else value for name, value in metrics.items()})


@breaks("same-stops")
class RoundsMetrics(DrivenBench):
    def tell(self, driver: Driver, metrics: Mapping[str, float]) -> None:
        super().tell(driver, {name: round(value, 1) for name, value in metrics.items()})


@breaks("same-files")
class RoundsMetricsOfRounds(BoostedBench):
    def tell(self, driver: Driver, metrics: Mapping[str, float]) -> None:
        super().tell(driver, {name: round(value) for name, value in metrics.items() if value == value})


@breaks("same-faults")
class CapsLosses(DrivenBench):
    def batch(self, driver: Driver, batch: int, told: Epoch) -> None:
        if isinstance(told, Mapping):
            told = {**told, "loss": min(8.0, told["loss"])}  # min(8.0, nan) is 8.0
        super().batch(driver, batch, told)


@breaks("epoch-ends-early")
class EndsEpochsAtTheEnd(DrivenBench):
    def train_batches(self, driver: Driver, told: Epoch) -> None:
        driver.open("pass")
        for batch in range(BATCHES):
            if driver.progress.should_stop:
                break
            self.batch(driver, batch, told)
        driver.close("pass")


@breaks("resume-at-epochs")
class BeginsAnew(DrivenBench):
    def train(self, history: Sequence[Epoch], callbacks: Sequence[Callback], *, resume: Any = None) -> Run:
        return super().train(history, callbacks)


@breaks("resume-decides")
class ResetsWhoGoesOn(DrivenBench):
    def fit(self, driver: Driver, history: Sequence[Epoch]) -> None:
        for callback in driver.bus.callbacks:
            callback.reset()
        super().fit(driver, history)


@breaks("resume-decides")
class LoadsInTheMidst(DrivenBench):
    """Takes back what it wants of a state by itself, and leaves the callbacks theirs."""

    def train(self, history: Sequence[Epoch], callbacks: Sequence[Callback], *, resume: Any = None) -> Run:
        return super().train(history, callbacks, resume=resume and {**resume, "callbacks": {}})


@breaks("resume-at-epochs")
class RepeatsAnEpoch(DrivenBench):
    def fit(self, driver: Driver, history: Sequence[Epoch]) -> None:
        if driver.progress.resumed:
            driver.progress.epochs_done -= 1
        super().fit(driver, history)
