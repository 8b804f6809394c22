"""Patience begun under one trainer goes on under another, by the file.

fit(model, data, epochs=2, callbacks=[EarlyStopping(patience=3), BackupAndRestore("a", delete_checkpoint=False)])
trainhooks.wrap(module, optimizer=optimizer, resume="a", callbacks=[EarlyStopping(patience=3)])
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import trainhooks
from trainhooks import MLP, Callback, Run
from trainhooks.callbacks import EarlyStopping
from trainhooks.callbacks.backup_and_restore import BackupAndRestore
from trainhooks.testing import StopAt

VAL_LOSS = (1.0, 0.5, 0.625, 0.5625, 0.75, 0.25, 0.125, 0.0625)
"""The best is epoch 1's until it is too late: a patience of 3 ends with epoch 4."""
STOPS_AT = 4


class Scripted(Callback):
    """Every trainer comes to the same metrics."""

    def on_epoch_end(self, epoch: int, logs: Any) -> None:
        logs["val_loss"] = VAL_LOSS[epoch]


class Ended(NamedTuple):
    """How a run ended, and what its stopper knows."""

    history: list[tuple[int, float]]
    outcome: str | None
    wait: int
    best: float | None
    best_epoch: int | None
    stopped_epoch: int


Trainer = Callable[[list[Callback], Any], Run]
"""Trains up to as many epochs as there are values."""


def numpy_loop(callbacks: list[Callback], resume: Any) -> Any:
    model = MLP((1, 1), loss="mse")
    with trainhooks.wrap(model, callbacks=callbacks, resume=resume) as run:
        for _ in run.epochs(len(VAL_LOSS)):
            for _ in run.train(range(2)):
                run.log(model.train_step((np.ones((1, 1), np.float32), np.ones((1, 1), np.float32))))
    return run


def torch_loop(callbacks: list[Callback], resume: Any) -> Any:
    import torch

    module = torch.nn.Linear(1, 1)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    with trainhooks.wrap(module, optimizer=optimizer, callbacks=callbacks, resume=resume) as run:
        for _ in run.epochs(len(VAL_LOSS)):
            for _ in run.train(range(2)):
                loss = module(torch.ones(1, 1)).sum()
                loss.backward()
                optimizer.step()
                run.log(loss=loss.detach())
    return run


def train(trainer: Trainer, *more: Callback, resume: Any = None) -> Ended:
    """A run whose patience is 3."""
    stopper = EarlyStopping(patience=3)
    run = trainer([Scripted(), stopper, *more], resume)
    history = [(record.epoch, record.logs["val_loss"]) for record in run.history]
    return Ended(history, run.outcome, stopper.wait, stopper.best, stopper.best_epoch, stopper.stopped_epoch)


UNINTERRUPTED = Ended(list(enumerate(VAL_LOSS[: STOPS_AT + 1])), "stopped", 3, 0.5, 1, STOPS_AT)


def goes_over(folder: Path, names: tuple[str, str], trainers: tuple[Trainer, Trainer], epoch: int) -> None:
    """Begin under the first trainer, pause when ``epoch`` ends, and go on under the second."""
    backup = BackupAndRestore(folder, delete_checkpoint=False)
    paused = train(trainers[0], backup, StopAt("epoch_end", epoch, kind="pause"))
    assert (paused.outcome, len(paused.history), paused.wait) == ("paused", epoch + 1, max(epoch - 1, 0))
    told = (
        f"the state is {names[0]}'s, and this run is {names[1]}'s: counts, history and callbacks go on; weights, "
        "optimizer and random generators do not go over."
    )
    with pytest.warns(UserWarning, match=f"^{re.escape(told)}$"):
        assert train(trainers[1], resume=folder) == UNINTERRUPTED


@pytest.mark.parametrize("epoch", range(STOPS_AT))
@pytest.mark.parametrize("way", ["numpy to torch", "torch to numpy"])
def test_patience_goes_over_between_numpy_and_torch(tmp_path: Path, way: str, epoch: int) -> None:
    pytest.importorskip("torch")
    names = ("numpy", "torch") if way == "numpy to torch" else ("torch", "numpy")
    trainers = (numpy_loop, torch_loop) if way == "numpy to torch" else (torch_loop, numpy_loop)
    assert [train(one) for one in trainers] == [UNINTERRUPTED] * 2
    goes_over(tmp_path, names, trainers, epoch)
