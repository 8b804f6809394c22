"""Weights that a callback keeps: its framework's own snapshot while a run is open, arrays in its state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from ..run import Run

    Weights = Mapping[str, np.ndarray[Any, Any]]


def weights_of(run: Run, snapshot: Any) -> Weights | None:
    """A snapshot as arrays by name; None where the trainer shows no weights.

    A snapshot is its framework's own, so that the model lends itself: it holds these weights for a moment.
    """
    if not (run.can("weights") and run.can("snapshot")):
        return None
    now = run.snapshot()
    try:
        run.restore(snapshot)
        return run.get_weights()
    finally:
        run.restore(now)


def snapshot_of(run: Run, weights: Weights) -> Any:
    """Arrays by name as a snapshot; the model lends itself."""
    now = run.snapshot()
    try:
        run.set_weights(weights)
        return run.snapshot()
    finally:
        run.restore(now)


class KeptWeights:
    """One set of weights, or none, in the form that is at hand: a snapshot, arrays, or both of the same."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Keep none."""
        self.snapshot: Any = None
        self.arrays: Weights | None = None
        self.framework: str | None = None
        """Whose they are: neither form fits another framework's model."""

    def keep(self, snapshot: Any, framework: str) -> None:
        """Keep this snapshot in place of what there was."""
        self.snapshot, self.arrays, self.framework = snapshot, None, framework

    def __bool__(self) -> bool:
        return self.snapshot is not None or self.arrays is not None

    def in_form_of(self, run: Run) -> Any:
        """The weights as a snapshot of the run's model; None where there are none, or another framework's."""
        if self.framework != run.framework:
            return None
        if self.snapshot is None and self.arrays is not None:
            self.snapshot = snapshot_of(run, self.arrays)
        return self.snapshot

    def as_arrays(self, run: Run | None) -> Weights | None:
        """The weights by name, as they are now; None where there are none, or they cannot be shown."""
        if self.arrays is None and self.snapshot is not None and run is not None:
            return weights_of(run, self.snapshot)
        return self.arrays

    def settle(self, run: Run) -> None:
        """The run ends: have the arrays ready, since the state can be asked for when the model is gone."""
        self.arrays = self.as_arrays(run)

    def state_dict(self, run: Run | None) -> dict[str, Any]:
        """What a callback puts into its state."""
        return {"weights": self.as_arrays(run), "framework": self.framework}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what ``state_dict`` gave."""
        self.forget()
        if state["weights"] is not None:
            self.arrays = {name: array.copy() for name, array in state["weights"].items()}
            self.framework = state["framework"]
