"""Small numpy models: how they can be made, data for them, and whether two states are the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from trainhooks.numpy_model import MLP

OPTIMIZERS: list[dict[str, Any]] = [
    {"optimizer": "sgd", "lr": 0.1},
    {"optimizer": "sgd", "lr": 0.1, "momentum": 0.9},
    {"optimizer": "adam", "lr": 0.01},
]
Batch = tuple[np.ndarray, np.ndarray]


def batches(count: int, *, loss: str = "cross_entropy", seed: int = 0) -> list[Batch]:
    """Batches of 8 rows for a model of sizes (5, ..., 3)."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 8, 5)).astype(np.float32)
    y = rng.integers(3, size=(count, 8)) if loss == "cross_entropy" else rng.normal(size=(count, 8, 3))
    return list(zip(x, y, strict=True))


def train(model: MLP, data: list[Batch]) -> list[dict[str, float]]:
    """Train on these batches in turn; the metrics of each."""
    return [model.train_step(batch) for batch in data]


def same(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Whether two states are equal to the bit, in names, dtypes and values."""
    return list(a) == list(b) and all(
        np.asarray(a[name]).dtype == np.asarray(b[name]).dtype and np.array_equal(a[name], b[name]) for name in a
    )
