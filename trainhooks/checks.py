"""Numbers as users give them: numpy's as well as Python's, and never a boolean."""

from __future__ import annotations

import operator
from numbers import Real
from typing import Any


def whole(value: Any) -> int | None:
    """A whole number of any type as an int; None for anything else, booleans included."""
    if isinstance(value, bool):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None


def is_number(value: Any) -> bool:
    """Whether it is a real number of any type; a boolean is none."""
    return isinstance(value, Real) and not isinstance(value, bool)


def count(value: Any, what: str, least: int = 0) -> int:
    """A whole number that is at least ``least``.

    Raises:
        ValueError: it is none; ``what`` says how it was given, the message what is needed.
    """
    number = whole(value)
    if number is None or number < least:
        raise ValueError(f"{what}: a whole number, at least {least}")
    return number
