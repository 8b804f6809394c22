"""A training under Hugging Face's Trainer that a test kills, and goes on with: run as a script it dies in epoch 3.

python transformers_run.py
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from bench_transformers import TransformersBench

import trainhooks
from trainhooks import Callback
from trainhooks.callbacks import BackupAndRestore, CSVLogger, EarlyStopping, ReduceLROnPlateau
from trainhooks.testing import Do

HISTORY = [{"loss": 1.0, "val_loss": value} for value in (1.0, 0.5, 0.75, 1.0, 0.625, 2.0, 2.0)]
"""EarlyStopping with a patience of 4 stops after six epochs; ReduceLROnPlateau with 2 acts after four and six."""


def train(
    *callbacks: Callback,
    resume_from_checkpoint: Any = None,
    resume: Any = None,
    resume_stopped: bool = False,
    **changed: Any,
) -> Any:
    """A run of a new model, with callbacks that remember; what is in ``changed`` is given to its arguments."""
    bench = TransformersBench()
    bench.model.script.history = HISTORY
    trainer = bench.make(**({"num_train_epochs": len(HISTORY), "output_dir": "native"} | changed))
    deciding = [EarlyStopping("val_loss", patience=4), ReduceLROnPlateau("val_loss", patience=2), CSVLogger("log.csv")]
    options = {"resume": resume, "resume_stopped": resume_stopped, "plugins": "none"}
    wrapped = trainhooks.wrap(trainer, callbacks=[*deciding, *callbacks], **options)
    wrapped.train(resume_from_checkpoint=resume_from_checkpoint)
    return wrapped


def seen(wrapped: Any) -> Any:
    """What a run ends with."""
    run = wrapped.run
    lrs = [group["lr"] for group in wrapped.optimizer.param_groups]
    weights = {name: value.tolist() for name, value in wrapped.model.state_dict().items()}
    losses = [(record.epoch, record.logs["loss"], record.logs["val_loss"]) for record in run.history]
    return run.outcome, run.stop_reason, run.epochs_done, run.step, lrs, losses, weights, Path("log.csv").read_text()


if __name__ == "__main__":
    die = Do("train_batch_begin", lambda run: os._exit(9), nth=7)
    train(BackupAndRestore("backup"), die, save_strategy="epoch")
    sys.exit("it lived")
