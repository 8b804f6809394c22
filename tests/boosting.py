"""What the tests of the boosting adapters share: the decisions of callbacks, and where they are compared."""

from __future__ import annotations

import contextlib
import io
import math
import os
import subprocess
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from trainhooks import Run
from trainhooks.callbacks import CSVLogger, EarlyStopping, ModelCheckpoint, ReduceLROnPlateau
from trainhooks.testing import Bench, Do, ReferenceBench

EIGHTHS = st.integers(1, 16).map(lambda value: value / 8) | st.sampled_from([math.nan, math.inf])
HISTORIES = st.lists(st.fixed_dictionaries({"loss": EIGHTHS, "val_loss": EIGHTHS}), min_size=1, max_size=6)


class RoundReference(ReferenceBench):
    """The reference loop, with one batch in each epoch."""

    batches = 1


def decisions(bench: Bench, history: Sequence[dict[str, float]], folder: Path) -> dict[str, Any]:
    """What callbacks have decided in a run, and the files that they left."""
    folder.mkdir()
    before = os.getcwd()
    os.chdir(folder)
    rates: list[float] = []
    noted = Do("epoch_end", lambda run: rates.append(run.lr), nth=None)
    noted.phase = "save"
    stopping = EarlyStopping("val_loss", patience=2)
    saving = ModelCheckpoint("best-{epoch}", save_best_only=True)
    callbacks = [Do("train_begin", _half), stopping, ReduceLROnPlateau("val_loss", factor=0.5, patience=1), saving]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            run = bench.train(history, [*callbacks, CSVLogger("log.csv"), noted])
        return {
            "run": (run.epochs_done, run.step, run.outcome, run.stop_reason),
            "stopping": (stopping.best, stopping.best_epoch, stopping.stopped_epoch),
            "rates": rates,
            "saved": sorted(path.stem for path in Path().glob("best-*")),
            "log": Path("log.csv").read_text(),
        }
    finally:
        os.chdir(before)


def _half(run: Run) -> None:
    run.lr = 0.5


def lived(script: str, folder: Path, kill: int | None = None) -> str:
    """What ``script`` prints in ``folder``; with ``kill``, which it sees, in a process of its own that it ends by 9."""
    folder.mkdir(exist_ok=True)
    if kill is not None:
        command = [sys.executable, "-W", "ignore", "-c", f"kill = {kill}\n{script}"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 9, done.stderr
        return done.stdout
    before, printed = os.getcwd(), io.StringIO()
    os.chdir(folder)
    try:
        with contextlib.redirect_stdout(printed), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exec(script, {"kill": None})
    finally:
        os.chdir(before)
    return printed.getvalue()
