"""Adapters whose runs end, or go on, wrongly."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from broken_adapters import breaks
from driven_bench import DrivenBench

from trainhooks import Callback, Driver, LoopRun, Run
from trainhooks.progress import Stop
from trainhooks.testing.bench import BATCHES, LEAVE, Epoch
from trainhooks.testing.reference import ReferenceBench

# Stops


@breaks("decision-stops")
class FinishesTheBatches(DrivenBench):
    def train_batches(self, driver: Driver, told: Epoch) -> None:
        driver.open("pass")
        for batch in range(BATCHES):
            self.batch(driver, batch, told)
        driver.close("pass")


@breaks("decision-stops")
class GoesOnToTheEnd(DrivenBench):
    def is_over(self, driver: Driver) -> bool:
        return False


@breaks("decision-stops")
class SkipsTheLastValidation(DrivenBench):
    def validate(self, driver: Driver, metrics: Mapping[str, float]) -> None:
        if not driver.progress.should_stop:
            super().validate(driver, metrics)


@breaks("decision-stops")
class TrainsOneBatchMore(DrivenBench):
    """As a trainer that looks for a stop after batches alone, whose bench does not say so."""

    def train_batches(self, driver: Driver, told: Epoch) -> None:
        driver.open("pass")
        for batch in range(BATCHES):
            self.batch(driver, batch, told)
            if driver.progress.halt:
                break
        driver.close("pass")


@breaks("fault-stops")
class LeavesAtAFault(DrivenBench):
    def epoch(self, driver: Driver, epoch: int, told: Epoch) -> None:
        driver.open("epoch", epoch=epoch)
        self.train_batches(driver, told)
        validation = self.told_in_validation(told)
        if validation and driver.run.stop_kind != "fault":
            self.validate(driver, validation)
        driver.close("epoch")


@breaks("pause-stops")
class DecidesForPauses(DrivenBench):
    def batch(self, driver: Driver, batch: int, told: Epoch) -> None:
        super().batch(driver, batch, told)
        progress = driver.progress
        if progress.pause is not None:
            progress.stop, progress.pause = Stop("decision", progress.pause.reason), None


@breaks("stop-in-turn")
class LooksInTheFirstEpochOnly(DrivenBench):
    def train_batches(self, driver: Driver, told: Epoch) -> None:
        driver.open("pass")
        for batch in range(BATCHES):
            if driver.progress.halt and driver.progress.epoch == 0:
                break
            self.batch(driver, batch, told)
        driver.close("pass")


@breaks("stop-reason")
class GivesItsOwnReason(DrivenBench):
    def is_over(self, driver: Driver) -> bool:
        stop = driver.progress.stop
        if stop is not None:
            driver.progress.stop = Stop(stop.kind, "the trainer was told to stop")
        return driver.progress.should_stop


@breaks("stop-ends")
class StopsForGood(DrivenBench):
    stop_training = False

    def is_over(self, driver: Driver) -> bool:
        self.stop_training = self.stop_training or driver.progress.should_stop
        return self.stop_training


@breaks("stop-ends")
class StopsItselfForGood(DrivenBench):
    was_stopped = False

    def is_over(self, driver: Driver) -> bool:
        self.was_stopped = self.was_stopped or self.stop
        return self.was_stopped or super().is_over(driver)


@breaks("own-stop")
class UndoesTheTrainersStop(DrivenBench):
    def look(self, driver: Driver) -> None:
        self.stop = driver.run.should_stop


@breaks("own-stop")
class StopsWithoutAWord(DrivenBench):
    def look(self, driver: Driver) -> None:
        driver.progress.halt = driver.progress.halt or self.stop

    def is_over(self, driver: Driver) -> bool:
        return self.stop or super().is_over(driver)


@breaks("own-stop")
class StopsForNobody(DrivenBench):
    def look(self, driver: Driver) -> None:
        if self.stop and not driver.run.should_stop:
            driver.run.stop("somebody wanted it")
            driver.attend()


@breaks("stays-stopped")
class TrainsAnEpochAtLeast(DrivenBench):
    def fit(self, driver: Driver, history: Sequence[Epoch]) -> None:
        resumed, stop = driver.progress.resumed, driver.progress.stop
        if resumed and stop is not None:
            driver.progress.stop = None
        super().fit(driver, history)


@breaks("break-ends")
class DropsABatchThatIsLeft(ReferenceBench):
    def train(self, history: Sequence[Epoch], callbacks: Sequence[Callback], *, resume: Any = None) -> Run:
        with LoopRun(self.trainable(), callbacks, resume=resume, plugins="none") as run:
            for epoch in run.epochs(len(history)):
                for batch in run.train(self.data):
                    self.model.train_step(batch)
                    run.log(self.told(history[epoch], run.batch))
                    if history[epoch] == LEAVE and run.batch == 1:
                        run._driver.drop_batch()
                        break
                if validation := self.told_in_validation(history[epoch]):
                    self.test(run, validation)
        return run.run


@breaks("pause-goes-on")
class PausesWithoutSaving(DrivenBench):
    def driver(self, callbacks: Sequence[Callback]) -> Driver:
        driver = super().driver(callbacks)
        driver.signals.savers = list  # type: ignore[method-assign]
        return driver


# Exceptions


@breaks("training-raises")
class WrapsExceptions(DrivenBench):
    def guard(self, driver: Driver, work: Callable[[], None]) -> None:
        try:
            super().guard(driver, work)
        except Exception as error:
            raise RuntimeError("training failed") from error


@breaks("training-raises")
class SwallowsExceptions(DrivenBench):
    def guard(self, driver: Driver, work: Callable[[], None]) -> None:
        with contextlib.suppress(ValueError):
            super().guard(driver, work)


@breaks("training-raises")
class TellsNobody(DrivenBench):
    def guard(self, driver: Driver, work: Callable[[], None]) -> None:
        try:
            self.begin(driver)
            work()
        except BaseException as error:
            driver.error = error
            raise
        finally:
            driver.teardown()


@breaks("training-raises")
class ForgetsTeardown(DrivenBench):
    def guard(self, driver: Driver, work: Callable[[], None]) -> None:
        try:
            self.begin(driver)
            work()
        except BaseException as error:
            driver.fail(error)
            raise
        driver.teardown()


@breaks("training-raises")
class EndsWhatFailed(DrivenBench):
    def fit(self, driver: Driver, history: Sequence[Epoch]) -> None:
        try:
            super().fit(driver, history)
        finally:
            driver.close_down(1)


@breaks("interrupts")
class SwallowsInterrupts(DrivenBench):
    def guard(self, driver: Driver, work: Callable[[], None]) -> None:
        with contextlib.suppress(KeyboardInterrupt):
            super().guard(driver, work)


@breaks("interrupts")
class CatchesExceptionsAlone(DrivenBench):
    def guard(self, driver: Driver, work: Callable[[], None]) -> None:
        try:
            self.begin(driver)
            work()
        except Exception as error:
            driver.fail(error)
            raise
        finally:
            driver.teardown()


@breaks("hook-raises")
class SetsUpOutside(DrivenBench):
    def guard(self, driver: Driver, work: Callable[[], None]) -> None:
        self.begin(driver)
        try:
            work()
        except BaseException as error:
            driver.fail(error)
            raise
        finally:
            driver.teardown()


@breaks("exception-told")
class TellsAnotherException(DrivenBench):
    def guard(self, driver: Driver, work: Callable[[], None]) -> None:
        try:
            self.begin(driver)
            work()
        except BaseException as error:
            driver.fail(type(error)(*error.args))
            raise
        finally:
            driver.teardown()


@breaks("trains-again")
class StaysBusy(DrivenBench):
    busy = False

    def guard(self, driver: Driver, work: Callable[[], None]) -> None:
        if self.busy:
            raise RuntimeError("this trainer is training already")
        self.busy = True
        super().guard(driver, work)
        self.busy = False
