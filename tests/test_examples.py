"""The scripts of the examples: each runs, leaves its files, and has the very same callbacks."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

SCRIPTS = sorted((Path(__file__).parent.parent / "examples").glob("with_*.py"))
FRAMEWORKS: Mapping[str, tuple[str, ...]] = {
    "with_accelerate": ("accelerate", "torch"),
    "with_fabric": ("lightning", "torch"),
    "with_fastai": ("fastai", "torch"),
    "with_ignite": ("ignite", "torch"),
    "with_jax": ("jax", "optax"),
    "with_keras": ("keras",),
    "with_lightgbm": ("lightgbm",),
    "with_lightning": ("lightning", "torch"),
    "with_nnx": ("flax", "jax", "optax"),
    "with_numpy": (),
    "with_skorch": ("skorch", "torch"),
    "with_torch": ("torch",),
    "with_transformers": ("transformers", "accelerate", "torch"),
    "with_xgboost": ("xgboost",),
}
"""What each script imports beside trainhooks."""
BACKENDS = ("jax", "torch", "tensorflow")
"""Of Keras: the first that is there."""
QUIET = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1") | {
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "CUDA_VISIBLE_DEVICES": "",
    "HF_HUB_OFFLINE": "1",
}
CALLBACKS = (
    'callbacks = [EarlyStopping("val_loss", patience=3), ReduceLROnPlateau("val_loss", patience=1), '
    'ModelCheckpoint("best", save_best_only=True), CSVLogger("log.csv")]'
)
SECONDS = 300
"""None takes a tenth of that: it is for a machine that has much else to do."""


def is_installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def missing(script: Path) -> str | None:
    """The first of what it needs that is not installed."""
    if script.stem == "with_keras" and not any(map(is_installed, BACKENDS)):
        return "a backend of Keras"
    return next((one for one in FRAMEWORKS[script.stem] if not is_installed(one)), None)


def run(script: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    backend = next(filter(is_installed, BACKENDS), "")
    return subprocess.run(
        [sys.executable, str(script)],
        cwd=folder,
        env={**os.environ, **QUIET, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


each = pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)


@each
def test_it_runs_and_leaves_its_log_and_its_best_model(script: Path, tmp_path: Path) -> None:
    if (lacking := missing(script)) is not None:
        pytest.skip(f"{lacking} is not installed")
    ended = run(script, tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    outcome = re.search(r"^(completed|stopped) (\d+) ", ended.stdout, re.MULTILINE)
    assert outcome, f"it is to print how it ended, and it printed {ended.stdout!r}"
    header, *rows = (tmp_path / "log.csv").read_text().splitlines()
    assert "val_loss" in header.split(",") and len(rows) == int(outcome[2])
    best = [path for path in tmp_path.glob("best.*") if path.stat().st_size]
    assert len(best) == 1, sorted(path.name for path in tmp_path.iterdir())


@each
def test_it_is_short_and_has_the_callbacks_of_all_others(script: Path) -> None:
    lines = script.read_text(encoding="utf-8").splitlines()
    assert len(lines) < 40
    assert [line for line in lines if line.startswith("callbacks =")] == [CALLBACKS]
    assert "from trainhooks.callbacks import CSVLogger, EarlyStopping, ModelCheckpoint, ReduceLROnPlateau" in lines


def test_the_table_has_every_script() -> None:
    assert {script.stem for script in SCRIPTS} <= set(FRAMEWORKS)
