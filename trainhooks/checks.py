"""Numbers as users give them: numpy's as well as Python's, and never a boolean."""

from __future__ import annotations

import operator
from typing import Any


def whole(value: Any) -> int | None:
    """A whole number of any type as an int; None for anything else, booleans included."""
    if isinstance(value, bool):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None


def count(value: Any, what: str, least: int = 0) -> int:
    """A whole number that is at least ``least``.

    Raises:
        ValueError: it is none; ``what`` says how it was given, the message what is needed.
    """
    number = whole(value)
    if number is None or number < least:
        raise ValueError(f"{what}: a whole number, at least {least}")
    return number
