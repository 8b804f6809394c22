"""RunState: what a run adds to a checkpoint that somebody else writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

import trainhooks

from ._weights import import_torch, to_numpy, to_torch


class RunState:
    """The state of a run without what is trained, for a checkpoint that holds model and optimizer already::

        run = wrap(accelerator, model=model, optimizer=optimizer, callbacks=[...])
        accelerator.register_for_checkpointing(RunState(run))

    It has counts, history, the stop, and what each callback knows, as patience and bests: tensors and plain values,
    which ``torch.load(weights_only=True)`` reads. Weights, optimizer, schedulers and (between epochs) the random
    generators are left to whoever writes the checkpoint.

    Args:
        run: what ``wrap`` gave, or a run that an adapter drives. Its state is loaded before it begins.
    """

    def __init__(self, run: trainhooks.LoopRun | trainhooks.Run) -> None:
        self.run = run

    def state_dict(self) -> dict[str, Any]:
        """As ``run.state_dict()``; take it where that can be taken: at the end of an epoch or of a batch."""
        state = {**self.run.state_dict(), "trainable": None}
        if state["inside"] is None:
            state["random"] = None
        return _mapped(state, np.ndarray, lambda array: to_torch("RunState.state_dict()", "an array", array))  # type: ignore[no-any-return]

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what ``state_dict`` gave.

        Raises:
            LoopError: the run has begun.
        """
        self.run.load_state_dict(_mapped(state, import_torch().Tensor, to_numpy))


def _mapped(value: Any, kind: type, change: Any) -> Any:
    """``value`` with what is of this kind changed, and numpy's numbers made Python's."""
    if isinstance(value, kind):
        return change(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {key: _mapped(one, kind, change) for key, one in value.items()}
    return [_mapped(one, kind, change) for one in value] if isinstance(value, (list, tuple)) else value
