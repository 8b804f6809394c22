"""Whether a state is finite: the arrays in what ``Trainable.state_dict`` gives, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np


def arrays_of(state: Any, name: str = "") -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    """The arrays of floats in a nested state, with their names, as ``"model/layer0/kernel"``."""
    if isinstance(state, Mapping):
        for key, value in state.items():
            yield from arrays_of(value, f"{name}/{key}" if name else str(key))
    elif isinstance(state, (list, tuple)):
        for number, value in enumerate(state):
            yield from arrays_of(value, f"{name}/{number}")
    elif hasattr(state, "__array__"):
        array = np.asarray(state)
        if array.dtype.kind in "fcV":  # numpy calls bfloat16 V
            yield name, array


def first_nan(state: Any) -> str | None:
    """The name of the first array with a NaN in it."""
    return next((name for name, array in arrays_of(state) if _any(np.isnan, array)), None)


def infinite(state: Any) -> set[str]:
    """The names of the arrays with an infinity in them."""
    return {name for name, array in arrays_of(state) if _any(np.isinf, array)}


def _any(test: Any, array: np.ndarray[Any, Any]) -> bool:
    try:
        return bool(test(array).any())
    except TypeError:  # a dtype of bytes, or of integers that numpy lacks
        return False
