"""Weights by name: the entries of a ``state_dict()``, as numpy arrays and back, and whether they fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from trainhooks import errors

Array = np.ndarray[Any, Any]


def import_torch() -> Any:
    """``torch``, or the error that names the extra to install."""
    with errors.importing("torch", "torch"):
        import torch
    return torch


def unwrapped(model: Any) -> Any:
    """The module that data parallelism, averaging and compilation have around it."""
    torch = import_torch()
    around = (torch.nn.DataParallel, torch.nn.parallel.DistributedDataParallel, torch.optim.swa_utils.AveragedModel)
    while True:
        if isinstance(model, around):
            model = model.module
        elif isinstance(inner := getattr(model, "_orig_mod", None), torch.nn.Module):  # torch.compile's, 2.0 to 2.13
            model = inner
        else:
            return model


def tensors_of(state: Mapping[str, Any]) -> dict[str, Any]:
    """The weights in a ``state_dict()``; what ``get_extra_state`` gave may be a tensor too, and is none."""
    kind = import_torch().Tensor
    return {
        key: one for key, one in state.items() if isinstance(one, kind) and key.rpartition(".")[2] != "_extra_state"
    }


def plain_names(state: Mapping[str, Any]) -> dict[str, str]:
    """For the name of each weight its key in ``state``."""
    return names_of(tensors_of(state))


def names_of(keys: Iterable[str]) -> dict[str, str]:
    """For the name of each key the key: what wrappers put into it is taken off, save where two would have one name."""
    plain = {key: _plain(key) for key in keys}
    count = Counter(plain.values())
    return {name if count[name] == 1 else key: key for key, name in plain.items()}


def _plain(key: str) -> str:
    parts = [part for part in key.split(".") if part != "_orig_mod"]  # torch.compile, of a part of the model as well
    while parts[0] == "module" and len(parts) > 1:  # DistributedDataParallel, DataParallel, AveragedModel
        del parts[0]
    return ".".join(parts)


def to_numpy(tensor: Any) -> Array:
    """A copy on the host; ml_dtypes or float32 for what numpy lacks."""
    try:
        array: Array = tensor.numpy(force=True)
        return np.array(array) if tensor.device.type == "cpu" else array  # on the CPU it is the live memory
    except TypeError:
        kind = getattr(_ml_dtypes(), str(tensor.dtype).removeprefix("torch."), None)
    if kind is None:
        return np.array(tensor.float().numpy(force=True))
    torch = import_torch()
    bits = torch.int16 if tensor.element_size() == 2 else torch.uint8
    return np.array(tensor.view(bits).numpy(force=True).view(kind))


def _ml_dtypes() -> Any:
    try:
        import ml_dtypes
    except ImportError:
        return None
    return ml_dtypes


def to_torch(who: str, name: str, value: Any) -> Any:
    """A tensor on the host with these values, bfloat16 and float8 of ml_dtypes included."""
    torch, given = import_torch(), np.asarray(value)
    # a copy: torch knows no read-only memory (JAX's), no negative strides and no foreign byte order
    array = np.array(given, given.dtype.newbyteorder("="))
    try:
        return torch.from_numpy(array)
    except TypeError:
        kind = getattr(torch, array.dtype.name, None)
        if not isinstance(kind, torch.dtype) or not kind.is_floating_point:
            raise errors.WeightsError(f"{who}: {name!r} is given as {given.dtype}. Nothing was written.") from None
    return torch.from_numpy(array.view(np.int16 if array.dtype.itemsize == 2 else np.uint8)).view(kind)


def check(who: str, own: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Raise where ``given`` does not fit: its names, its shapes, or values that its dtype would not hold."""
    missing, unexpected = [name for name in own if name not in given], [name for name in given if name not in own]
    both = [(name, own[name], given[name]) for name in own if name in given]
    shapes = [f"{name!r} is {tuple(a.shape)}, given {tuple(b.shape)}" for name, a, b in both if a.shape != b.shape]
    if missing or unexpected or shapes:
        raise errors.weights_mismatch(who, missing, unexpected, shapes)
    if kinds := [f"{name!r} is {a.dtype}, given {b.dtype}" for name, a, b in both if not _holds(a.dtype, b)]:
        raise errors.WeightsError(f"{who}: values that would change ({'; '.join(kinds)}). Nothing was written.")


def _holds(kind: Any, tensor: Any) -> bool:
    """Whether a tensor of this dtype can take the values: 3.0 becomes an integer and 2.5 does not."""
    torch = import_torch()
    if torch.can_cast(tensor.dtype, kind):
        return True
    return not tensor.is_complex() and torch.equal(tensor.to(kind).double(), tensor.double())
