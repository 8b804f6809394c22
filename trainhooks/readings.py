"""Readings: how a value becomes a float, at once or late.

Which is which is seen from what a value's type can do (read once for each type), so that no framework need be known
here. Values that are computed while the host runs on (JAX) are put into one array on their device, and read together.
The array is made by their own ``block``, which is one compiled call where ``stack`` handles every value by itself, in
rows of 64: few shapes are ever compiled, some 20 ms each.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable
from typing import Any, Final, Literal

import numpy as np

from .errors import MetricValueError

_Kind = Literal["float", "number", "item", "numpy", "tensor", "async"]
KINDS: Final[dict[type, _Kind]] = {float: "float", int: "number", bool: "number"}

Weighed = tuple[Any, float]
"""A value that is still on its device, and its weight."""
Joined = tuple[Any, list[float]]
"""One array of many such, and their weights."""

_INFINITY: Final = float("inf")
REAL: Final = ("f", "i", "u", "b", "V")
"""The kinds of dtype that are real numbers; numpy calls bfloat16 and its like V."""

_ROW: Final = 64
_FEW: Final = 8
"""Fewer appended values than this are read one by one: that is cheaper than what has to be compiled for more."""


def _kind(cls: type) -> _Kind | None:
    """How a value of this type is read; None for a tracer or a type that is no number."""
    if any(base.__name__ == "Tracer" for base in cls.__mro__):
        return None
    if hasattr(cls, "detach") and hasattr(cls, "is_cpu"):
        return "tensor"  # mutable, may be on a device: torch
    if hasattr(cls, "block_until_ready"):
        return "async"  # immutable, computed while the host runs on: JAX
    if hasattr(cls, "item"):
        return "item"
    if hasattr(cls, "numpy"):
        return "numpy"
    return "number" if hasattr(cls, "__float__") else None


def learn(value: Any) -> _Kind:
    kind = _kind(type(value))
    if kind is None:
        raise refused(value)
    KINDS[type(value)] = kind
    return kind


def joined(values: list[Weighed]) -> list[Weighed] | Joined:
    """The values in one array on their device, padded with the last; as they are where they are few, or not alike.

    Each row has one length, and of rows there is a power of two: an array of another shape would be compiled anew.
    """
    if len(values) < _FEW:
        return values
    arrays = [value for value, _ in values]
    first, last = arrays[0], arrays[-1]
    try:
        dtype, place = first.dtype, first.sharding
        if any(one.shape or one.dtype != dtype or one.sharding != place or one.is_deleted() for one in arrays):
            return values
        if not first.is_fully_addressable:  # each process of the run would have to take part
            return values
        block = first.__array_namespace__().block
        arrays += [last] * (-len(arrays) % _ROW)
        rows = [block(arrays[at : at + _ROW]) for at in range(0, len(arrays), _ROW)]
        rows += rows[-1:] * ((1 << (len(rows) - 1).bit_length()) - len(rows))
        array = block(rows) if len(rows) > 1 else rows[0]
    except (AttributeError, TypeError, ValueError, RuntimeError, ArithmeticError):  # then each is read, or says why not
        return values
    if type(array) is not type(first):  # a tracer: a function is being traced
        return values
    return array, [n for _, n in values]


def added(total: float, values: list[Weighed] | Joined) -> float:
    """The sum, gone on with as if each value had been read when it was logged."""
    if isinstance(values, list):
        for value, n in values:
            total += read_item(value) * n
    else:
        array, weights = values
        for number, n in zip(np.asarray(array, dtype=np.float64).tolist(), weights, strict=False):  # it may be padded
            total += number * n
    return total


def scaled(tensor: Any, n: float) -> Any:
    """``tensor * n`` on its device: a float32 copy that nothing else can change, and outside any graph."""
    if tensor.is_complex():  # float() would drop its imaginary part
        raise refused(tensor)
    try:
        return tensor.detach().float().reshape(()) * n
    except RuntimeError as error:
        raise refused(tensor) from error


def weight(n: Any) -> float:
    """A weight, looked at; one of another type, as ``mask.sum()``, is read, since counting needs it now."""
    weight = n
    if type(n) is not int and type(n) is not float:
        try:
            weight = READ[_kind(type(n))](n)  # type: ignore[index]  # a tracer or no number is no key
        except (KeyError, MetricValueError):
            weight = None
    if weight is None or not 0 <= weight < _INFINITY:
        raise ValueError(f"n={reprlib.repr(n)}: the weight of a value is a number of samples, at least 0")
    return weight  # type: ignore[no-any-return]


def _read_number(value: Any) -> float:
    try:
        return float(value)
    except (ValueError, TypeError, OverflowError) as error:
        raise refused(value) from error


def read_item(value: Any) -> float:
    try:
        number = value.item()
        if type(number) is float:
            return number
        if isinstance(number, (str, bytes)):  # float() would read digits off it
            raise TypeError(f"{number!r} is text")
        return float(number)
    except (ValueError, TypeError, RuntimeError) as error:
        raise refused(value) from error


def _read_numpy(value: Any) -> float:
    try:
        return float(value.numpy().item())
    except (ValueError, TypeError, AttributeError, NotImplementedError) as error:
        raise refused(value) from error


READ: Final[dict[_Kind, Callable[[Any], float]]] = {
    "float": _read_number,
    "number": _read_number,
    "item": read_item,
    "numpy": _read_numpy,
    "tensor": read_item,
    "async": read_item,
}


def named(error: MetricValueError, name: str) -> MetricValueError:
    """The same mistake, with the name of the metric."""
    return MetricValueError(f"log({name}=...): {error}")


def refused(value: Any) -> MetricValueError:
    cls = type(value)
    kind = f"{cls.__module__}.{cls.__qualname__}"
    if any(base.__name__ == "Tracer" for base in cls.__mro__):
        return MetricValueError(
            f"a {kind} has no value yet: return the metric from the compiled function and log it outside"
        )
    deleted = getattr(value, "is_deleted", None)
    if callable(deleted) and deleted():
        return MetricValueError(f"a {kind} was deleted before it was read, as what is donated to a step is: log a copy")
    shape = getattr(value, "shape", None)
    if shape is not None and tuple(shape) != ():
        return MetricValueError(f"a {kind} of shape {tuple(shape)} is not one number: log its mean")
    return MetricValueError(f"{value!r} of type {kind} is not a real number")
