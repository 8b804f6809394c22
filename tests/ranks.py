"""Several ranks in one process: a thread each, which meet at every question."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from trainhooks import LoopRun, World

T = TypeVar("T")


class Meeting:
    """What the ranks of one training share.

    Attributes:
        asked: how often they met.
    """

    def __init__(self, size: int) -> None:
        self.barrier = threading.Barrier(size, timeout=10)
        self.told: list[Any] = [None] * size
        self.asked = 0


class ThreadWorld(World):
    """One rank of a ``Meeting``."""

    def __init__(self, rank: int, meeting: Meeting) -> None:
        self.rank, self.size, self.meeting = rank, len(meeting.told), meeting

    def gather(self, value: T) -> list[T]:
        self.meeting.told[self.rank] = value
        self.barrier()
        told = list(self.meeting.told)
        self.meeting.asked += self.is_main
        self.barrier()
        return told

    def barrier(self) -> None:
        self.meeting.barrier.wait()


def together(train: Callable[[World], LoopRun], size: int = 2) -> tuple[list[LoopRun], Meeting]:
    """Train on so many ranks at once; the run of each, and what they shared."""
    meeting, runs = Meeting(size), dict[int, LoopRun]()
    raised: list[BaseException] = []

    def rank(number: int) -> None:
        try:
            runs[number] = train(ThreadWorld(number, meeting))
        except BaseException as error:
            raised.append(error)
            meeting.barrier.abort()  # as a process that dies has the others fail

    threads = [threading.Thread(target=rank, args=(number,)) for number in range(size)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    if raised:
        raise raised[0]
    return [runs[number] for number in range(size)], meeting
