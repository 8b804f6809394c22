"""Small fastai Learners, for the tests of its adapter."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import torch
from fastai.callback import core
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.learner import Learner
from fastai.optimizer import Adam
from trainhooks_adapters.fastai import wrap

from trainhooks.callbacks import BackupAndRestore, CSVLogger, EarlyStopping, ReduceLROnPlateau
from trainhooks.testing import Do

EPOCH = "epoch{}[ batch0[] batch1[] test[ batch0[] batch1[] ] ]"
"""One epoch of it, as a trace outlines it."""


def loaders(training: int = 8, validation: int = 8, *, shuffle: bool = False) -> Any:
    """Batches of four rows."""
    x = torch.linspace(-1, 1, 2 * max(training, validation)).reshape(-1, 2)
    rows = list(zip(x, x.sum(1, keepdim=True) + 1, strict=True))
    parts = DataLoader(rows[:training], bs=4, shuffle=shuffle), DataLoader(rows[:validation], bs=4)
    return DataLoaders(*parts, device="cpu")


def learner(dls: Any = None, *, opt_func: Any = Adam, **options: Any) -> Any:
    """A linear model, which always begins with the same weights; it prints nothing."""
    model = torch.nn.Linear(2, 1)
    torch.nn.init.constant_(model.weight, 0.5)
    torch.nn.init.zeros_(model.bias)
    given = {"lr": 0.1} | options
    made = Learner(loaders() if dls is None else dls, model, torch.nn.functional.mse_loss, opt_func, **given)
    made.remove_cbs([one for one in made.cbs if one.name == "progress"])  # there once a part of fastai is imported
    made.logger = quiet
    return made


def train(folder: str | Path, seed: int, dies_at: int | None = None) -> Any:
    """A training that shuffles and goes on from its backup; what it ended with.

    Args:
        folder: for its files.
        seed: of what the DataLoaders shuffle by.
        dies_at: the step at whose end the process dies.
    """
    random.seed(seed)
    kill = Do("train_batch_end", lambda run: run.step == dies_at and os._exit(9), nth=None)
    callbacks = [
        EarlyStopping("val_loss", patience=3, min_delta=0.05),
        ReduceLROnPlateau("val_loss", patience=1, min_delta=0.5),
        CSVLogger(Path(folder) / "log.csv"),
        BackupAndRestore(Path(folder) / "backup"),
        kill,
    ]
    wrapped = wrap(learner(loaders(12, shuffle=True), lr=0.03), callbacks=callbacks)
    wrapped.fit(12)
    run = wrapped.run
    assert run is not None
    weights = {name: one.tolist() for name, one in run.get_weights().items()}
    return run.epochs_done, run.step, run.lr, run.stop_reason, weights


def quiet(record: Any) -> None:
    """Print nothing; as a function of a module it is exported with a Learner."""


class Cancels(core.Callback):  # type: ignore[misc]
    """Raise one of fastai's exceptions at the ``nth`` of an event, counted from 0; None at each."""

    def __init__(self, exception: str, event: str, nth: int | None = 0, order: int = 0) -> None:
        super().__init__()
        self.exception, self.event, self.nth, self.order, self.count = exception, event, nth, order, 0

    def __call__(self, event: str) -> None:
        if event == self.event:
            self.count += 1
            if self.nth is None or self.count == self.nth + 1:
                raise getattr(core, self.exception)
