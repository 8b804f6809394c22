"""World: who else trains along. One process here; an adapter gives the many."""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T")


class World:
    """The processes of one training, and the questions they answer together.

    Every rank asks the same question at the same point and gets the same answer. This base is one process alone; who
    has several overrides ``rank``, ``size``, ``gather`` and ``barrier``, and whatever else can be had for less.

    What a run asks: as training begins and as an epoch, a validation or a prediction ends, one ``gather`` each. So the
    means that they end with are those over all ranks, weighted, and the same on each; the logs of batches are each
    rank's own. A stop that is asked for on one rank stops all, as training begins or as the epoch ends: not before,
    since a rank that left its batches early would have the others wait for it. ``run.end_epoch()`` is to be called on
    every rank, at the same batch.

    So every rank runs the same epochs, validations and predictions; each with batches of its own, and not necessarily
    as many. Where one is elsewhere all raise a ``LoopError``; of one that raised, and is gone, the backend tells the
    others, or ends them. A state is the main rank's: a run that goes on inside an epoch begins with its means on each.
    """

    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this is the rank that writes files."""
        return self.rank == 0

    def gather(self, value: T) -> list[T]:
        """Every rank's ``value``, in the order of the ranks."""
        return [value]

    def any(self, flag: bool) -> bool:
        """Whether ``flag`` is true on some rank."""
        return any(self.gather(flag))

    def mean(self, value: float, weight: float = 1.0) -> float:
        """The mean of ``value`` over the ranks, weighted; a NaN on one rank is a NaN on all."""
        if self.size == 1:
            return value
        told = self.gather((value, weight))
        total = sum(weight for _, weight in told)
        return sum(value * weight for value, weight in told) / total if total else float("nan")

    def broadcast(self, value: T) -> T:
        """The main rank's ``value``."""
        return self.gather(value)[0]

    def barrier(self) -> None:
        """Wait until every rank is here."""
