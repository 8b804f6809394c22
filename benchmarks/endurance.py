"""A run of a million batches: whether its memory grows, and whether it slows down.

    python -m benchmarks.endurance

One epoch of 1,000,000 batches with four listeners to a batch's begin and end, and ``run.log(loss=..., n=32)`` in each.

Time: each thousand batches are timed as a chunk, in the processor's seconds; the median of the last tenth's hundred
chunks is put over that of the first tenth's, in each of several runs, whose median and quartiles are the figure.

Memory, after the first 10,000 batches until the end: what the process has in memory, as Linux tells in
``/proc/self/statm`` (elsewhere that row is left out), over the whole million, in the first run of the process; and what
Python has allocated, as tracemalloc counts it to the byte, over 200,000 batches, since it makes each several times as
slow.
"""

from __future__ import annotations

import gc
import itertools
import resource
import statistics
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import trainhooks

from .listening import ones
from .pairs import Row, quartiles, show

BATCHES, CHUNK, SETTLED = 1_000_000, 1_000, 10_000
TRACED = 200_000
ROUNDS = 9
STATM = Path("/proc/self/statm")


def marked(batches: int, mark: Callable[[int], object]) -> Iterator[int]:
    """A loader that calls ``mark`` with the number of batches so far, at each thousand."""
    for chunk in range(0, batches, CHUNK):
        mark(chunk)
        yield from range(chunk, chunk + CHUNK)
    mark(batches)


def train(batches: int, mark: Callable[[int], object]) -> None:
    takes = dict.fromkeys(("on_train_batch_begin", "on_train_batch_end"), "batch, logs")
    with trainhooks.LoopRun(callbacks=ones(4, trainhooks.Callback, takes)) as run:
        for _ in run.epochs(1):
            for batch in run.train(marked(batches, mark)):
                run.log(loss=1.0 / (1 + batch), n=32)


def growth(batches: int, used: Callable[[], int]) -> float:
    """MB that came on after the first 10,000 batches."""
    found = []

    def mark(done: int) -> None:
        if done in (SETTLED, batches):
            gc.collect()
            found.append(used())

    train(batches, mark)
    return (found[1] - found[0]) / 1e6


def resident() -> int:
    return int(STATM.read_text().split()[1]) * resource.getpagesize()


def traced() -> int:
    return tracemalloc.get_traced_memory()[0]


def slowing() -> tuple[float, float]:
    """The time of the last tenth over that of the first, and the ns of a batch in the first."""
    times: list[float] = [0.0] * (BATCHES // CHUNK + 1)  # there before the run, so that it does not grow in it

    def mark(done: int) -> None:
        times[done // CHUNK] = time.process_time()

    train(BATCHES, mark)
    chunks = [after - before for before, after in itertools.pairwise(times)]
    tenth = len(chunks) // 10
    first = statistics.median(chunks[:tenth])
    return statistics.median(chunks[-tenth:]) / first, first / CHUNK * 1e9


def rows(rounds: int = ROUNDS) -> Iterator[Row]:
    if STATM.exists():
        what = "1,000,000 batches: memory of the process that came on after 10,000"
        yield Row(what, growth(BATCHES, resident), unit="MB", goal=1)
    tracemalloc.start()
    allocated = growth(TRACED, traced)
    tracemalloc.stop()
    yield Row("200,000 batches: memory that Python allocated after 10,000", allocated, unit="MB", goal=1)
    ratios, each = zip(*(slowing() for _ in range(rounds)), strict=True)
    low, middle, high = quartiles(ratios)
    beside = f"{statistics.median(each):,.0f} ns a batch in the first"
    what = "1,000,000 batches: time of a batch in the last tenth over the first"
    yield Row(what, middle, low, high, goal=1.02, beside=beside)


if __name__ == "__main__":
    show(rows())
