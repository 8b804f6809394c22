"""How many rows a batch has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def rows_of(batch: Any) -> int:
    """The length of the first tensor in a batch, however deep, which weighs its metrics; 1 where there is none."""
    return _rows(batch) or 1


def _rows(value: Any) -> int:
    if isinstance(value, Mapping):
        value = tuple(value.values())
    elif not isinstance(value, (list, tuple)):
        shape: Any = getattr(value, "shape", ())
        return int(shape[0]) if len(shape) else 0
    return next(filter(None, map(_rows, value)), 0)
