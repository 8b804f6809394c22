"""Arguments as users give them: numbers, numpy's as well as Python's and never a boolean; names; paths."""

from __future__ import annotations

import operator
import os
import reprlib
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
    """Whether it is a real number of any type; a boolean is none, nor is what no float can be as large as."""
    if not isinstance(value, Real) or isinstance(value, bool):
        return False
    try:
        float(value)
    except OverflowError:
        return False
    return True


def count(value: Any, what: str, least: int = 0) -> int:
    """A whole number that is at least ``least``.

    Raises:
        ValueError: it is none; ``what`` says how it was given, the message what is needed.
    """
    number = whole(value)
    if number is None or number < least:
        raise ValueError(f"{what}: a whole number, at least {least}")
    return number


def metric_name(value: Any, who: str) -> str:
    """The name of a metric, as a callback's argument ``monitor``.

    Raises:
        TypeError: it is no string.
        ValueError: it is empty.
    """
    if isinstance(value, str) and value:
        return value
    kind = ValueError if isinstance(value, str) else TypeError
    raise kind(f"{who}(monitor={reprlib.repr(value)}): the name of a metric, as 'val_loss'")


def path_of(value: Any, who: str, argument: str, what: str = "file") -> str:
    """The name of a file or folder, as text; it need not be there.

    Args:
        value: as it was given: a text, or a path as ``pathlib``'s.
        who: the callback, as messages call it.
        argument: whose value it is.
        what: what it is the name of.

    Raises:
        TypeError: it is no such thing.
        ValueError: it is empty.
    """
    text = os.fspath(value) if isinstance(value, os.PathLike) else value
    if isinstance(text, str) and text:
        return text
    kind = ValueError if isinstance(text, str) else TypeError
    raise kind(f"{who}({argument}={reprlib.repr(value)}): the name of a {what}")
