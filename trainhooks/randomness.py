"""The random generators of the process: Python's, numpy's global one, and those of the framework.

A generator that the user made, as ``np.random.default_rng(0)``, is the user's own to keep. JAX has none: its keys are
values.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .trainable import Trainable


def random_states(trainable: Trainable, loader: Any = None) -> dict[str, Any]:
    """Where the generators are now; taken as each pass begins, so ``listed`` makes it JSON-able when it is asked for.

    Args:
        trainable: knows its framework's generators.
        loader: whose own generators are kept along, where the framework knows them.
    """
    import random  # here, so that `import trainhooks` stays cheap

    return {
        "python": random.getstate(),
        "numpy": np.random.get_state(legacy=False),
        "framework": trainable.framework,
        "own": trainable.random_state(loader),
    }


def set_random_states(states: Mapping[str, Any], trainable: Trainable, loader: Any = None) -> None:
    """Put the generators where they were; another framework's are left alone."""
    import random

    version, words, gauss = states["python"]
    random.setstate((version, tuple(words), gauss))
    np.random.set_state(states["numpy"])
    if states["framework"] == trainable.framework:
        trainable.load_random_state(states["own"], loader)


def listed(states: Mapping[str, Any]) -> dict[str, Any]:
    """The same, JSON-able; a framework's own may be numpy arrays."""
    return {**states, "numpy": _as_lists(states["numpy"])}


def _as_lists(state: Any) -> Any:
    if isinstance(state, dict):
        return {name: _as_lists(value) for name, value in state.items()}
    return state.tolist() if isinstance(state, (np.ndarray, np.generic)) else state
