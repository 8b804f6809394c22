"""Benches that are wrong, and adapters that are wrong about learning rates and the optimizer's steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from broken_adapters import BROKEN, breaks, verbs
from driven_bench import Able, BoostedBench, DrivenBench, RoundBench

from trainhooks import Callback, Driver
from trainhooks.testing.bench import Epoch
from trainhooks.testing.reference import ReferenceBench

Arrays = Mapping[str, np.ndarray]

# The bench


_ONE = ReferenceBench()
BROKEN["GivesOneBench"] = "bench-is-new", lambda: _ONE


@breaks("bench-returns")
class ReturnsNothing(ReferenceBench):
    def train(self, history: Sequence[Epoch], callbacks: Sequence[Callback], *, resume: Any = None) -> Any:
        super().train(history, callbacks, resume=resume)


@breaks("bench-returns")
class ReturnsAnotherRun(ReferenceBench):
    def train(self, history: Sequence[Epoch], callbacks: Sequence[Callback], *, resume: Any = None) -> Any:
        super().train(history, callbacks, resume=resume)
        return ReferenceBench().train(history, [])


@breaks("bench-reports")
class ReportsItsOwnLoss(DrivenBench):
    def batch(self, driver: Driver, batch: int, told: Epoch) -> None:
        driver.batch_begin(batch)
        self.told(told, batch)
        self.tell(driver, self.model.train_step(self.data[batch]))
        driver.batch_end()


@breaks("bench-trains")
class TrainsNothing(DrivenBench):
    def batch(self, driver: Driver, batch: int, told: Epoch) -> None:
        driver.batch_begin(batch)
        self.tell(driver, self.told(told, batch))
        driver.batch_end()


@breaks("bench-trains")
class TrainsOnValidation(DrivenBench):
    def validate(self, driver: Driver, metrics: Mapping[str, float]) -> None:
        self.model.train_step(self.data[0]) if driver.stack[-1].kind == "epoch" else None
        driver.open("test")
        for batch, data in enumerate(self.data):
            driver.batch_begin(batch)
            self.model.weights["layer0/bias"] += data[0].sum()
            self.tell(driver, metrics)
            driver.batch_end()
        driver.close("test")


@breaks("bench-trains")
class TrainsNoRound(BoostedBench):
    def batch(self, driver: Driver, batch: int, told: Epoch) -> None:
        driver.batch_begin(batch)
        self.tell(driver, self.told(told, batch))
        driver.batch_end()


@breaks("events-in-order")
class SplitsItsRound(RoundBench):
    def train_batches(self, driver: Driver, told: Epoch) -> None:
        driver.open("pass")
        for batch in range(2):
            self.batch(driver, batch, told)
        driver.close("pass")


@verbs("run-shows")
class NamesNoFramework(Able):
    framework = "none"


@verbs("run-shows")
class ShowsNoModel(Able):
    def __init__(self) -> None:
        super().__init__()
        self.model = None


@breaks("two-at-once")
class KeepsOneDriver(DrivenBench):
    """Has the driver of the run in a place that all its objects share."""

    current: Driver

    def driver(self, callbacks: Sequence[Callback]) -> Driver:
        KeepsOneDriver.current = super().driver(callbacks)
        return KeepsOneDriver.current

    def epoch(self, driver: Driver, epoch: int, told: Epoch) -> None:
        super().epoch(KeepsOneDriver.current, epoch, told)


# Learning rates


@verbs("lr-set")
class IgnoresRates(Able):
    def set_lrs(self, lrs: Sequence[float]) -> None:
        pass


@verbs("lr-set")
class RoundsRates(Able):
    def set_lrs(self, lrs: Sequence[float]) -> None:
        super().set_lrs([round(lr, 1) for lr in lrs])


@verbs("lr-set")
class GivesNumpyRates(Able):
    def get_lrs(self) -> list[float]:
        return [np.float32(lr) for lr in super().get_lrs()]


@verbs("lr-effect")
class RemembersRates(Able):
    """Keeps a rate where it reads it, and not where the optimizer does."""

    rates: list[float] | None = None

    def get_lrs(self) -> list[float]:
        return self.rates or super().get_lrs()

    def set_lrs(self, lrs: Sequence[float]) -> None:
        if len(lrs) != 1:
            raise ValueError("one rate")
        self.rates = list(lrs)


@breaks("lr-lasts")
class SchedulesRates(DrivenBench):
    def epoch(self, driver: Driver, epoch: int, told: Epoch) -> None:
        super().epoch(driver, epoch, told)
        self.model.set_lrs([0.5])


@breaks("lr-effect")
class SetsRatesLate(DrivenBench):
    """Hands the rate to its compiled step at the beginning of each epoch."""

    def epoch(self, driver: Driver, epoch: int, told: Epoch) -> None:
        self.rate = self.model.optimizer.lr
        super().epoch(driver, epoch, told)

    def batch(self, driver: Driver, batch: int, told: Epoch) -> None:
        driver.batch_begin(batch)
        asked, self.model.optimizer.lr = self.model.optimizer.lr, self.rate
        self.model.train_step(self.data[batch])
        self.model.optimizer.lr = asked
        self.tell(driver, self.told(told, batch))
        driver.batch_end()


class Groups(Able):
    """Two parameter groups."""

    other = 0.0625

    def get_lrs(self) -> list[float]:
        return [self.optimizer.lr, self.other]

    def set_lrs(self, lrs: Sequence[float]) -> None:
        if len(lrs) != 2:
            raise ValueError("two groups")
        self.optimizer.lr, self.other = lrs


@verbs("lr-groups")
class SetsTheFirstGroup(Groups):
    def set_lrs(self, lrs: Sequence[float]) -> None:
        super().set_lrs([lrs[0], self.other, *lrs[2:]][: len(lrs)])


@verbs("lr-groups")
class SetsAllGroupsAlike(Groups):
    def set_lrs(self, lrs: Sequence[float]) -> None:
        super().set_lrs([lrs[0] for _ in lrs])


@verbs("lr-refused")
class TakesAnyNumberOfRates(Able):
    def set_lrs(self, lrs: Sequence[float]) -> None:
        for lr in lrs:
            self.optimizer.lr = lr


@verbs("lr-refused")
class WritesRatesFirst(Able):
    def set_lrs(self, lrs: Sequence[float]) -> None:
        for lr in lrs:
            self.optimizer.lr = lr
        super().set_lrs(lrs)


# The optimizer's steps


@verbs("steps-in-order")
class StepsTwice(Able):
    def watch_optimizer(self, call: Callable[[], None]) -> Callable[[], None]:
        end, end_too = super().watch_optimizer(call), super().watch_optimizer(call)

        def ends() -> None:
            end()
            end_too()

        return ends


@verbs("steps-in-order")
class NeverSteps(Able):
    def watch_optimizer(self, call: Callable[[], None]) -> Callable[[], None]:
        return lambda: None


@verbs("steps-after-update")
class StepsBeforeTheUpdate(Able):
    def watch_optimizer(self, call: Callable[[], None]) -> Callable[[], None]:
        return self.optimizer.before(lambda gradients: (call(), gradients)[1])


@verbs("steps-unwatched")
class WatchesOn(Able):
    def watch_optimizer(self, call: Callable[[], None]) -> Callable[[], None]:
        super().watch_optimizer(call)
        return lambda: None
