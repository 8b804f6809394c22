"""Linear: the model that comes with the trainer."""

from __future__ import annotations

from typing import Any

import numpy as np

Arrays = dict[str, Any]
"""Arrays by name."""


class Linear:
    """A linear map that is fitted to numbers by its mean squared error.

    The trainer takes any model with these three methods and ``params``.

    Args:
        inputs: numbers in a row of ``x``.
        outputs: numbers in a row of ``y``.
        seed: of the first weights.
    """

    def __init__(self, inputs: int, outputs: int = 1, seed: int = 0) -> None:
        first = np.random.default_rng(seed).normal(size=(inputs, outputs)).astype(np.float32)
        self.params: Arrays = {"kernel": first, "bias": np.zeros(outputs, np.float32)}

    def predict(self, x: Any) -> Any:
        """The outputs, a row for each of ``x``."""
        return x @ self.params["kernel"] + self.params["bias"]

    def metrics(self, x: Any, y: Any) -> dict[str, float]:
        """What is reported of a batch, as means over its rows."""
        error = self.predict(x) - y
        return {"loss": float((error**2).mean()), "mae": float(np.abs(error).mean())}

    def gradients(self, x: Any, y: Any) -> tuple[dict[str, float], Arrays]:
        """The metrics of a batch, and the gradient of its loss by the name of the parameter."""
        slope = 2 * (self.predict(x) - y) / y.size
        return self.metrics(x, y), {"kernel": x.T @ slope, "bias": slope.sum(axis=0)}
