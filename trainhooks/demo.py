"""The demo: the same callbacks steer a small network on the digits, in any framework that is installed."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .callback import Callback
from .callbacks import CSVLogger, EarlyStopping, History, ModelCheckpoint, ProgbarLogger, ReduceLROnPlateau
from .callbacks._by_name import left_out
from .datasets import digits
from .errors import FrameworkNotInstalledError, did_you_mean, framework_not_installed, listing
from .plugins import ask, frameworks

MAX_EPOCHS = 100


@dataclass(frozen=True)
class Report:
    """How one training went. Epochs count from 1 here, as people count them."""

    framework: str
    outcome: str
    stop_reason: str | None
    stop_source: str | None
    epochs: int
    best_epoch: int
    val_accuracy: float
    val_loss: float
    lr: float
    files: list[str]

    def text(self) -> str:
        """What the demo says in the end."""
        why = f"{self.stop_source}: {self.stop_reason}" if self.stop_source else self.outcome
        lines = [
            f"{self.framework}: {self.outcome} after epoch {self.epochs}. {why}.",
            f"Best epoch: {self.best_epoch}, with a validation accuracy of {self.val_accuracy:.4f}. "
            f"The learning rate ended at {self.lr:g}.",
            "Files:",
            *(f"  {path}" for path in self.files),
        ]
        return "\n".join(lines)


def trainers() -> dict[str, Callable[..., Any]]:
    """The trainers of every framework that is installed, by name."""
    found: dict[str, Callable[..., Any]] = {}
    for _, offered in ask("trainhooks_demos"):
        found = {**offered, **found}
    return found


def resolve(name: str) -> str:
    """The trainer that ``name`` means: ``keras`` is the backend that ``KERAS_BACKEND`` names, or the first there is.

    Raises:
        FrameworkNotInstalledError: an adapter serves it, and it is not installed.
        ValueError: there is none of that name.
    """
    known = trainers()
    if name in known:
        return name
    variants = [one for one in known if one.startswith(f"{name}-")]
    wanted = f"{name}-{os.environ.get('KERAS_BACKEND')}"
    if variants:
        return wanted if wanted in variants else variants[0]
    if name in frameworks():
        raise framework_not_installed(name, name)
    choices = [*known, "all"]
    raise ValueError(f"--framework {name}: there are {listing(choices)}.{did_you_mean(name, choices)}{left_out()}")


def train(framework: str, folder: Path, *, progress: bool = True, seed: int = 0) -> Report:
    """Train with the demo's callbacks, and say how it went.

    Args:
        framework: the name of a trainer, as ``resolve`` gives it.
        folder: where the files go.
        progress: show a progress bar.
        seed: of the weights and of the order of the data.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stopping = EarlyStopping(monitor="val_loss", patience=6, restore_best_weights=True)
    plateau = ReduceLROnPlateau(monitor="val_loss", factor=0.5, patience=3)
    checkpoint = ModelCheckpoint(folder / "best.safetensors", monitor="val_loss", save_best_only=True)
    log, history = CSVLogger(folder / "log.csv"), History()
    callbacks: list[Callback] = [stopping, plateau, checkpoint, log, history]
    if progress:
        callbacks.append(ProgbarLogger())
    training, validation = digits()
    run = trainers()[framework](training, validation, callbacks, MAX_EPOCHS, seed)
    files = [folder / "best.safetensors", folder / "log.csv"]
    with contextlib.suppress(FrameworkNotInstalledError):  # the picture needs matplotlib, which is an extra
        history.plot(path=folder / "history.png")
        files.append(folder / "history.png")
    best = run.history[stopping.best_epoch].logs
    return Report(
        framework=framework,
        outcome=run.outcome,
        stop_reason=run.stop_reason,
        stop_source=run.stop_source,
        epochs=run.epochs_done,
        best_epoch=stopping.best_epoch + 1,
        val_accuracy=best["val_accuracy"],
        val_loss=best["val_loss"],
        lr=run.history[-1].logs["learning_rate"],
        files=[str(path) for path in files],
    )


def train_all(folder: Path, say: Callable[[str], None], *, seed: int = 0) -> list[Report]:
    """Train in every installed framework, each in a process of its own, since Keras keeps its first backend.

    Args:
        folder: where the files go, a folder for each.
        say: told what is begun.
        seed: as for ``train``.

    Raises:
        RuntimeError: one of them failed; its output is the message.
    """
    reports = []
    for framework in trainers():
        say(f"training with {framework} ...")
        command = [sys.executable, "-m", "trainhooks", "demo", "--framework", framework, "--json"]
        command += ["--out", str(folder), "--seed", str(seed)]
        done = subprocess.run(command, capture_output=True, text=True, errors="backslashreplace", check=False)
        if done.returncode:
            raise RuntimeError(f"{framework} failed:\n{done.stderr}")
        try:
            reports.append(Report(**json.loads(done.stdout)))
        except ValueError as error:  # written past Python, by a library or a child of its
            raise RuntimeError(
                f"{framework}: its report cannot be read, for this stands in it:\n{done.stdout}"
            ) from error
    return reports


def table(reports: Iterable[Report]) -> str:
    """The reports side by side."""
    head = ("framework", "outcome", "epochs", "best epoch", "val_accuracy", "val_loss", "last lr")
    rows = [
        (
            one.framework,
            f"{one.outcome} by {one.stop_source}" if one.stop_source else one.outcome,
            str(one.epochs),
            str(one.best_epoch),
            f"{one.val_accuracy:.4f}",
            f"{one.val_loss:.4f}",
            f"{one.lr:g}",
        )
        for one in reports
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [head, tuple("-" * width for width in widths), *rows]
    padded = (zip(line, widths, strict=True) for line in lines)
    return "\n".join("  ".join(cell.ljust(width) for cell, width in cells).rstrip() for cells in padded)
