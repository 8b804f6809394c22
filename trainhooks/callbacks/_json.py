"""JSON of what logs may hold, valid whatever they hold: standard JSON has no NaN, and knows no array."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def dumps(value: Any) -> str:
    """The JSON of ``value`` on one line, in ASCII.

    NaN and the infinities become the strings ``"NaN"``, ``"Infinity"`` and ``"-Infinity"``, which ``float`` reads;
    numpy's and the frameworks' numbers and arrays become numbers and lists; what JSON cannot hold becomes its ``str``.
    """
    try:
        return json.dumps(plain(value), allow_nan=False)
    except RecursionError:  # a list that holds itself
        return json.dumps(str(value))


def plain(value: Any) -> Any:
    """``value`` as the types that JSON has."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(one) for one in value]
    return _foreign(value)


def _foreign(value: Any) -> Any:
    """One of numpy's or a framework's values, or any object at all."""
    if isinstance(value, (bytes, bytearray)):  # float() would read digits off them
        return str(value)
    if not hasattr(value, "tolist") and hasattr(value, "numpy"):  # TensorFlow's
        value = value.numpy()
    if hasattr(value, "tolist"):
        listed = value.tolist()
        if type(listed) is not type(value):  # numpy's longdouble and bfloat16 give themselves
            return plain(listed)
    try:
        return _number(float(value))
    except (TypeError, ValueError, OverflowError):
        return str(value)


def _number(value: float) -> float | str:
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    return float(value)  # a subclass may write itself as something else


def is_object(line: bytes) -> bool:
    """Whether a line is a whole JSON object."""
    return parsed(line) is not None


def parsed(line: bytes) -> dict[str, Any] | None:
    """The JSON object of a line; None where it is none."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
