"""Logs: a live mapping whose values turn into floats when read. Mean: a weighted running mean.

A value on the CPU is read at once: that is cheaper than to put it off. A value on a device stays there until somebody
reads it, so that logging never makes the host wait. Which is which is seen from what a value's type can do (read once
for each type), so that no framework need be known here.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any, Final, Literal

from .errors import MetricValueError, missing_metric

_Kind = Literal["float", "number", "item", "numpy", "tensor", "async"]
_KINDS: Final[dict[type, _Kind]] = {float: "float", int: "number", bool: "number"}

_INFINITY: Final = float("inf")
_REAL: Final = ("f", "i", "u", "b", "V")
"""The kinds of dtype that are real numbers; numpy calls bfloat16 and its like V."""

_FOLD_TENSORS: Final = 4096
"""Additions into one float32 sum on the device before it is put aside: beyond, rounding would begin to show."""
_FOLD_ASYNC: Final = 512
"""Appended values before they are read and dropped: by then the first have long been computed."""


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


def _learn(value: Any) -> _Kind:
    kind = _kind(type(value))
    if kind is None:
        raise _refused(value)
    _KINDS[type(value)] = kind
    return kind


class Mean:
    """A running mean of values weighted by ``n``: ``sum(value * n) / sum(n)``, summed in float64.

    Once a NaN or an infinity entered, it stays, as in Keras.
    """

    __slots__ = ("_additions", "_async", "_n", "_tensors", "total", "weight")

    def __init__(self) -> None:
        self.total = 0.0
        self.weight: float = 0
        self._tensors: list[Any] | None = None
        """Sums on a device; the last one is being added to."""
        self._async: list[tuple[Any, float]] | None = None
        self._additions = 0
        self._n: float = 1
        """The last weight that was looked at."""

    def add(self, value: Any, n: float = 1) -> float | Mean:
        """Add one value with its weight, usually the number of samples that it is the mean of.

        Returns:
            That value alone: a float, or where it stays on its device a ``Mean`` of nothing else.

        Raises:
            MetricValueError: it is not one real number.
            ValueError: ``n`` is negative, NaN, infinite or no number.
        """
        if n is not self._n:  # few batches differ in size, and a small number is one object
            self._n = n = _weight(n)
        kind = _KINDS.get(type(value)) or _learn(value)
        if kind == "tensor":
            if not value.is_cpu:
                return self._add_tensor(value, n)
            try:  # as ``_read_item``, in line
                number = value.item()
            except (ValueError, TypeError, RuntimeError) as error:
                raise _refused(value) from error
            value = number if type(number) is float else _read_item(value)
        elif kind == "async":
            return self._add_async(value, n)
        elif kind != "float":
            value = _READ[kind](value)
        if n:  # not even a NaN counts otherwise
            self.total += value * n
            self.weight += n
        return value  # type: ignore[no-any-return]

    def value(self) -> float:
        """The mean so far; this is what copies a device's value to the host. NaN before the first value."""
        if self._tensors or self._async:  # taken into the host's sum, so that a second read copies nothing
            late = sum(_read_item(partial) for partial in self._tensors or ())
            late += sum(_read_item(value) * n for value, n in self._async or ())
            self.total += late
            self._tensors = self._async = None
            self._additions = 0
        return self.total / self.weight if self.weight else float("nan")

    def state_dict(self) -> dict[str, Any]:
        """The sum and the weight so far, JSON-able; what is on a device is read."""
        self.value()
        return {"total": self.total, "weight": self.weight}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Mean:
        """The mean that ``state_dict`` was taken of."""
        mean = cls()
        mean.total, mean.weight = state["total"], state["weight"]
        return mean

    def _add_tensor(self, tensor: Any, n: float) -> Mean:
        scaled = _scaled(tensor, n or 1)
        alone = self.__class__()
        alone._tensors, alone.weight = [scaled], n or 1
        if not n:  # not even a NaN counts
            return alone
        if self._tensors is None:
            self._tensors = [scaled]
        elif self._additions % _FOLD_TENSORS == 0:
            self._tensors.append(scaled)
        else:  # not in place: a sum begun under inference_mode could not be changed outside it
            self._tensors[-1] = self._tensors[-1] + scaled
        self._additions += 1
        self.weight += n
        return alone

    def _add_async(self, value: Any, n: float) -> Mean:
        if value.size != 1 or getattr(value.dtype, "kind", None) not in _REAL:
            raise _refused(value)
        alone = self.__class__()
        alone._async, alone.weight = [(value, 1)], 1
        if not n:
            return alone
        if self._async is None:
            self._async = []
        elif len(self._async) >= _FOLD_ASYNC:
            self.total += sum(_read_item(old) * weight for old, weight in self._async)
            self._async = []
        self._async.append((value, n))
        self.weight += n
        return alone


def _scaled(tensor: Any, n: float) -> Any:
    """``tensor * n`` on its device: a float32 copy that nothing else can change, and outside any graph."""
    if tensor.is_complex():  # float() would drop its imaginary part
        raise _refused(tensor)
    try:
        return tensor.detach().float().reshape(()) * n
    except RuntimeError as error:
        raise _refused(tensor) from error


