"""Translation: what each of tinytrainer's own hooks becomes; and the trainer that carries it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Final, Literal

import tinytrainer

import trainhooks

from ._trainable import TinyTrainable, hooked

SCOPES: Final[dict[tinytrainer.Kind, Literal["pass", "test", "predict"]]] = {
    "training": "pass",
    "evaluation": "test",
    "prediction": "predict",
}


class Translation(tinytrainer.Hook):
    """Tells the driver of a run what the trainer tells, and the trainer what was asked for in the run."""

    def __init__(self, driver: trainhooks.Driver) -> None:
        self.driver = driver
        self._is_acting = self._fits = False

    def fit_started(self, trainer: tinytrainer.Trainer) -> None:
        self._fits = True
        self._do(trainer, lambda driver: driver.open("train", epochs=trainer.epochs, steps=trainer.steps_per_epoch))

    def epoch_started(self, trainer: tinytrainer.Trainer) -> None:
        self._do(trainer, lambda driver: driver.open("epoch", epoch=trainer.epoch - 1))

    def pass_started(self, trainer: tinytrainer.Trainer, kind: tinytrainer.Kind) -> None:
        self._do(trainer, lambda driver: driver.open(SCOPES[kind]))

    def step_started(self, trainer: tinytrainer.Trainer, kind: tinytrainer.Kind, number: int) -> None:
        self._do(trainer, lambda driver: driver.batch_begin(number - 1))

    def step_ended(self, trainer: tinytrainer.Trainer, kind: tinytrainer.Kind, result: Any, rows: int) -> None:
        def end(driver: trainhooks.Driver) -> None:
            if kind == "prediction":
                driver.batch_end(outputs=result)
                return
            driver.log(result, rows)
            driver.batch_end()

        self._do(trainer, end)

    def pass_ended(self, trainer: tinytrainer.Trainer, kind: tinytrainer.Kind) -> None:
        self._do(trainer, lambda driver: driver.close(SCOPES[kind]))

    def epoch_ended(self, trainer: tinytrainer.Trainer) -> None:
        self._do(trainer, lambda driver: driver.close("epoch"))

    def fit_ended(self, trainer: tinytrainer.Trainer) -> None:
        self._do(trainer, lambda driver: driver.close("train"))

    def _do(self, trainer: tinytrainer.Trainer, act: Callable[[trainhooks.Driver], object]) -> None:
        if self._is_acting:  # a callback of ours evaluates or predicts with this very trainer: no part of the run
            return
        run = self.driver.run
        if self._fits and trainer.stop and not run.should_stop:  # a native hook has set it; not before the last fit
            run.stop("trainer.stop was set", source="tinytrainer")
        self._is_acting = True
        try:
            act(self.driver)
        finally:
            self._is_acting = False
        trainer.stop = trainer.stop or run.should_stop
        trainer.skip = trainer.skip or self.driver.progress.halt


class WrappedTrainer:
    """A trainer whose ``fit``, ``evaluate`` and ``predict`` carry callbacks; each is a run of its own.

    Attributes:
        trainer: what is wrapped.
        run: the run of the last of them; None before the first.
    """

    def __init__(self, trainer: tinytrainer.Trainer, options: trainhooks.WrapOptions) -> None:
        self.trainer, self.options = trainer, options
        self.run: trainhooks.Run | None = None
        self._resume = options.state()
        self._new_driver()  # refuses now what the trainer lacks

    def fit(self, data: Any, evaluation: Any = None, *, epochs: int = 1) -> None:
        """As ``Trainer.fit``; the first one goes on from ``resume``, and ``epochs`` is the total in any case."""
        with self._carried(self._resume, ask=True) as driver:
            self._resume = None
            first = driver.run.epochs_done + 1
            self.trainer.fit(data, evaluation, epochs=epochs, first_epoch=first)

    def evaluate(self, data: Any) -> dict[str, float]:
        """As ``Trainer.evaluate``."""
        with self._carried():
            return self.trainer.evaluate(data)

    def predict(self, x: Any) -> Any:
        """As ``Trainer.predict``."""
        with self._carried():
            return self.trainer.predict(x)

    def _new_driver(self, state: Any = None) -> trainhooks.Driver:
        return self.options.driver(TinyTrainable(self.trainer), state)

    @contextlib.contextmanager
    def _carried(self, state: Any = None, *, ask: bool = False) -> Iterator[trainhooks.Driver]:
        """A run, from its setup to its teardown; tinytrainer tells no hook of an exception, and so it is seen here."""
        driver = self._new_driver(state)
        self.run = driver.run
        unhook = hooked(self.trainer, Translation(driver))
        try:
            with driver.carried(ask=ask):
                yield driver
        finally:
            unhook()
