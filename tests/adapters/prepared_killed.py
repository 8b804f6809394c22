"""A training that is killed in the midst of its third epoch: ``python prepared_killed.py <bench> <folder>``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from trainhooks.callbacks import BackupAndRestore, CSVLogger, EarlyStopping, ReduceLROnPlateau
from trainhooks.testing import Do

HISTORY = [{"loss": 1.0, "val_loss": value} for value in (1.0, 0.5, 0.75, 0.75, 0.75, 0.75)]


def callbacks(folder: Path) -> list[Any]:
    return [
        EarlyStopping("val_loss", patience=3),
        ReduceLROnPlateau("val_loss", patience=1),
        CSVLogger(folder / "log.csv", append=True),
        BackupAndRestore(folder / "backup", save_freq=1, delete_checkpoint=False),
    ]


if __name__ == "__main__":
    name, given = sys.argv[1:]
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    if name == "accelerate":
        from bench_accelerate import AccelerateBench as Made
    else:
        from bench_fabric import FabricBench as Made  # type: ignore[assignment]
    Made().train(HISTORY, [*callbacks(Path(given)), Do("train_batch_begin", lambda run: os._exit(9), nth=5)])
