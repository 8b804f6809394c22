"""Mean: a weighted running mean, whose values may stay on their device until it is read.

A value on the CPU is read at once: that is cheaper than to put it off. A value on a device stays there until somebody
reads the mean, so that logging never makes the host wait; then it is one copy to the host, or one for each 512 values
that JAX computes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .readings import KINDS, READ, REAL, Joined, Weighed, added, joined, learn, read_item, refused, scaled, weight

_FOLD_TENSORS: Final = 4096
"""Additions into one float32 sum on the device before it is put aside: beyond, rounding would begin to show."""
_FOLD_ASYNC: Final = 512
"""Appended values that become one array on their device, when as many have come after them. It is read when the next
is made, or with the mean. By then all this has long been computed, so that the host waits for nothing."""


class Mean:
    """A running mean of values weighted by ``n``: ``sum(value * n) / sum(n)``, summed in float64.

    Once a NaN or an infinity entered, it stays, as in Keras.
    """

    __slots__ = ("_additions", "_async", "_folded", "_n", "_tensors", "total", "weight")

    def __init__(self) -> None:
        self.total = 0.0
        self.weight: float = 0
        self._tensors: list[Any] | None = None
        """Sums on a device; the last one is being added to."""
        self._async: list[Weighed] | None = None
        self._folded: list[Weighed] | Joined | None = None
        """Those before."""
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
            self._n = n = weight(n)
        kind = KINDS.get(type(value)) or learn(value)
        if kind == "tensor":
            if not value.is_cpu:
                return self._add_tensor(value, n)
            try:  # as ``read_item``, in line
                number = value.item()
            except (ValueError, TypeError, RuntimeError) as error:
                raise refused(value) from error
            value = number if type(number) is float else read_item(value)
        elif kind == "async":
            return self._add_async(value, n)
        elif kind != "float":
            value = READ[kind](value)
        if n:  # not even a NaN counts otherwise
            self.total += value * n
            self.weight += n
        return value  # type: ignore[no-any-return]

    def value(self) -> float:
        """The mean so far; this is what copies a device's value to the host. NaN before the first value."""
        if self._tensors or self._async:  # taken into the host's sum, so that a second read copies nothing
            self._read_folded()
            total = self.total + sum(read_item(partial) for partial in self._tensors or ())
            self.total = added(total, joined(self._async)) if self._async else total
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
        share = scaled(tensor, n or 1)
        alone = self.__class__()
        alone._tensors, alone.weight = [share], n or 1
        if not n:  # not even a NaN counts
            return alone
        if self._tensors is None:
            self._tensors = [share]
        elif self._additions % _FOLD_TENSORS == 0:
            self._tensors.append(share)
        else:  # not in place: a sum begun under inference_mode could not be changed outside it
            self._tensors[-1] = self._tensors[-1] + share
        self._additions += 1
        self.weight += n
        return alone

    def _add_async(self, value: Any, n: float) -> Mean:
        if value.size != 1 or getattr(value.dtype, "kind", None) not in REAL:
            raise refused(value)
        alone = self.__class__()
        alone._async, alone.weight = [(value, 1)], 1
        if not n:
            return alone
        if self._async is None:
            self._async = []
        elif len(self._async) >= 2 * _FOLD_ASYNC:  # of those after it some may still be computed
            self._read_folded()
            self._folded = joined(self._async[:_FOLD_ASYNC])
            del self._async[:_FOLD_ASYNC]
        self._async.append((value, n))
        self.weight += n
        return alone

    def _read_folded(self) -> None:
        if self._folded is not None:
            self.total = added(self.total, self._folded)
            self._folded = None