def _weight(n: Any) -> float:
    """A weight, looked at; one of another type, as ``mask.sum()``, is read, since counting needs it now."""
    weight = n
    if type(n) is not int and type(n) is not float:
        try:
            weight = _READ[_kind(type(n))](n)  # type: ignore[index]  # a tracer or no number is no key
        except (KeyError, MetricValueError):
            weight = None
    if weight is None or not 0 <= weight < _INFINITY:
        raise ValueError(f"n={reprlib.repr(n)}: the weight of a value is a number of samples, at least 0")
    return weight  # type: ignore[no-any-return]


def _read_number(value: Any) -> float:
    try:
        return float(value)
    except (ValueError, TypeError, OverflowError) as error:
        raise _refused(value) from error


def _read_item(value: Any) -> float:
    try:
        number = value.item()
        if type(number) is float:
            return number
        if isinstance(number, (str, bytes)):  # float() would read digits off it
            raise TypeError(f"{number!r} is text")
        return float(number)
    except (ValueError, TypeError, RuntimeError) as error:
        raise _refused(value) from error


def _read_numpy(value: Any) -> float:
    try:
        return float(value.numpy().item())
    except (ValueError, TypeError, AttributeError, NotImplementedError) as error:
        raise _refused(value) from error


_READ: Final[dict[_Kind, Callable[[Any], float]]] = {
    "float": _read_number,
    "number": _read_number,
    "item": _read_item,
    "numpy": _read_numpy,
    "tensor": _read_item,
    "async": _read_item,
}


def named(error: MetricValueError, name: str) -> MetricValueError:
    """The same mistake, with the name of the metric."""
    return MetricValueError(f"log({name}=...): {error}")


def _refused(value: Any) -> MetricValueError:
    cls = type(value)
    kind = f"{cls.__module__}.{cls.__qualname__}"
    if any(base.__name__ == "Tracer" for base in cls.__mro__):
        return MetricValueError(
            f"a {kind} has no value yet: return the metric from the compiled function and log it outside"
        )
    shape = getattr(value, "shape", None)
    if shape is not None and tuple(shape) != ():
        return MetricValueError(f"a {kind} of shape {tuple(shape)} is not one number: log its mean")
    return MetricValueError(f"{value!r} of type {kind} is not a real number")


class Logs(MutableMapping[str, Any]):
    """A mapping from metric names to values, live: reading a key gives its value now, as a float.

    Copy it (``logs.copy()`` or ``dict(logs)``) to keep what it holds. A callback may write keys into it, which the
    callbacks after it and the history then see.

    Args:
        raw: the dictionary to show and to write to, not a copy of it; a new one by default.
    """

    __slots__ = ("raw",)

    def __init__(self, raw: dict[str, Any] | None = None) -> None:
        self.raw: dict[str, Any] = {} if raw is None else raw
        """The values as they are kept: floats, ``Mean`` objects, or whatever a trainer put there."""

    def add(self, name: str, value: Any, n: float = 1) -> float | Mean:
        """Add ``value`` to the running mean called ``name``; returns what ``Mean.add`` does.

        Raises:
            MetricValueError: ``name`` is no string, or ``value`` not one real number.
        """
        mean = self.raw.get(name)
        try:
            return mean.add(value, n) if type(mean) is Mean else self.begin(name, value, n)
        except MetricValueError as error:
            raise named(error, name) from error.__cause__

    def begin(self, name: str, value: Any, n: float = 1) -> float | Mean:
        """Begin a running mean called ``name`` with ``value``, where that has any weight."""
        if not isinstance(name, str):
            raise MetricValueError(f"the name of a metric is a string, not {name!r}")
        mean = Mean()
        alone = mean.add(value, n)
        if mean.weight:
            self.raw[name] = mean
        return alone

    def __getitem__(self, name: str) -> Any:
        try:
            value = self.raw[name]
        except KeyError:
            raise missing_metric("logs", name, list(self.raw)) from None
        return value.value() if type(value) is Mean else value

    def get(self, name: str, default: Any = None) -> Any:
        """The value now, or ``default``: no message is made for a key that is not there."""
        return self[name] if name in self.raw else default

    def __setitem__(self, name: str, value: Any) -> None:
        self.raw[name] = value

    def __delitem__(self, name: str) -> None:
        del self.raw[name]

    def __contains__(self, name: object) -> bool:
        return name in self.raw

    def __iter__(self) -> Iterator[str]:
        return iter(self.raw)

    def __len__(self) -> int:
        return len(self.raw)

    def __repr__(self) -> str:
        return f"Logs({self.copy()})"

    def copy(self) -> dict[str, Any]:
        """The values now, in a dictionary of their own."""
        return {name: self[name] for name in self.raw}

    def take(self, other: Mapping[str, Any], prefix: str = "") -> None:
        """Take over another's values under prefixed names, without reading them."""
        raw = other.raw if isinstance(other, Logs) else other
        self.raw.update({prefix + name: value for name, value in raw.items()})

    def state_dict(self) -> dict[str, Any]:
        """The values, and the sums under the means, so that they can be added to later."""
        means = {name: value.state_dict() for name, value in self.raw.items() if type(value) is Mean}
        others = {name: value for name, value in self.raw.items() if name not in means}
        return {"order": list(self.raw), "means": means, "values": others}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what ``state_dict`` gave, in place of what is here."""
        found = {name: Mean.from_state(mean) for name, mean in state["means"].items()} | state["values"]
        self.raw.clear()
        self.raw.update((name, found[name]) for name in state["order"])
