"""Benches that are right: a trainer with a loop of its own that drives a ``Driver``, and a model with every verb."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trainhooks import MLP, Callback, Driver, Logs, LoopRun, Run, Trainable
from trainhooks.testing.bench import Bench, Epoch
from trainhooks.testing.reference import ReferenceBench
from trainhooks.trainable import CAPABILITIES, ModelOnly


class Able(MLP):
    """The numpy model with the verbs that it lacks."""

    formats = {".npz": "weights"}

    def __init__(self) -> None:
        super().__init__((2, 3, 2), lr=0.125, momentum=0.5)
        self.table = np.zeros((3, 2), np.float32)

    def missing(self, need: str) -> str | None:
        return None if need == "optimizer_average" else super().missing(need)

    def save(self, path: Path) -> None:
        with path.open("wb") as file:
            np.savez(file, **self.get_weights())

    def optimizer_average(self) -> Any:
        return self.get_weights()

    def embeddings(self) -> dict[str, np.ndarray]:
        return {"words": self.table.copy()}

    def profile(self, folder: Path) -> Callable[[], None]:
        return lambda: (folder / "profile.txt").write_text("train_step") and None


class AbleBench(ReferenceBench):
    """The reference loop over a model with every verb."""

    lacks = frozenset()

    def make(self) -> MLP:
        return Able()


class Told(MLP):
    """A numpy model whose trainer begins at an epoch and shows running means only."""

    def missing(self, need: str) -> str | None:
        if need in ("mid_epoch", "batch_logs"):
            return "This trainer cannot."
        return super().missing(need)


class DrivenBench(ReferenceBench):
    """A trainer with a loop of its own, each part of it a method; it tells a ``Driver`` what it does."""

    owns_loop = False
    lacks = ReferenceBench.lacks | {"mid_epoch", "batch_logs"}

    def make(self) -> MLP:
        return Told((2, 3, 2), lr=0.125, momentum=0.5)

    def driver(self, callbacks: Sequence[Callback]) -> Driver:
        return Driver(self.trainable(), callbacks, plugins="none")

    def train(self, history: Sequence[Epoch], callbacks: Sequence[Callback], *, resume: Any = None) -> Run:
        driver = self.driver(callbacks)
        if resume is not None:
            driver.load_state_dict(resume)
        self.stop, self.goes_on = False, True
        self.guard(driver, lambda: self.fit(driver, history))
        return driver.run

    def stop_itself(self) -> None:
        self.stop = True

    def evaluate(self, metrics: Mapping[str, float], callbacks: Sequence[Callback]) -> Run | None:
        driver = self.driver(callbacks)
        self.goes_on = False
        self.guard(driver, lambda: self.validate(driver, metrics))
        return driver.run

    def evaluate_resumed(self, metrics: Mapping[str, float], callbacks: Sequence[Callback], resume: Any) -> Run | None:
        return self.evaluate(metrics, callbacks)

    def predict(self, callbacks: Sequence[Callback]) -> Run | None:
        driver = self.driver(callbacks)
        self.goes_on = False
        self.guard(driver, lambda: self.foresee(driver))
        return driver.run

    def guard(self, driver: Driver, work: Callable[[], None]) -> None:
        try:
            self.begin(driver)
            work()
        except BaseException as error:
            driver.fail(error)
            raise
        finally:
            driver.teardown()

    def begin(self, driver: Driver) -> None:
        driver.setup(ask=self.goes_on)

    def fit(self, driver: Driver, history: Sequence[Epoch]) -> None:
        progress = driver.progress
        progress.max_epochs, progress.steps_per_epoch = len(history), self.batches
        driver.open("train")
        for epoch in range(progress.epochs_done, len(history)):
            if self.is_over(driver):
                break
            self.epoch(driver, epoch, history[epoch])
        driver.close("train")

    def is_over(self, driver: Driver) -> bool:
        return driver.progress.should_stop

    def epoch(self, driver: Driver, epoch: int, told: Epoch) -> None:
        driver.open("epoch", epoch=epoch)
        self.train_batches(driver, told)
        if validation := self.told_in_validation(told):
            self.validate(driver, validation)
        driver.close("epoch")

    def train_batches(self, driver: Driver, told: Epoch) -> None:
        driver.open("pass")
        for batch in range(self.batches):
            if driver.progress.halt:
                break
            self.batch(driver, batch, told)
        driver.close("pass")

    def batch(self, driver: Driver, batch: int, told: Epoch) -> None:
        driver.batch_begin(batch)
        self.model.train_step(self.data[batch])
        self.tell(driver, self.told(told, batch))
        driver.batch_end()
        self.look(driver)

    def look(self, driver: Driver) -> None:
        """The trainer's own stop is one of the run."""
        if self.stop and not driver.run.should_stop:
            driver.run.stop("it was told to stop", source="driven")
            driver.attend()

    def validate(self, driver: Driver, metrics: Mapping[str, float]) -> None:
        driver.open("test")
        for batch, data in enumerate(self.data):
            driver.batch_begin(batch)
            self.model.test_step(data)
            self.tell(driver, metrics)
            driver.batch_end()
        driver.close("test")

    def foresee(self, driver: Driver) -> None:
        driver.open("predict")
        for batch, data in enumerate(self.data):
            driver.batch_begin(batch)
            driver.batch_end(outputs=self.model.predict_step(data))
        driver.close("predict")

    def tell(self, driver: Driver, metrics: Mapping[str, float]) -> None:
        for name, value in metrics.items():
            driver.logs.add(name, value)


