"""Adapters that drive wrongly, each a mistake that its author could have made, with the rule that finds it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from driven_bench import AbleBench, DrivenBench

from trainhooks import MLP, Callback, Driver, EpochRecord, Logs, Run
from trainhooks.testing.bench import BATCHES, Bench, Epoch
from trainhooks.testing.reference import ReferenceBench

BROKEN: dict[str, tuple[str, Callable[[], Bench]]] = {}
"""For each mistake, by its name, the rule that it breaks first of all, and what makes the bench."""


def breaks(rule: str) -> Callable[[type[Bench]], type[Bench]]:
    """What is below breaks ``rule``."""

    def kept(made: type[Bench]) -> type[Bench]:
        BROKEN[made.__name__] = rule, made
        return made

    return kept


def verbs(rule: str, base: type[ReferenceBench] = AbleBench) -> Callable[[type[MLP]], type[MLP]]:
    """The model below breaks ``rule``."""

    def kept(model: type[MLP]) -> type[MLP]:
        made = type(model.__name__, (base,), {"make": lambda self: model()})
        BROKEN[model.__name__] = rule, made
        return model

    return kept


# Order, numbers and counts


@breaks("events-in-order")
class ValidatesFirst(DrivenBench):
    def train_batches(self, driver: Driver, told: Epoch) -> None:
        if validation := self.told_in_validation(told):
            self.validate(driver, validation)
        super().train_batches(driver, told)

    def epoch(self, driver: Driver, epoch: int, told: Epoch) -> None:
        driver.open("epoch", epoch=epoch)
        self.train_batches(driver, told)
        driver.close("epoch")


@breaks("events-in-order")
class ValidatesAfterTheEpoch(DrivenBench):
    def epoch(self, driver: Driver, epoch: int, told: Epoch) -> None:
        driver.open("epoch", epoch=epoch)
        self.train_batches(driver, told)
        driver.close("epoch")
        if validation := self.told_in_validation(told):
            self.validate(driver, validation)


@breaks("no-validation")
class AlwaysValidates(DrivenBench):
    def epoch(self, driver: Driver, epoch: int, told: Epoch) -> None:
        driver.open("epoch", epoch=epoch)
        self.train_batches(driver, told)
        if validation := self.told_in_validation(told):
            self.validate(driver, validation)
        else:
            driver.open("test")
            driver.close("test")
        driver.close("epoch")


@breaks("epochs-only")
class CountsWhatIsHeard(DrivenBench):
    def batch(self, driver: Driver, batch: int, told: Epoch) -> None:
        driver.batch_begin(batch)
        self.model.train_step(self.data[batch])
        self.tell(driver, self.told(told, batch))
        driver.batch_end(steps=0 if driver.bus.calls["train_batch_end"] is None else 1)
        self.look(driver)


@breaks("batch-numbers")
class NumbersBatchesFromOne(DrivenBench):
    def batch(self, driver: Driver, batch: int, told: Epoch) -> None:
        driver.batch_begin(batch + 1)
        self.model.train_step(self.data[batch])
        self.tell(driver, self.told(told, batch))
        driver.batch_end()


@breaks("batch-numbers")
class NumbersBatchesOverTheRun(DrivenBench):
    def batch(self, driver: Driver, batch: int, told: Epoch) -> None:
        driver.batch_begin(driver.progress.step)
        self.model.train_step(self.data[batch])
        self.tell(driver, self.told(told, batch))
        driver.batch_end()


@breaks("batch-numbers")
class NumbersEpochsFromOne(DrivenBench):
    def epoch(self, driver: Driver, epoch: int, told: Epoch) -> None:
        super().epoch(driver, epoch + 1, told)


@breaks("counts")
class CountsTwice(DrivenBench):
    def batch(self, driver: Driver, batch: int, told: Epoch) -> None:
        super().batch(driver, batch, told)
        driver.count_steps(1)


@breaks("counts")
class CountsAtTheBegin(DrivenBench):
    def batch(self, driver: Driver, batch: int, told: Epoch) -> None:
        driver.count_steps(1)
        driver.batch_begin(batch)
        self.model.train_step(self.data[batch])
        self.tell(driver, self.told(told, batch))
        driver.batch_end(counted=False)


@breaks("totals")
class KnowsNoTotal(DrivenBench):
    def fit(self, driver: Driver, history: Sequence[Epoch]) -> None:
        driver.open("train")
        for epoch in range(driver.progress.epochs_done, len(history)):
            if self.is_over(driver):
                break
            self.epoch(driver, epoch, history[epoch])
        driver.close("train")


@breaks("totals")
class CountsValidationAsSteps(DrivenBench):
    def train_batches(self, driver: Driver, told: Epoch) -> None:
        driver.progress.steps_per_epoch = 2 * BATCHES
        super().train_batches(driver, told)


@breaks("phase")
class TrainsAllAlong(DrivenBench):
    def train_batches(self, driver: Driver, told: Epoch) -> None:
        super().train_batches(driver, told)
        driver.progress.phase = "train"


# Logs


@breaks("running-means")
class HasNoLogsInBatches(DrivenBench):
    def train_batches(self, driver: Driver, told: Epoch) -> None:
        driver.open("pass")
        for batch in range(BATCHES):
            if driver.progress.halt:
                break
            driver.batch_begin(batch)
            self.model.train_step(self.data[batch])
            reported = self.told(told, batch)
            driver.batch_end()
        driver.close("pass")
        self.tell(driver, reported)


@breaks("running-means")
class MeansGoOn(DrivenBench):
    def epoch(self, driver: Driver, epoch: int, told: Epoch) -> None:
        self.means = Logs() if epoch == 0 else self.means
        driver.open("epoch", epoch=epoch, logs=self.means)
        self.train_batches(driver, told)
        if validation := self.told_in_validation(told):
            self.validate(driver, validation)
        driver.close("epoch")


@breaks("epoch-logs")
class EndsWithTheLastLogs(DrivenBench):
    last: dict[str, Any] = {}

    def epoch(self, driver: Driver, epoch: int, told: Epoch) -> None:
        driver.open("epoch", epoch=epoch)
        self.train_batches(driver, told)
        if validation := self.told_in_validation(told):
            self.validate(driver, validation)
        stale, self.last = self.last, driver.logs.copy()
        driver.close("epoch", Logs(stale))


@breaks("epoch-logs")
class EndsWithNumpyScalars(DrivenBench):
    def tell(self, driver: Driver, metrics: Mapping[str, float]) -> None:
        for name, value in metrics.items():
            driver.logs[name] = np.float32(value)


@breaks("epoch-logs")
class NamesValidationTest(DrivenBench):
    def validate(self, driver: Driver, metrics: Mapping[str, float]) -> None:
        driver.open("test", name="test")
        for batch in range(BATCHES):
            driver.batch_begin(batch)
            self.tell(driver, metrics)
            driver.batch_end()
        driver.close("test")


@breaks("nothing-stale")
class KeepsValidationLogs(DrivenBench):
    last: dict[str, Any] = {}

    def epoch(self, driver: Driver, epoch: int, told: Epoch) -> None:
        driver.open("epoch", epoch=epoch)
        self.train_batches(driver, told)
        if validation := self.told_in_validation(told):
            self.validate(driver, validation)
        self.last = {**self.last, **driver.logs.copy()}
        driver.close("epoch", Logs(dict(self.last)))


@breaks("test-logs")
class PrefixesTestLogs(DrivenBench):
    def validate(self, driver: Driver, metrics: Mapping[str, float]) -> None:
        around = driver.logs
        super().validate(driver, {f"val_{name}": value for name, value in metrics.items()})
        for name in [name for name in around if name.startswith("val_val_")]:
            around[name.removeprefix("val_")] = around[name]


@breaks("history")
class WritesNoHistory(DrivenBench):
    def epoch(self, driver: Driver, epoch: int, told: Epoch) -> None:
        super().epoch(driver, epoch, told)
        driver.run.history = driver.run.history[-1:]


@breaks("logs-written")
class WritesItsOwnHistory(DrivenBench):
    def epoch(self, driver: Driver, epoch: int, told: Epoch) -> None:
        super().epoch(driver, epoch, told)
        if driver.run.history:
            logs = {name: driver.run.history[-1].logs.get(name) for name in ("loss", "val_loss")}
            driver.run.history[-1] = EpochRecord(epoch, {name: one for name, one in logs.items() if one is not None})


# Callbacks and scopes


@breaks("callback-order")
class AttachesInReverse(DrivenBench):
    def driver(self, callbacks: Sequence[Callback]) -> Driver:
        return super().driver(callbacks[::-1])


@breaks("evaluation-alone")
class EvaluatesAsATraining(DrivenBench):
    def evaluate(self, metrics: Mapping[str, float], callbacks: Sequence[Callback]) -> Run | None:
        driver = self.driver(callbacks)

        def work() -> None:
            driver.open("train")
            driver.open("epoch")
            self.validate(driver, metrics)
            driver.close("epoch")
            driver.close("train")

        self.guard(driver, work)
        return driver.run


@breaks("evaluation-keeps")
class EvaluatesOldWeights(DrivenBench):
    def evaluate_resumed(self, metrics: Mapping[str, float], callbacks: Sequence[Callback], resume: Any) -> Run | None:
        driver = self.driver(callbacks)
        driver.load_state_dict({**resume, "progress": driver.progress.state_dict()})
        self.guard(driver, lambda: self.validate(driver, metrics))
        return driver.run


@breaks("evaluation-keeps")
class AsksForAStateToEvaluate(DrivenBench):
    def begin(self, driver: Driver) -> None:
        driver.setup()


@breaks("evaluation-keeps")
class TrainsToEvaluate(DrivenBench):
    def evaluate(self, metrics: Mapping[str, float], callbacks: Sequence[Callback]) -> Run | None:
        self.model.train_step(self.data[0])
        return super().evaluate(metrics, callbacks)


@breaks("prediction-alone")
class DropsOutputs(DrivenBench):
    def foresee(self, driver: Driver) -> None:
        driver.open("predict")
        for batch in range(BATCHES):
            driver.batch_begin(batch)
            driver.batch_end()
        driver.close("predict")


@breaks("second-run")
class NeverResets(DrivenBench):
    def fit(self, driver: Driver, history: Sequence[Epoch]) -> None:
        driver.has_trained = True
        super().fit(driver, history)


@breaks("callbacks-freed")
class KeepsItsCallbacks(DrivenBench):
    def guard(self, driver: Driver, work: Callable[[], None]) -> None:
        try:
            super().guard(driver, work)
        finally:
            for callback in driver.bus.callbacks:
                if driver.error is not None:
                    callback.run = driver.run


@breaks("nothing-left")
class LeavesAHook(DrivenBench):
    def fit(self, driver: Driver, history: Sequence[Epoch]) -> None:
        end = self.model.optimizer.before(lambda gradients: gradients)
        super().fit(driver, history)
        end()  # unless it raises


@breaks("nothing-left")
class LeavesAListener(DrivenBench):
    """Has a list of whom it tells, which its bench does not show."""

    def __init__(self) -> None:
        super().__init__()
        self.listeners: list[Driver] = []

    def guard(self, driver: Driver, work: Callable[[], None]) -> None:
        self.listeners.append(driver)
        super().guard(driver, work)
        self.listeners.remove(driver)  # unless it raises

    def left_on(self) -> list[Any]:
        return []
