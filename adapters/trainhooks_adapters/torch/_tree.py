"""PyTorch's nested states as JSON-able values and numpy arrays, and back as they were.

A tensor becomes an array. What JSON does not tell apart, as a tuple from a list or a dictionary whose keys are numbers,
becomes a dictionary that says what it was under ``"__kind__"``.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from trainhooks import errors

from ._weights import import_torch, to_torch

_KIND: Final = "__kind__"
_MAPPINGS: Final[dict[str, Callable[[Any], Any]]] = {"dict": dict, "Counter": Counter, "OrderedDict": OrderedDict}
_SEQUENCES: Final[dict[str, Callable[[Any], Any]]] = {"tuple": tuple, "set": set}


def pack(value: Any, what: str, leaf: Callable[[Any], Any]) -> Any:
    """``value`` without anything that needs pickle.

    Args:
        value: tensors, arrays, numbers, strings, dtypes, and dictionaries, lists, tuples and sets of these.
        what: whose it is, for the error.
        leaf: makes an array of a tensor.

    Raises:
        WeightsError: something else is in it.
    """
    torch = import_torch()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    kind = type(value).__name__
    if isinstance(value, torch.Tensor):
        if value.layout is torch.strided:
            return leaf(value)
        kind = str(value.layout)
    if kind == "torch.sparse_coo":
        value = value.detach().coalesce()
        return {_KIND: "sparse", "value": [leaf(value.indices()), leaf(value.values()), list(value.shape)]}
    if isinstance(value, np.generic):
        return {_KIND: "scalar", "value": np.array(value)}
    if isinstance(value, np.ndarray):
        return {_KIND: "array", "value": np.array(value)}
    if isinstance(value, torch.dtype):
        return {_KIND: "dtype", "value": str(value).removeprefix("torch.")}
    if isinstance(value, Mapping):
        name = kind if kind in _MAPPINGS else "dict"
        if name == "dict" and _KIND not in value and all(isinstance(key, str) for key in value):
            return {key: pack(one, what, leaf) for key, one in value.items()}
        items = [[pack(key, what, leaf), pack(one, what, leaf)] for key, one in value.items()]
        return {_KIND: name, "value": items}
    if isinstance(value, list):
        return [pack(one, what, leaf) for one in value]
    if isinstance(value, (tuple, set)):
        name = "set" if isinstance(value, set) else "tuple"
        return {_KIND: name, "value": [pack(one, what, leaf) for one in value]}
    raise errors.WeightsError(
        f"run.state_dict(): {what} holds a {kind}, which no file keeps without pickle. "
        "Keep numbers, strings, lists, dictionaries and tensors in it."
    )


def unpack(value: Any, what: str) -> Any:
    """What ``pack`` was given, its tensors on the host."""
    if hasattr(value, "__array__"):
        return to_torch("load_state_dict()", what, value)
    if isinstance(value, list):
        return [unpack(one, what) for one in value]
    if not isinstance(value, Mapping):
        return value
    if _KIND not in value:
        return {key: unpack(one, what) for key, one in value.items()}
    kind, held = value[_KIND], value["value"]
    if kind in ("array", "scalar"):
        return np.array(held)[()] if kind == "scalar" else np.array(held)
    if kind == "dtype":
        return getattr(import_torch(), held)
    if kind == "sparse":
        indices, values = unpack(held[:2], what)
        return import_torch().sparse_coo_tensor(indices, values, held[2], is_coalesced=True, check_invariants=True)
    if kind in _SEQUENCES:
        return _SEQUENCES[kind](unpack(held, what))
    return _MAPPINGS[kind](dict(unpack(held, what)))


def like(own: Any, value: Any) -> Any:
    """Saved settings in the form of those whose place they take: a learning rate that is a tensor here stays one."""
    torch = import_torch()
    if isinstance(own, torch.Tensor):
        if isinstance(value, torch.Tensor):
            return value.to(own.device)
        is_number = isinstance(value, (int, float)) and own.ndim == 0
        return torch.full_like(own, value, requires_grad=False) if is_number else value
    if isinstance(value, torch.Tensor) and isinstance(own, (int, float)):
        return value.item()
    if type(own) is dict and type(value) is dict:
        return {key: like(own.get(key), one) for key, one in value.items()}
    if type(own) is type(value) and isinstance(own, (list, tuple)) and len(own) == len(value):
        return type(value)(like(*pair) for pair in zip(own, value, strict=True))
    return value
