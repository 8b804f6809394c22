"""fit, evaluate, predict: the reference loop, plain functions on ``LoopRun``.

This is the executable specification of the order of events: every adapter is tested against it. They work with any
object that has ``train_step``, ``test_step`` and ``predict_step``, each of one batch.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np

from .callback import Callback
from .checkpoint import Resume
from .checks import count
from .errors import no_steps
from .loop import LoopRun
from .trainable import ModelOnly, Trainable


class Model(Protocol):
    """What ``fit`` needs of a model; each step takes one batch and returns its metrics, as means over it."""

    def train_step(self, batch: Any) -> Mapping[str, Any]: ...
    def test_step(self, batch: Any) -> Mapping[str, Any]: ...


class Predictor(Protocol):
    """What ``predict`` needs of a model."""

    def predict_step(self, batch: Any) -> Any: ...


class Batches:
    """Batches of arrays that share their first axis; a tuple in gives tuples out, a lone array gives arrays.

    Args:
        data: an array, or a tuple or list of arrays with as many rows.
        batch_size: rows in a batch; the last may be smaller.
        order: the order of the rows; as they are by default.

    Raises:
        ValueError: the arrays differ in their number of rows, or ``batch_size`` is below 1.
    """

    def __init__(self, data: Any, batch_size: int = 32, order: np.ndarray[Any, Any] | None = None) -> None:
        batch_size = count(batch_size, f"batch_size={batch_size!r}", 1)
        arrays = data if isinstance(data, (tuple, list)) else (data,)
        rows = [len(array) for array in arrays]
        if len(set(rows)) != 1:
            raise ValueError(f"the arrays have {' and '.join(map(str, rows))} rows: they must have as many")
        self._arrays, self._lone = arrays, not isinstance(data, (tuple, list))
        self._rows, self._batch_size, self._order = rows[0], batch_size, order

    def __len__(self) -> int:
        return -(-self._rows // self._batch_size)

    def __iter__(self) -> Iterator[Any]:
        return self.beginning_at(0)

    def beginning_at(self, row: int) -> Iterator[Any]:
        """The batches from a row on."""
        for start in range(row, self._rows, self._batch_size):
            rows: Any = slice(start, start + self._batch_size)
            if self._order is not None:
                rows = self._order[rows]
            batch = tuple(array[rows] for array in self._arrays)
            yield batch[0] if self._lone else batch


class Shuffled:
    """Batches of arrays, in an order that hangs on the seed and the number of the epoch alone; it keeps its place.

    Args:
        data, batch_size: as for ``Batches``.
        seed: of the order; one of its own by default, which is in its state.

    Attributes:
        epoch: the number of the epoch whose batches it gives.
    """

    def __init__(self, data: Any, batch_size: int = 32, seed: int | None = None) -> None:
        self.epoch = 0
        self._data, self._batch_size = data, batch_size
        self._total = len(data[0] if isinstance(data, (tuple, list)) else data)
        self._given = seed
        self._seed = int(np.random.default_rng().integers(2**32)) if seed is None else seed
        self._at = (0, 0)  # the epoch that it is in, and the rows done in it

    def __len__(self) -> int:
        return len(Batches(self._data, self._batch_size))

    def __iter__(self) -> Iterator[Any]:
        epoch, done = self._at
        self._at = (self.epoch, done if epoch == self.epoch else 0)
        order = np.random.default_rng((self._seed, self.epoch)).permutation(self._total)
        for batch in Batches(self._data, self._batch_size, order).beginning_at(self._at[1]):
            self._at = (self.epoch, min(self._at[1] + self._batch_size, self._total))
            yield batch
        self._at = (self.epoch, 0)

    def state_dict(self) -> dict[str, Any]:
        """The seed, the epoch, and how many rows were given of it."""
        return {"seed": self._seed, "epoch": self._at[0], "done": self._at[1]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there; a seed that was given holds."""
        if self._given is None:
            self._seed = int(state["seed"])
        elif self._given != state["seed"]:
            warnings.warn(f"fit: seed was {state['seed']} and is {self._given}, which holds.", stacklevel=2)
        self._at = (int(state["epoch"]), int(state["done"]))


