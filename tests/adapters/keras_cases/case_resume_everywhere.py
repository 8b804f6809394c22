"""Paused anywhere and gone on with in a fresh model, among other random numbers: as if it had never stopped."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import pytest
from tiny import BACKEND, rows
from trainhooks_adapters.keras import bridge
from trainhooks_adapters.keras._trainable import KerasTrainable

import trainhooks
from trainhooks.callbacks.early_stopping import EarlyStopping
from trainhooks.callbacks.learning_rate_scheduler import LearningRateScheduler
from trainhooks.callbacks.reduce_lr_on_plateau import ReduceLROnPlateau
from trainhooks.testing import StopAt

EPOCHS = 6
"""More than the patience of the runs allows."""


class Keep(trainhooks.Callback):
    """Keeps the state that a pause saves."""

    phase = "save"
    requires = {"state"}

    def __init__(self) -> None:
        self.state: Any = None

    def save(self, run: trainhooks.Run) -> None:
        self.state = run.state_dict()


class Shuffled(keras.utils.PyDataset):
    """Three batches of 4 in an order that hangs on the number of the epoch alone."""

    epoch = 0

    def __len__(self) -> int:
        return 3

    def __getitem__(self, place: int) -> Any:
        x, y = rows(6)
        at = np.random.default_rng(self.epoch).permutation(len(x))[4 * place : 4 * place + 4]
        return x[at], y[at]


class Tell(trainhooks.Callback):
    """Tells the data its epoch, and the logs the learning rate."""

    def __init__(self, data: Any) -> None:
        self.data = data

    def on_epoch_begin(self, run: trainhooks.Run) -> None:
        self.data.epoch = run.epoch

    def on_epoch_end(self, run: trainhooks.Run, logs: trainhooks.Logs) -> None:
        logs["lr"] = run.lr


def of_epoch() -> tuple[Any, dict[str, Any]]:
    data = Shuffled()
    return data, {"x": data, "shuffle": False}


def arrays() -> tuple[Any, dict[str, Any]]:
    """In the order that Keras draws: from torch's generator, from numpy's, or by the seed that TensorFlow was given."""
    x, y = rows(6)
    return Shuffled(), {"x": x, "y": y, "batch_size": 4}


def batches() -> tuple[Any, dict[str, Any]]:
    """Of a dataset, in an order that Keras draws from Python's generator."""
    data = Shuffled()
    return data, {"x": data, "shuffle": True}


def loader() -> tuple[Any, dict[str, Any]]:
    """With a generator of its own, that nobody else knows of."""
    import torch

    data = torch.utils.data.TensorDataset(*map(torch.from_numpy, rows(6)))
    order = torch.Generator().manual_seed(7)
    return Shuffled(), {"x": torch.utils.data.DataLoader(data, batch_size=4, shuffle=True, generator=order)}


OPTIMIZERS: dict[str, Callable[[], Any]] = {
    "momentum": lambda: keras.optimizers.SGD(0.02, momentum=0.9),
    "adam": lambda: keras.optimizers.Adam(0.05),
}


def made(optimizer: str = "adam", seed: int | None = None) -> Any:
    keras.utils.set_random_seed(0)  # as a script has in its first lines
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((2,)),
            layers.Dense(4),
            layers.BatchNormalization(),
            layers.Dropout(0.5, seed=seed),
            layers.Dense(1),
        ]
    )
    model.compile(OPTIMIZERS[optimizer](), loss="mse", metrics=["mae"])
    return model


def callbacks(decay: bool) -> list[trainhooks.Callback]:
    halve = LearningRateScheduler(lambda epoch, lr: lr * 0.8)
    steer = halve if decay else ReduceLROnPlateau("loss", patience=1, factor=0.5, min_delta=1e9)
    return [steer, EarlyStopping("val_loss", patience=4, min_delta=1e9)]


def scramble() -> None:
    """Other random numbers than the run that was left had."""
    random.seed(99)
    np.random.seed(99)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(99)


