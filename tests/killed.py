"""The run that ``kill.py`` kills: what is trained, and what it notes of itself."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import trainhooks
from trainhooks import store
from trainhooks.callbacks import (
    CSVLogger,
    EarlyStopping,
    JSONLogger,
    LearningRateScheduler,
    ModelCheckpoint,
    ReduceLROnPlateau,
)
from trainhooks.callbacks.backup_and_restore import BackupAndRestore

EPOCHS, BATCHES, ROWS = 8, 7, 6
PARTS = {"val": slice(0, 21), "rest": slice(21, None)}
FILES = ("log.csv", "log.jsonl", "steps.jsonl", "best.safetensors", "result.json")
"""What must be equal at the end of a run."""


def data(seed: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(BATCHES * ROWS, 5)).astype(np.float32), rng.integers(0, 3, BATCHES * ROWS)


class Loader:
    """Batches in an order, and with a noise, that the process's own generators draw anew at each pass."""

    def __init__(self, x: Any, y: Any) -> None:
        self.x, self.y = x, y

    def __len__(self) -> int:
        return BATCHES

    def __iter__(self) -> Iterator[Any]:
        order = list(range(len(self.x)))
        random.shuffle(order)
        for first in range(0, len(order), ROWS):
            rows = order[first : first + ROWS]
            yield self.x[rows] + np.random.normal(0, 0.1, (ROWS, 5)).astype(np.float32), self.y[rows]


class Dropout(trainhooks.MLP):
    """The numpy model, of whose inputs each step leaves some out."""

    def train_step(self, batch: Any) -> dict[str, float]:
        x, y = batch
        return super().train_step((x * (np.random.random(x.shape) > 0.2), y))


def train_numpy(callbacks: list[Any], pause: Callable[[], None]) -> tuple[Any, Any]:
    model = Dropout((5, 64, 3), optimizer="sgd", lr=0.1, momentum=0.9)
    x, y = data(0)
    with trainhooks.LoopRun(model, callbacks) as run:
        for _epoch in run.epochs(EPOCHS):
            for batch in run.train(Loader(x, y)):
                run.log(model.train_step(batch), n=ROWS)
                pause()
            for name, part in PARTS.items():
                for batch in run.test([(x[part], y[part])], name=name):
                    run.log(model.test_step(batch), n=21)
                    pause()
    return run, model.state_dict()


def train_torch(callbacks: list[Any], pause: Callable[[], None]) -> tuple[Any, Any]:
    import torch
    from torch import nn

    torch.set_num_threads(1)
    torch.manual_seed(0)
    x, y = map(torch.from_numpy, data(0))
    module = nn.Sequential(nn.Linear(5, 64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 3))
    optimizer = torch.optim.Adam(module.parameters(), lr=0.01)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=ROWS, shuffle=True)
    loss_of = nn.CrossEntropyLoss()
    with trainhooks.wrap(module, optimizer=optimizer, callbacks=callbacks) as run:
        for _epoch in run.epochs(EPOCHS):
            module.train()
            for rows, labels in run.train(loader):
                optimizer.zero_grad()
                loss = loss_of(module(rows), labels)
                loss.backward()
                optimizer.step()
                run.log(loss=loss.item(), n=len(rows))
                pause()
            module.eval()
            for name, part in PARTS.items():
                for rows, labels in run.test([(x[part], y[part])], name=name):
                    with torch.no_grad():
                        run.log(loss=loss_of(module(rows), labels).item(), n=len(rows))
                    pause()
    return run, run.trainable.state_dict()


def warm_torch() -> None:
    """Have all imported, before the first fork, that a life would import."""
    import torch

    torch.set_num_threads(1)
    module = torch.nn.Linear(1, 1)
    trainhooks.wrap(module, optimizer=torch.optim.Adam(module.parameters()))  # the optimizer imports much


TRAINERS = {"numpy": train_numpy, "torch": train_torch}


def digest(state: Any) -> str:
    """Of a Trainable's state, to the bit."""
    found = hashlib.sha256()

    def take(value: Any) -> None:
        if isinstance(value, dict):
            for key in sorted(value):
                found.update(repr(key).encode())
                take(value[key])
        elif isinstance(value, (list, tuple)):
            for one in value:
                take(one)
        elif hasattr(value, "__array__"):
            array = np.asarray(value)
            found.update(f"{array.dtype}{array.shape}".encode() + array.tobytes())
        else:
            found.update(repr(value).encode())

    take(state)
    return found.hexdigest()[:16]


class Notes(trainhooks.Callback):
    """Writes down where a life begins, each step with what the weights are then, and each save that was completed."""

    phase = "save"

    def __init__(self, path: Path, background: bool) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._background, self._saved_before = background, None

    def _note(self, *words: Any) -> None:
        os.write(self._file, (" ".join(map(str, words)) + "\n").encode())  # one write: a kill halves no line

    def on_train_begin(self, run: Any) -> None:
        self._note("begin", run.step)

    def on_train_batch_end(self, run: Any) -> None:
        self._note("step", run.step, digest(run.trainable.state_dict()))

    def save(self, run: Any) -> None:  # it stands after BackupAndRestore, which has saved, or waited for the one before
        done, self._saved_before = (self._saved_before, run.step) if self._background else (run.step, None)
        if done is not None:
            self._note("saved", done)


def live(folder: Path, options: argparse.Namespace, slow: float) -> None:
    """The user's script: the same whether it runs for the first time or again."""
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", message="this run was stopped before")
    random.seed(1)
    np.random.seed(1)
    stopper, plateau = EarlyStopping(patience=3, restore_best_weights=True), ReduceLROnPlateau(patience=1, factor=0.7)
    best = ModelCheckpoint(folder / "best.safetensors", save_best_only=True)
    callbacks = [
        LearningRateScheduler(lambda epoch, lr: lr * 0.95),
        plateau,
        stopper,
        CSVLogger(folder / "log.csv"),
        JSONLogger(folder / "log.jsonl"),
        JSONLogger(folder / "steps.jsonl", save_freq=2),
        best,
        BackupAndRestore(folder / "backup", save_freq=3, background=options.background),
        Notes(folder / "notes", options.background),
    ]
    run, state = TRAINERS[options.framework](callbacks, lambda: time.sleep(slow))
    result = {
        "history": [[record.epoch, record.logs] for record in run.history],
        "weights": digest(state),
        "counts": [run.step, run.optimizer_step, run.epochs_done],
        "end": [run.outcome, run.stop_reason],
        "stopper": repr(stopper.state_dict()),
        "plateau": repr(plateau.state_dict()),
        "best": [best.best, best.best_path and best.best_path.name],
    }
    store.write_atomically(folder / "result.json", lambda path: path.write_text(json.dumps(result)))
