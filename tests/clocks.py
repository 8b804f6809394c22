"""A clock that stands still until it is moved, and runs that are timed by it."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from typing import Any

from trainhooks import Callback, LoopRun, Run, profile


class Clock:
    """Gives the seconds; whoever takes time moves it."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def take(self, seconds: float) -> None:
        self.now += seconds

    def loader(self, n: int, seconds: float = 0.0) -> Iterator[int]:
        """``n`` batches that have to be waited for."""
        for batch in range(n):
            self.take(seconds)
            yield batch


class Takes(Callback):
    """Takes so many seconds at each begin and end of a batch of training or validation."""

    def __init__(self, clock: Clock, begin: float, end: float) -> None:
        self.clock, self.begin, self.end = clock, begin, end

    def on_train_batch_begin(self) -> None:
        self.clock.take(self.begin)

    def on_train_batch_end(self) -> None:
        self.clock.take(self.end)

    def on_test_batch_end(self) -> None:
        self.clock.take(self.end)


def loop_run(clock: Clock, *callbacks: Callback, each: int = 1, **options: Any) -> LoopRun:
    """A run by this clock, of whose batches one in ``each`` is timed."""
    run = LoopRun(callbacks=callbacks, **options)
    run.timings.clock, run.timings.every = clock, each
    return run


def figures(run: LoopRun | Run) -> dict[str, tuple[int, int, float]]:
    """For each line of the run's profile how often it was, how often it was timed, and its seconds."""
    return {line.what: (line.times, line.timed, line.seconds) for line in profile(run).lines}


def is_put_back(run: LoopRun) -> bool:
    """Whether nothing is called in place of what listens to batches."""
    kinds = run.bus.batch_calls.items()
    calls = run.bus.calls
    return all(one.begin is calls[f"{kind}_begin"] and one.end is calls[f"{kind}_end"] for kind, one in kinds)


def told(run: LoopRun, clock: Clock, loop: Iterable[int], step: float) -> list[tuple[int, str]]:
    """The warnings of a run over the batches of ``loop``, each with the number of the batch that had just ended."""
    found: list[tuple[int, str]] = []
    with run, warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for batch in loop:
            clock.take(step)
            found += [(batch - 1, str(one.message)) for one in said[len(found) :]]
    return found


def train(run: LoopRun, n: int) -> Iterator[int]:
    """The batches of one epoch."""
    for _ in run.epochs(1):
        yield from run.train(range(n))
