"""Retention: which of the files that were written stay."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple


class Written(NamedTuple):
    """A file that was written, and what its metric was; None where there was none, or a NaN."""

    path: str
    value: float | None


class Retention:
    """The ``best`` best and the ``newest`` newest of the files that were written stay; the others are deleted.

    Nothing is ever deleted but what was recorded here. A file that is gone already no longer counts.

    Args:
        best: how many of the best; None for no such rule.
        newest: how many of the newest; None for no such rule.
        is_better: whether a value is strictly better than another one.

    Attributes:
        files: what was written and is still there, oldest first.
    """

    def __init__(self, best: int | None, newest: int | None, is_better: Callable[[float, float], bool]) -> None:
        self._best, self._newest, self._is_better = best or 0, newest or 0, is_better
        self.files: list[Written] = []

    @property
    def best(self) -> list[Written]:
        """The best of them, the very best first; of equal ones the older."""
        ranked: list[Written] = []
        for one in self.files:
            if one.value is not None:
                place = next((at for at, two in enumerate(ranked) if self._beats(one.value, two)), len(ranked))
                ranked.insert(place, one)
        return ranked[: self._best]

    def takes(self, value: float) -> bool:
        """Whether a file with this value would be one of the best."""
        self.files = [one for one in self.files if os.path.exists(one.path)]
        best = self.best
        return len(best) < self._best or self._beats(value, best[-1])

    def spares(self, path: Path, value: float | None) -> float | None:
        """The value of the file at ``path``, where it is one of the best and ``value`` is no better; otherwise None."""
        at = os.path.abspath(path)
        for one in self.best:
            if one.path == at and os.path.exists(at) and not (value is not None and self._beats(value, one)):
                return one.value
        return None

    def add(self, path: Path, value: float | None) -> None:
        """Record that ``path`` was written, in place of what was recorded of it before."""
        at = os.path.abspath(path)  # what is deleted must not depend on the folder that the process is in
        self.files = [one for one in self.files if one.path != at] + [Written(at, value)]

    def prune(self, who: str) -> None:
        """Delete what is not to stay; what cannot be deleted is told in a warning, and tried again the next time."""
        stay = {*self.best, *self.files[max(len(self.files) - self._newest, 0) :]}
        left = []
        for one in self.files:
            if one not in stay:
                try:
                    os.unlink(one.path)
                except FileNotFoundError:
                    continue
                except OSError as error:
                    warnings.warn(f"{who}: an older file could not be deleted: {error}", stacklevel=2)
                else:
                    continue
            left.append(one)
        self.files = left

    def state(self) -> list[Any]:
        """What it keeps, for JSON."""
        return [list(one) for one in self.files]

    def load(self, state: Iterable[Sequence[Any]]) -> None:
        """Take back what ``state`` gave."""
        self.files = [Written(path, value) for path, value in state]

    def _beats(self, value: float, other: Written) -> bool:
        return other.value is not None and self._is_better(value, other.value)
