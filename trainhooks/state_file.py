"""A state in one file: JSON-able values and numpy arrays, nested as they like; nothing is unpickled, ever."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from . import store
from .errors import StateFileError

_ARRAY: Final = "__array__"
_ITEMS: Final = "__items__"
_KEY: Final = "trainhooks_state"


def save_state(path: str | os.PathLike[str], state: Mapping[str, Any]) -> None:
    """Write what ``run.state_dict()`` gave, atomically: arrays as safetensors, all else as JSON in its header.

    Tuples come back as lists, numpy's scalars as Python's.

    Raises:
        TypeError: something in it is neither JSON-able nor an array that the format holds. Nothing was written.
        OSError: as for ``store.write_atomically``.
    """
    arrays: dict[str, Any] = {}
    text = json.dumps(_packed(state, "state", arrays))
    store.save_arrays(path, arrays, {_KEY: text})


def load_state(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What ``save_state`` wrote.

    Raises:
        StateFileError: the file is damaged, or holds something else.
        OSError: it cannot be read.
    """
    try:
        text = store.load_metadata(path).get(_KEY)
        arrays = store.load_arrays(path)
    except ValueError as error:
        raise StateFileError(f"{os.fspath(path)!r} is damaged, or holds no state of a run: {error}") from error
    if text is None:
        raise StateFileError(f"{os.fspath(path)!r} holds no state of a run. Give a file that save_state wrote.")
    try:
        state = _unpacked(json.loads(text), arrays)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise StateFileError(f"{os.fspath(path)!r} is damaged: its header and its arrays do not fit") from error
    return dict(state)


def _packed(value: Any, where: str, arrays: dict[str, Any]) -> Any:
    """``value`` as JSON has it; arrays go into ``arrays``, and their names stand for them."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic) and value.dtype.kind in "biuf":
        return value.item()
    if isinstance(value, np.ndarray):
        name = f"{len(arrays)}:{where}"  # numbered: the path alone may stand for two
        arrays[name] = value
        return {_ARRAY: name}
    if isinstance(value, Mapping):
        if all(isinstance(key, str) for key in value) and not value.keys() & {_ARRAY, _ITEMS}:
            return {key: _packed(one, f"{where}/{key}", arrays) for key, one in value.items()}
        pairs = enumerate(value.items())
        return {_ITEMS: [[_plain(key, where), _packed(one, f"{where}/{i}", arrays)] for i, (key, one) in pairs]}
    if isinstance(value, (list, tuple)):
        return [_packed(one, f"{where}/{i}", arrays) for i, one in enumerate(value)]
    raise TypeError(f"save_state(): {where} is a {type(value).__name__}; a state holds JSON-able values and arrays")


def _plain(key: Any, where: str) -> Any:
    if not isinstance(key, (str, int, float, bool)):
        raise TypeError(f"save_state(): {key!r} is a key in {where}; a key is a string or a number")
    return key


def _unpacked(value: Any, arrays: Mapping[str, Any]) -> Any:
    if isinstance(value, list):
        return [_unpacked(one, arrays) for one in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {_ARRAY}:
        return arrays[value[_ARRAY]]
    if value.keys() == {_ITEMS}:
        return {key: _unpacked(one, arrays) for key, one in value[_ITEMS]}
    return {key: _unpacked(one, arrays) for key, one in value.items()}
