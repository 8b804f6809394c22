"""A state as JSON and arrays: nested dicts and lists of plain values, in which a name stands for each array.

What JSON has no word for is a dict of one marked key: ``__array__`` (a name), ``__items__`` (the pairs of a dict whose
keys are not all text), ``__float__`` (nan, inf, -inf), ``__int__`` (a whole number of more than 64 bits, in base 16).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from .plain_file import DamageError

ARRAY: Final = "__array__"
_ITEMS: Final = "__items__"
_FLOAT: Final = "__float__"
_INT: Final = "__int__"
_MARKS: Final = frozenset({ARRAY, _ITEMS, _FLOAT, _INT})
_FLOATS: Final = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
_DEEPEST: Final = 100


class Packed:
    """A state taken apart.

    Attributes:
        tree: JSON-able.
        arrays: by the names that stand for them in the tree; one that says its shape and dtype may come when asked.
        places: where in the state each of them was.
    """

    def __init__(self, value: Any, where: str, who: str) -> None:
        self.arrays: dict[str, Any] = {}
        self.places: dict[str, str] = {}
        self._references: dict[str, dict[str, Any]] = {}
        self._who = who
        self.tree = self._pack(value, where, 0)

    def note(self, told: Mapping[str, Mapping[str, Any]]) -> None:
        """Have the tree say more of some arrays."""
        for name, more in told.items():
            self._references[name].update(more)

    def _pack(self, value: Any, where: str, depth: int) -> Any:
        if depth > _DEEPEST:
            raise TypeError(f"{self._who}: {where[:80]}... is nested more than {_DEEPEST} deep, or holds itself")
        plain = _scalar(value)
        if plain is not value or value is None or isinstance(value, (bool, int, float, str)):
            return plain
        if isinstance(value, Mapping):
            if all(isinstance(key, str) for key in value) and not value.keys() & _MARKS:
                return {str(key): self._pack(one, f"{where}/{key}", depth + 1) for key, one in value.items()}
            pairs = [(key, self._pack(one, f"{where}/{key}", depth + 1)) for key, one in value.items()]
            return {_ITEMS: [[self._key(key, where), one] for key, one in pairs]}
        if isinstance(value, (list, tuple)):
            return [self._pack(one, f"{where}/{i}", depth + 1) for i, one in enumerate(value)]
        if hasattr(value, "__array__") and not isinstance(value, type):
            return self._array(value, where)
        raise TypeError(f"{self._who}: {where} is a {type(value).__name__}; a state holds JSON-able values and arrays")

    def _array(self, value: Any, where: str) -> dict[str, Any]:
        # numbered: the place alone may stand for two; cut, and of what UTF-8 can hold: it is there to be read by people
        name = f"{len(self.arrays)}:{where[-100:]}".encode(errors="replace").decode()
        late = hasattr(value, "shape") and isinstance(getattr(value, "dtype", None), np.dtype)
        self.arrays[name], self.places[name] = value if late else np.asarray(value), where
        self._references[name] = {ARRAY: name}
        return self._references[name]

    def _key(self, key: Any, where: str) -> Any:
        plain = _scalar(key)
        if plain is not key or isinstance(key, (str, int, float)):
            return plain
        raise TypeError(f"{self._who}: {key!r} is a key in {where}; a key is a string or a number")


def _scalar(value: Any) -> Any:
    """A plain value, or one of numpy, as JSON has it; anything else as it is."""
    if isinstance(value, np.generic) and value.dtype.kind in "biufV" and value.dtype.names is None:
        number = value.item()  # of a long float numpy's own comes back, which is left to be an array
        value = number if isinstance(number, (bool, int, float)) else value
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        number = int(value)
        return number if -(1 << 63) <= number < 1 << 64 else {_INT: hex(number)}
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {_FLOAT: repr(float(value))}
    return value


def references(tree: Any) -> dict[str, dict[str, Any]]:
    """The names of the arrays in a tree that was read, and what else is said of them.

    Raises:
        DamageError: a name stands in two places, or for nothing.
    """
    found: dict[str, dict[str, Any]] = {}
    left = [tree]
    while left:
        value = left.pop()
        if isinstance(value, list):
            left.extend(value)
        elif isinstance(value, dict) and ARRAY in value:
            name = value[ARRAY]
            more = {key: one for key, one in value.items() if key != ARRAY}
            if not isinstance(name, str) or name in found or more.keys() not in (set(), {"dtype", "shape"}):
                raise DamageError("names an array twice, or otherwise than we do")
            found[name] = more
        elif isinstance(value, dict):
            left.extend(value.values())
    return found


def unpacked(tree: Any, arrays: Mapping[str, Any]) -> Any:
    """The state that was packed.

    Raises:
        DamageError: the tree is not one that we wrote.
    """
    try:
        return _unpack(tree, arrays)
    except RecursionError:
        raise DamageError("is nested too deep") from None


def _unpack(value: Any, arrays: Mapping[str, Any]) -> Any:
    if isinstance(value, list):
        return [_unpack(one, arrays) for one in value]
    if not isinstance(value, dict):
        return value
    mark = next(iter(value.keys() & _MARKS), None)
    if mark is None:
        return {key: _unpack(one, arrays) for key, one in value.items()}
    if mark == ARRAY:
        return arrays[value[ARRAY]]
    content = value[mark]
    if len(value) > 1:
        raise DamageError(f"holds {mark!r} beside other keys")
    if mark == _ITEMS:
        return _items(content, arrays)
    if mark == _FLOAT and isinstance(content, str) and content in _FLOATS:
        return _FLOATS[content]
    if mark == _INT and isinstance(content, str):
        try:
            return int(content, 16)
        except ValueError:
            pass
    raise DamageError(f"holds {mark!r} of what is none")


def _items(pairs: Any, arrays: Mapping[str, Any]) -> dict[Any, Any]:
    made = {}
    if not isinstance(pairs, list):
        raise DamageError(f"holds {_ITEMS!r} of what is none")
    for pair in pairs:
        if not isinstance(pair, list) or len(pair) != 2:
            raise DamageError(f"holds {_ITEMS!r} of what are no pairs")
        key = pair[0]
        if isinstance(key, dict) and key.keys() <= {_FLOAT, _INT}:
            key = _unpack(key, {})
        if not isinstance(key, (str, int, float)) or key in made:
            raise DamageError("holds a key twice, or one that can be none")
        made[key] = _unpack(pair[1], arrays)
    return made