def train(
    model: Any,
    given: tuple[Any, dict[str, Any]],
    *more: trainhooks.Callback,
    resume: Mapping[str, Any] | None = None,
    decay: bool = False,
    bare: bool = False,
) -> Any:
    """Fit, and tell all that must be equal."""
    data, options = given
    every = [Tell(data), *callbacks(decay), *more]
    options = {"epochs": EPOCHS, "validation_data": rows(4), "validation_batch_size": 4, "verbose": 0, **options}
    if bare:
        carrier: Any = bridge(every, resume=resume)
        model.fit(callbacks=[carrier], **options)
    else:
        carrier = trainhooks.wrap(model, callbacks=every, resume=resume)
        carrier.fit(**options)
    assert model._initial_epoch is None
    run = carrier.run
    variables = [*model.variables, *model.optimizer.variables]
    return {
        "variables": [keras.ops.convert_to_numpy(one).tolist() for one in variables],
        "history": list(run.history),
        "counts": (run.epochs_done, run.step),
        "end": (run.outcome, run.stop_reason, run.stop_source),
        "stopper": every[2].state_dict(),
    }


DATA = {"of_epoch": of_epoch, "arrays": arrays, "batches": batches, "loader": loader}
CASES = [("of_epoch", "wrap"), ("arrays", "bridge"), ("batches", "wrap")]
if BACKEND == "torch":
    CASES += [("loader", "wrap"), ("of_epoch", "bridge"), ("arrays", "wrap")]  # a bridge does not see a loader
THOROUGH = BACKEND == "torch"
"""Where a fit takes no time to speak of: elsewhere a new model is compiled for each."""


@pytest.mark.parametrize(("data", "carrier"), CASES)
def test_between_epochs(data: str, carrier: str) -> None:
    bare = carrier == "bridge"
    options: dict[str, Any] = {"bare": bare, "decay": data in ("arrays", "loader")}
    optimizer = "momentum" if bare else "adam"
    seed = None if data in ("arrays", "loader") else 1
    whole = train(made(optimizer, seed), DATA[data](), **options)
    assert whole["end"][0] == "stopped" and whole["counts"] == (5, 15)
    for epoch in range(4) if THOROUGH else (1,):
        keep = Keep()
        left = train(made(optimizer, seed), DATA[data](), keep, StopAt("epoch_end", epoch, kind="pause"), **options)
        assert left["end"][0] == "paused"
        model = made(optimizer, seed)
        model.set_weights([np.zeros(value.shape) for value in model.get_weights()])
        scramble()
        assert train(model, DATA[data](), resume=keep.state, **options) == whole


@pytest.fixture(scope="module")
def pair() -> Any:
    """Two models, to run and to go on in; and what the first one is like before it has run."""
    models = made(), made()
    return *models, KerasTrainable(lambda: models[0], frozenset()).state_dict()


EVENTS = [
    *(("train_batch_end", place) for place in range(9)),
    *(("train_batch_begin", place) for place in range(9)),
    *(("test_batch_end", place) for place in range(6)),
    *((event, place) for event in ("epoch_begin", "test_begin", "test_end", "epoch_end") for place in range(3)),
    ("train_begin", 0),
]
SOME = [("train_batch_end", 0), ("train_batch_end", 4), ("train_batch_end", 8), ("test_batch_end", 3), ("epoch_end", 1)]


def test_inside_an_epoch_it_goes_on_from_the_epochs_beginning(pair: Any) -> None:
    first, second, begun = pair

    def fresh(model: Any) -> Any:
        keras.utils.set_random_seed(0)
        KerasTrainable(lambda: model, frozenset()).load_state_dict(begun)
        return model

    train(fresh(first), arrays())  # fit draws a batch to build from, once
    whole = train(fresh(first), arrays())
    for event, place in EVENTS if THOROUGH else SOME:
        keep = Keep()
        left = train(fresh(first), arrays(), keep, StopAt(event, place, kind="pause"))
        assert left["end"][0] == "paused"
        second.set_weights([np.zeros(value.shape) for value in second.get_weights()])
        scramble()
        assert keep.state is not None, event
        if keep.state["epoch_start"] is None:
            again = train(second, arrays(), resume=keep.state)
        else:
            with pytest.warns(UserWarning, match="goes on from the beginning of epoch") as told:
                again = train(second, arrays(), resume=keep.state)
            assert len([one for one in told if "beginning" in str(one.message)]) == 1
        assert again == whole, (event, place)
