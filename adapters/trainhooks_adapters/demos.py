"""The trainers of ``trainhooks demo``: one small network on the digits, in each framework that is installed.

Each is what a user of that framework would write; the callbacks come from outside and are the same for all.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

import trainhooks

Data = tuple[Any, Any]
Callbacks = Sequence[trainhooks.Callback]

BATCH_SIZE = 32
LR = 0.01


def train_numpy(train: Data, validation: Data, callbacks: Callbacks, epochs: int, seed: int) -> Any:
    model = trainhooks.MLP((64, 32, 10), optimizer="adam", lr=LR, seed=seed)
    return trainhooks.fit(model, train, validation, epochs, BATCH_SIZE, seed=seed, callbacks=callbacks)


def train_torch(train: Data, validation: Data, callbacks: Callbacks, epochs: int, seed: int) -> Any:
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    torch.manual_seed(seed)
    model = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=LR)
    loss_of = torch.nn.CrossEntropyLoss()
    loader = DataLoader(TensorDataset(*map(torch.from_numpy, train)), BATCH_SIZE, shuffle=True)
    val_loader = DataLoader(TensorDataset(*map(torch.from_numpy, validation)), 256)

    with trainhooks.wrap(model, optimizer=optimizer, callbacks=callbacks) as run:
        for _ in run.epochs(epochs):
            model.train()
            for x, y in run.train(loader):
                outputs = model(x)
                loss = loss_of(outputs, y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                run.log(loss=loss, accuracy=(outputs.argmax(1) == y).float().mean(), n=len(x))
            model.eval()
            with torch.no_grad():
                for x, y in run.test(val_loader):
                    outputs = model(x)
                    run.log(loss=loss_of(outputs, y), accuracy=(outputs.argmax(1) == y).float().mean(), n=len(x))
    return run


def train_keras(backend: str, train: Data, validation: Data, callbacks: Callbacks, epochs: int, seed: int) -> Any:
    loaded = sys.modules.get("keras")
    if loaded is not None and loaded.backend.backend() != backend:
        raise RuntimeError(
            f"Keras is loaded with its {loaded.backend.backend()!r} backend and keeps it; "
            f"the {backend!r} one needs a process of its own"
        )
    os.environ["KERAS_BACKEND"] = backend
    import keras

    keras.utils.set_random_seed(seed)
    layers = [keras.Input((64,)), keras.layers.Dense(32, activation="relu"), keras.layers.Dense(10)]
    model = keras.Sequential(layers)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.Adam(LR), loss=loss, metrics=["accuracy"])

    wrapped = trainhooks.wrap(model, callbacks=callbacks)
    wrapped.fit(*train, BATCH_SIZE, epochs, verbose=0, validation_data=validation)
    return wrapped.run


class Plugin:
    """What trainhooks finds: the trainers whose frameworks are installed."""

    @trainhooks.hookimpl
    def trainhooks_demos(self) -> dict[str, Callable[..., Any]]:
        trainers: dict[str, Callable[..., Any]] = {"numpy": train_numpy}
        if find_spec("torch"):
            trainers["torch"] = train_torch
        if find_spec("keras"):
            for backend in ("tensorflow", "jax", "torch"):
                if find_spec(backend):
                    trainers[f"keras-{backend}"] = functools.partial(train_keras, backend)
        return trainers


plugin = Plugin()
