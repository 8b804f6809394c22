"""Logs: a live mapping whose values turn into floats when read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

from .errors import MetricValueError, missing_metric
from .means import Mean
from .readings import named

__all__ = ["Logs", "Mean", "named"]


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
