"""Where an engine begins and where it ends, as its state says it."""

from __future__ import annotations

import warnings
from typing import Any


def is_done(state: Any) -> bool:
    """Whether it was to end after so many iterations, and has."""
    last = getattr(state, "max_iters", None)
    return last is not None and state.iteration >= last


def begin_at(first: int, state: Any, stopped: bool) -> None:
    """Have the engine, which has just started, begin at an epoch of its own choice: it looks at its state next."""
    if state.max_epochs is not None and first >= state.max_epochs and not stopped:
        warnings.warn(
            f"engine.run(max_epochs={state.max_epochs}): the run that goes on has {first} epochs behind it, so that "
            "none is left to train. Ask for more, or begin anew without its state.",
            stacklevel=2,
        )
    if state.epoch != first:
        # of data without a length the iterations before are not counted: it finds the length out by its count
        state.epoch, state.iteration = first, first * (state.epoch_length or 0)
