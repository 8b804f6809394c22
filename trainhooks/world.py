"""World: who else trains along. One process here; an adapter gives the many."""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T")


class World:
    """The processes of one training, and the questions they answer together.

    Every rank asks the same question at the same point and gets the same answer. This base is one process alone.
    """

    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this is the rank that writes files."""
        return self.rank == 0

    def any(self, flag: bool) -> bool:
        """Whether ``flag`` is true on some rank."""
        return flag

    def mean(self, value: float, weight: float = 1.0) -> float:
        """The mean of ``value`` over the ranks, weighted; a NaN on one rank is a NaN on all."""
        return value

    def broadcast(self, value: T) -> T:
        """The main rank's ``value``."""
        return value

    def barrier(self) -> None:
        """Wait until every rank is here."""