def fit(
    model: Model,
    data: Any,
    validation_data: Any = None,
    epochs: int | None = 1,
    batch_size: int = 32,
    shuffle: bool = True,
    seed: int | None = None,
    validation_freq: int = 1,
    callbacks: Iterable[Callback] | None = (),
    *,
    min_epochs: int = 0,
    resume: Resume = None,
    resume_stopped: bool = False,
    plugins: str | None = None,
) -> LoopRun:
    """Train ``model``.

    Args:
        model: an object with ``train_step`` and ``test_step``; where it is a ``Trainable``, callbacks can steer it.
        data: arrays, as ``(x, y)``, or an iterable of batches that can be iterated over once an epoch.
        validation_data: likewise; none by default.
        epochs: the total, resumed or not; None goes on until a stop.
        batch_size: rows in a batch, where ``data`` is arrays.
        shuffle: take the rows of arrays in a new order each epoch.
        seed: of that order; an epoch's order depends on it and on the number of the epoch alone.
        validation_freq: validate after every so many epochs.
        callbacks: attached in this order.
        min_epochs, resume, resume_stopped, plugins: as for ``LoopRun``.

    Returns:
        The run: its ``history``, its ``outcome``, its ``stop_reason``.

    Raises:
        ValueError: an argument has no meaning.
        RegistrationError: a callback cannot be attached.
    """
    validation_freq = count(validation_freq, f"validation_freq={validation_freq!r}", 1)
    if seed is not None:
        seed = count(seed, f"seed={seed!r}")
    once = not _is_arrays(data) and iter(data) is data
    steps = ("train_step",) if validation_data is None else ("train_step", "test_step")
    train = Shuffled(data, batch_size, seed) if shuffle and _is_arrays(data) else _batches(data, batch_size)
    options: dict[str, Any] = {"min_epochs": min_epochs, "resume": resume, "resume_stopped": resume_stopped}
    with LoopRun(_trainable("fit", model, *steps), callbacks, plugins=plugins, **options) as run:
        for epoch in run.epochs(epochs):
            if isinstance(train, Shuffled):
                train.epoch = epoch
            for batch in run.train(train):
                run.log(model.train_step(batch), n=_size(batch))
            if once and "train" not in run.passes and not run.should_stop:
                warnings.warn(f"fit: epoch {epoch} had no batch: data is an iterator, which is used up", stacklevel=2)
            if validation_data is not None and (epoch + 1) % validation_freq == 0:
                for batch in run.test(_batches(validation_data, batch_size)):
                    run.log(model.test_step(batch), n=_size(batch))
    return run


def evaluate(
    model: Model,
    data: Any,
    batch_size: int = 32,
    callbacks: Iterable[Callback] | None = (),
    *,
    plugins: str | None = None,
) -> dict[str, Any]:
    """The metrics of ``model`` on ``data``, as means weighted by the size of the batches."""
    with LoopRun(_trainable("evaluate", model, "test_step"), callbacks, plugins=plugins) as run:
        for batch in run.test(_batches(data, batch_size)):
            run.log(model.test_step(batch), n=_size(batch))
    return run.logs.copy()


def predict(
    model: Predictor,
    data: Any,
    batch_size: int = 32,
    callbacks: Iterable[Callback] | None = (),
    *,
    plugins: str | None = None,
) -> Any:
    """The outputs of ``model`` for ``data``, joined along the first axis."""
    outputs = []
    with LoopRun(_trainable("predict", model, "predict_step"), callbacks, plugins=plugins) as run:
        for batch in run.predict(_batches(data, batch_size)):
            outputs.append(model.predict_step(batch))
            run.log(outputs=outputs[-1])
    return np.concatenate(outputs)


def _trainable(who: str, model: object, *steps: str) -> Trainable:
    if lacks := [step for step in steps if not callable(getattr(model, step, None))]:
        raise no_steps(who, model, lacks)
    return model if isinstance(model, Trainable) else ModelOnly(model)


def _is_arrays(data: Any) -> bool:
    if isinstance(data, (tuple, list)):
        return len(data) > 0 and all(hasattr(one, "shape") and hasattr(one, "dtype") for one in data)
    return hasattr(data, "shape") and hasattr(data, "dtype")


def _batches(data: Any, batch_size: int) -> Iterable[Any]:
    return Batches(data, batch_size) if _is_arrays(data) else data


def _size(batch: Any) -> int:
    """Rows in a batch, by its first array; 1 where it has none that can be counted."""
    first = batch[0] if isinstance(batch, (tuple, list)) and batch else batch
    if isinstance(first, Mapping) and first:
        first = next(iter(first.values()))
    try:
        return len(first)
    except TypeError:
        return 1