class RoundBench(DrivenBench):
    """The same, but for a trainer whose epoch is one round, and so one batch."""

    batches = 1


class Boosted(Trainable):
    """A trainer that shows no weights: what it has trained is in its state and its files alone."""

    framework = "boosted"
    formats = {".npz": "what it has trained"}

    def __init__(self, model: MLP) -> None:
        self.model = model

    def missing(self, need: str) -> str | None:
        if need in ("batches", "batch_logs", "mid_epoch", "end_epoch"):
            return "a round has no batches."
        return super().missing(need)

    def get_lrs(self) -> list[float]:
        return self.model.get_lrs()

    def set_lrs(self, lrs: Sequence[float]) -> None:
        self.model.set_lrs(lrs)

    def state_dict(self) -> dict[str, Any]:
        return self.model.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.model.load_state_dict(state)

    def save(self, path: Path) -> None:
        with path.open("wb") as file:
            np.savez(file, **self.model.get_weights())


class BoostedBench(RoundBench):
    """A trainer of rounds that shows no weights."""

    lacks = frozenset(CAPABILITIES) - {"lr", "read_lr", "state", "save", "data_wait"}

    def trainable(self) -> Trainable:
        return Boosted(self.model)


class LateBench(DrivenBench):
    """The same, but for a trainer that looks for a stop only once a batch has ended."""

    looks_after_batches = True

    def fit(self, driver: Driver, history: Sequence[Epoch]) -> None:
        self.has_looked = driver.progress.resumed
        super().fit(driver, history)

    def is_over(self, driver: Driver) -> bool:
        return self.has_looked and super().is_over(driver)

    def train_batches(self, driver: Driver, told: Epoch) -> None:
        driver.open("pass")
        for batch in range(self.batches):
            self.batch(driver, batch, told)
            self.has_looked = True
            if driver.progress.halt:
                break
        driver.close("pass")


class DroppingBench(DrivenBench):
    """The same, but for a trainer that begins a batch before it sees that there is none."""

    def batch(self, driver: Driver, batch: int, told: Epoch) -> None:
        super().batch(driver, batch, told)
        if batch == self.batches - 1:
            driver.batch_begin(batch + 1)
            driver.drop_batch()


class BareBench(Bench):
    """The least that an author can begin with: training alone, and no verb."""

    lacks = frozenset(CAPABILITIES) - {"end_epoch", "batches", "batch_logs", "data_wait", "mid_epoch"}

    def train(self, history: Sequence[Epoch], callbacks: Sequence[Callback], *, resume: Any = None) -> Run:
        with LoopRun(ModelOnly(self), callbacks, resume=resume, plugins="none") as run:
            for epoch in run.epochs(len(history)):
                for batch in run.train(range(self.batches)):
                    run.log(self.told(history[epoch], batch))
                if validation := self.told_in_validation(history[epoch]):
                    for _ in run.test(range(self.batches)):
                        run.log(validation)
        return run.run


class MeansBench(DrivenBench):
    """The same, but for a trainer that tells running means of its own, and no batch's own values."""

    def epoch(self, driver: Driver, epoch: int, told: Epoch) -> None:
        self.begin_means()
        driver.open("epoch", epoch=epoch, logs=self.logs)
        self.train_batches(driver, told)
        if validation := self.told_in_validation(told):
            self.validate(driver, validation)
        driver.close("epoch")

    def validate(self, driver: Driver, metrics: Mapping[str, float]) -> None:
        self.begin_means()
        driver.open("test", logs=self.logs)
        for batch, data in enumerate(self.data):
            driver.batch_begin(batch)
            self.model.test_step(data)
            self.tell(driver, metrics)
            driver.batch_end()
        driver.close("test")

    def begin_means(self) -> None:
        self.logs, self.totals, self.told_of = Logs(), dict[str, float](), 0

    def tell(self, driver: Driver, metrics: Mapping[str, float]) -> None:
        self.told_of += 1
        self.totals = {name: self.totals.get(name, 0.0) + value for name, value in metrics.items()}
        self.logs.update({name: total / self.told_of for name, total in self.totals.items()})
