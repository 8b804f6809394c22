"""JSON from a file that somebody may have tampered with: no key twice, no depth or number without bounds."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from .plain_file import DamageError

_DEEPEST: Final = 400
_LONGEST_NUMBER: Final = 20
"""Digits of a whole number; what is larger, ``state_tree`` writes as text."""


def parsed(data: bytes) -> Any:
    """What a JSON text holds.

    Raises:
        DamageError: it is none, or one that we do not write.
    """
    try:
        text = data.decode()
        if _depth(text) > _DEEPEST:
            raise DamageError(f"is nested more than {_DEEPEST} deep")
        return json.loads(text, object_pairs_hook=_unique, parse_int=_whole, parse_constant=_constant)
    except UnicodeDecodeError:
        raise DamageError("is no UTF-8") from None
    except json.JSONDecodeError as error:
        raise DamageError(f"is no JSON ({error.msg} at {error.pos})") from None
    except RecursionError:
        raise DamageError("is nested too deep") from None


def _depth(text: str) -> int:
    """How deep the brackets go. The parser itself would run out of stack where a program has raised Python's limit."""
    if text.count("[") + text.count("{") <= _DEEPEST:
        return 0
    outside = "".join(text.replace("\\\\", "").replace('\\"', "").split('"')[::2])
    depth = deepest = 0
    for bracket in re.findall(r"[\[\]{}]", outside):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise DamageError("holds a name twice")
    return made


def _whole(digits: str) -> int:
    if len(digits) > _LONGEST_NUMBER:
        raise DamageError(f"holds a number of {len(digits)} digits")
    return int(digits)


def _constant(name: str) -> Any:
    raise DamageError(f"holds {name}, which is no JSON")
