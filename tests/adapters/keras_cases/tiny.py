"""What the cases share: models as small as can be, data that is the same on every backend, the story of a fit."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from trainhooks_adapters.keras import bridge

import trainhooks
from trainhooks.testing import Trace

BACKEND = keras.backend.backend()
BEGINS_IN_VAIN = BACKEND in ("jax", "tensorflow")
"""Where Keras begins a batch before it looks whether there is data for it."""
JOINS_STEPS = BACKEND in ("jax", "tensorflow")
"""Where steps_per_execution may be more than 1."""


def rows(batches: int = 3) -> tuple[Any, Any]:
    """``x`` and ``y`` for so many batches of 2."""
    x = np.linspace(-1, 1, 4 * batches, dtype="float32").reshape(2 * batches, 2)
    return x, x.sum(axis=1, keepdims=True) + 1


def stream(batches: int = 3, error: BaseException | None = None) -> Iterator[tuple[Any, Any]]:
    """The same, one batch at a time and of unknown length; ``error`` is raised in place of a further one."""
    x, y = rows(batches)
    for at in range(0, 2 * batches, 2):
        yield x[at : at + 2], y[at : at + 2]
    if error is not None:
        raise error


def build(*layers: Any, optimizer: Any = None, inputs: int = 2, **options: Any) -> Any:
    """A compiled model: of one dense layer, unless other layers are given."""
    model = keras.Sequential([keras.Input((inputs,)), *(layers or [keras.layers.Dense(1)])])
    model.set_weights([np.zeros(variable.shape) for variable in model.weights] if not layers else model.get_weights())
    model.compile(optimizer or keras.optimizers.SGD(0.1), loss="mse", **options)
    return model


@functools.cache
def _plain() -> Any:
    return build()


def plain() -> Any:
    """One compiled model for all who need nothing special, since compiling it anew takes long; as if it were new."""
    model = _plain()
    model.set_weights([np.zeros((2, 1)), np.zeros(1)])
    model.optimizer.learning_rate = 0.1
    model.stop_training = False
    return model


def fit(target: Any, batches: int = 3, *, validate: int = 0, **options: Any) -> Any:
    """``target.fit`` on ``batches`` batches in their order, quietly, with a validation on ``validate`` batches."""
    if validate:
        options["validation_data"] = rows(validate)
    given = {"batch_size": 2, "verbose": 0, "shuffle": False} | options
    return target.fit(*rows(batches), **given)


def story(*callbacks: Any, model: Any = None, natives: Any = (), **options: Any) -> str:
    """What a wrapped model's fit tells, and how it came out."""
    trace = Trace()
    wrapped = trainhooks.wrap(plain() if model is None else model, callbacks=[*callbacks, trace])
    fit(wrapped, callbacks=list(natives), **options)
    trace.check_grammar()
    return f"{trace.outline()} {wrapped.run.outcome}"


def bare(*callbacks: Any, model: Any = None, natives: Any = (), **options: Any) -> str:
    """What a bridge tells of a plain model's fit; natives come after it."""
    trace = Trace()
    made = bridge([*callbacks, trace])
    fit(plain() if model is None else model, callbacks=[made, *natives], **options)
    trace.check_grammar()
    return f"{trace.outline()} {made.run.outcome}"
