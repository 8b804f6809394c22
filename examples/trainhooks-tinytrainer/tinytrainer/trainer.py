"""Trainer: fits a model, and tells its hooks what it does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from .linear import Arrays, Linear

Kind = Literal["training", "evaluation", "prediction"]
Data = tuple[Any, Any]
"""Rows of ``x``, and as many of ``y``."""


class Hook:
    """What a trainer tells. Epochs and steps count from 1; ``kind`` is what is passed over the data for."""

    def fit_started(self, trainer: Trainer) -> None: ...
    def epoch_started(self, trainer: Trainer) -> None: ...
    def pass_started(self, trainer: Trainer, kind: Kind) -> None: ...
    def step_started(self, trainer: Trainer, kind: Kind, number: int) -> None: ...

    def updated(self, trainer: Trainer) -> None:
        """The parameters have moved."""

    def step_ended(self, trainer: Trainer, kind: Kind, result: Any, rows: int) -> None:
        """``result`` is the metrics of this batch alone; the outputs, where it was a prediction."""

    def pass_ended(self, trainer: Trainer, kind: Kind) -> None: ...
    def epoch_ended(self, trainer: Trainer) -> None: ...
    def fit_ended(self, trainer: Trainer) -> None: ...


class Trainer:
    """Stochastic gradient descent with momentum.

    Args:
        model: as ``Linear``.
        lr: learning rate.
        momentum: share of the velocity that is kept at each step.
        batch_size: rows in a step.
        seed: of the order of the rows, which is another in each epoch.
        hooks: told in this order.

    Attributes:
        epoch: number of the running or last epoch, from 1.
        epochs: how many were asked for.
        steps_per_epoch: how many steps each has.
        velocity: what momentum keeps, by the name of the parameter.
        rng: draws the order of the rows.
        skip: set it to have no further step begin in this epoch.
        stop: set it to have no further step and no further epoch begin. Neither keeps an epoch from its evaluation.
    """

    def __init__(
        self,
        model: Linear,
        *,
        lr: float = 0.1,
        momentum: float = 0.9,
        batch_size: int = 32,
        seed: int = 0,
        hooks: list[Hook] | None = None,
    ) -> None:
        self.model, self.lr, self.momentum, self.batch_size = model, lr, momentum, batch_size
        self.hooks: list[Hook] = list(hooks or [])
        self.velocity: Arrays = {name: np.zeros_like(array) for name, array in model.params.items()}
        self.rng = np.random.default_rng(seed)
        self.epoch = self.epochs = self.steps_per_epoch = 0
        self.stop = self.skip = False

    def fit(self, data: Data, evaluation: Data | None = None, *, epochs: int = 1, first_epoch: int = 1) -> None:
        """Train until ``epochs`` epochs are done, and evaluate at the end of each."""
        self.epochs, self.steps_per_epoch, self.stop = epochs, -(-len(data[0]) // self.batch_size), False
        self._tell("fit_started")
        for self.epoch in range(first_epoch, epochs + 1):
            if self.stop:
                break
            self.skip = False
            self._tell("epoch_started")
            self._train(data)
            if evaluation is not None:
                self.evaluate(evaluation)
            self._tell("epoch_ended")
        self._tell("fit_ended")

    def evaluate(self, data: Data) -> dict[str, float]:
        """The mean metrics on ``data``."""
        totals: dict[str, float] = {}
        self._tell("pass_started", "evaluation")
        for number, (x, y) in enumerate(self._batches(*data), 1):
            self._tell("step_started", "evaluation", number)
            metrics = self.model.metrics(x, y)
            for name, value in metrics.items():
                totals[name] = totals.get(name, 0.0) + value * len(x)
            self._tell("step_ended", "evaluation", metrics, len(x))
        self._tell("pass_ended", "evaluation")
        return {name: total / len(data[0]) for name, total in totals.items()}

    def predict(self, x: Any) -> Any:
        """The model's outputs for ``x``."""
        outputs = []
        self._tell("pass_started", "prediction")
        for number, (rows,) in enumerate(self._batches(x), 1):
            self._tell("step_started", "prediction", number)
            outputs.append(self.model.predict(rows))
            self._tell("step_ended", "prediction", outputs[-1], len(rows))
        self._tell("pass_ended", "prediction")
        return np.concatenate(outputs)

    def save(self, path: Path) -> None:
        """Write the parameters as an ``.npz`` file."""
        with path.open("wb") as file:
            np.savez(file, **self.model.params)

    def _train(self, data: Data) -> None:
        order = self.rng.permutation(len(data[0]))
        self._tell("pass_started", "training")
        for number, (x, y) in enumerate(self._batches(*(array[order] for array in data)), 1):
            if self.stop or self.skip:
                break
            self._tell("step_started", "training", number)
            metrics, gradients = self.model.gradients(x, y)
            self._update(gradients)
            self._tell("step_ended", "training", metrics, len(x))
        self._tell("pass_ended", "training")

    def _update(self, gradients: Mapping[str, Any]) -> None:
        for name, gradient in gradients.items():
            self.velocity[name] *= self.momentum
            self.velocity[name] += gradient
            self.model.params[name] -= self.lr * self.velocity[name]
        self._tell("updated")

    def _batches(self, *arrays: Any) -> Iterator[tuple[Any, ...]]:
        for start in range(0, len(arrays[0]), self.batch_size):
            yield tuple(array[start : start + self.batch_size] for array in arrays)

    def _tell(self, what: str, *arguments: Any) -> None:
        for hook in tuple(self.hooks):
            getattr(hook, what)(self, *arguments)
