"""All callbacks that keep a state, in one run that crashes anywhere: run again, it ends as if it never had."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from together import all_of_them, outcome_of

import trainhooks
from trainhooks import MLP, Callback, callbacks
from trainhooks.testing import RaiseAt

torch = pytest.importorskip("torch", reason="torch is not installed")
NetBase: Any = torch.nn.Sequential

EPOCHS = 6
CRASHES = [
    *("epoch_begin", "train_batch_begin", "train_batch_end", "test_begin", "test_batch_end", "test_end"),
    *("epoch_end", "epoch_end"),
]
"""Events that fire in each epoch; at its end it depends on who has seen it."""
PHASES = ["observe", "decide", "report", "save"]

rng = np.random.default_rng(0)
X = rng.normal(size=(24, 3)).astype(np.float32)
Y = (X.sum(axis=1) > 0).astype(int)


class Net(NetBase):
    """A PyTorch module that shows its weights as the other models do."""

    def get_weights(self) -> dict[str, Any]:
        return {name: value.numpy() for name, value in self.state_dict().items()}


def with_numpy(*made: Callback) -> Any:
    model = MLP((3, 4, 2), optimizer="adam", lr=0.05)
    run = trainhooks.fit(model, (X, Y), (X[:8], Y[:8]), EPOCHS, 4, seed=1, callbacks=made)
    return run, model.get_weights()


def with_torch(*made: Callback) -> Any:
    torch.manual_seed(0)
    model = Net(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    loss_of = torch.nn.CrossEntropyLoss()
    batches = [(torch.from_numpy(X[at : at + 4]), torch.from_numpy(Y[at : at + 4])) for at in range(0, 24, 4)]
    with trainhooks.wrap(model, optimizer=optimizer, callbacks=made) as run:
        for epoch in run.epochs(EPOCHS):
            model.train()
            for x, y in run.train(batches[epoch % 3 :] + batches[: epoch % 3]):
                loss = loss_of(model(x), y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                run.log(loss=loss, n=len(x))
            model.eval()
            with torch.no_grad():
                for x, y in run.test(batches[:2]):
                    run.log(loss=loss_of(model(x), y), n=len(x))
    return run.run, {name: value.numpy().copy() for name, value in model.state_dict().items()}


TRAINERS = [with_numpy, with_torch]
Trainer = Callable[..., Any]


Crash = tuple[str, int, Any]
"""An event, at which of its firings, and in which phase of it."""


def crash(event: str, nth: int, phase: Any) -> Callback:
    made = RaiseAt(event, nth, ZeroDivisionError())
    made.phase = phase
    return made


def until_it_ends(
    trainer: Trainer, folder: Path, crashes: list[Crash], order: int = 0, save_freq: Any = "epoch"
) -> dict[str, Any]:
    """Run the script again after each crash, and once more; what it came to."""
    folder.mkdir()
    os.chdir(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # of ours; Keras warns of what numpy deprecates
        for one in crashes:
            with pytest.raises(ZeroDivisionError):
                trainer(*all_of_them(order, callbacks.BackupAndRestore("backup", save_freq)), crash(*one))
        made = all_of_them(order, callbacks.BackupAndRestore("backup", save_freq))
        run, weights = trainer(*made)
    return outcome_of(run, weights, made)


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def random_crashes(seed: int) -> list[Crash]:
    """Up to three. The first is in a second epoch, when there is a backup: before, nothing knows of the first try."""
    rng = np.random.default_rng((3, seed))
    crashes: list[Crash] = []
    for number in range(int(rng.integers(1, 4))):
        event = str(rng.choice(CRASHES))
        each = {"train_batch_begin": 6, "train_batch_end": 6, "test_batch_end": 2}.get(event, 1)
        nth = int(rng.integers(each if not number else 0, 2 * each))
        crashes.append((event, nth, str(rng.choice(PHASES))))
    return crashes


def differences(
    trainer: Trainer, folder: Path, crashes: list[Crash], order: int, save_freq: Any = "epoch"
) -> list[str]:
    """What came out otherwise than if there had been no crash."""
    never = until_it_ends(trainer, folder / "never", [], order, save_freq)
    again = until_it_ends(trainer, folder / "again", crashes, order, save_freq)
    return [what for what, value in never.items() if again[what] != value]


@pytest.mark.parametrize("trainer", TRAINERS)
@pytest.mark.parametrize("seed", range(12))
def test_after_crashes_anywhere_it_ends_as_if_there_had_been_none(trainer: Trainer, seed: int, tmp_path: Path) -> None:
    crashes = random_crashes(seed)
    save_freq = ["epoch", 1, 4][seed % 3]  # at the end of epochs, or inside them too
    assert differences(trainer, tmp_path, crashes, seed, save_freq) == [], (crashes, save_freq)
