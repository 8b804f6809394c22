"""What ``run.train`` costs at each batch, over a bare ``for`` over the same loader.

    python -m benchmarks.instrument

The loops do nothing else, so all that is left of a batch is the instrument: its counts, its timing of one batch in 64
(in 512 where nobody listens), and the calls of the callbacks that listen to the batch's begin and end. The run is
entered once and each pass is an epoch of it; the seconds are those of the pass, with the opening and the closing of it,
not of the epoch around it, and the processor's, which a busy machine does not disturb.

Then the calls of a batch where nobody listens to batches, Python's and C's, as ``sys.setprofile`` tells of them. The
loop's own resuming of a generator is no call, and goes with any ``for`` over one. A batch that is timed has some, and
so has the one before it, in which that is set up: those in which a function of ``trainhooks/sampler.py`` is called are
left out, and counted beside.
"""

from __future__ import annotations

import inspect
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from types import FrameType
from typing import Any

import trainhooks
from trainhooks import sampler

from .listening import ones
from .pairs import Row, in_turn, show

BATCHES = 20_000
ROUNDS = 41


def passes(stack: ExitStack, count: int) -> Callable[[], float]:
    """A run with so many callbacks that listen to batches, entered; each call is a pass, and gives its seconds."""
    takes = dict.fromkeys(("on_train_batch_begin", "on_train_batch_end"), "batch, logs")
    silent = ones(4, trainhooks.Callback, {"on_epoch_end": "epoch, logs"})
    run = stack.enter_context(trainhooks.LoopRun(callbacks=[*silent, *ones(count, trainhooks.Callback, takes)]))
    epochs, loader = iter(run.epochs(None)), range(BATCHES)

    def one() -> float:
        next(epochs)  # ends the one before
        begin = time.process_time()
        for _ in run.train(loader):
            pass
        return time.process_time() - begin

    return one


def bare() -> float:
    loader = range(BATCHES)
    begin = time.process_time()
    for _ in loader:
        pass
    return time.process_time() - begin


def calls_of(batches: int) -> list[tuple[int, bool]]:
    """For each batch of a pass, from its own lines to those of the next: how many calls, and any of the sampler's."""
    calls, timed, now = [0] * batches, [False] * batches, 0
    callbacks = ones(4, trainhooks.Callback, {"on_epoch_end": "epoch, logs"})

    def note(frame: FrameType, event: str, argument: Any) -> None:
        resumed = event == "call" and frame.f_code.co_flags & inspect.CO_GENERATOR
        calls[now] += event in ("call", "c_call") and not resumed
        timed[now] |= frame.f_code.co_filename == sampler.__file__

    with trainhooks.LoopRun(callbacks=callbacks) as run:
        for _ in run.epochs(1):
            sys.setprofile(note)
            for now in run.train(range(batches)):  # noqa: B007  # it is what ``note`` reads
                pass
            sys.setprofile(None)
    return list(zip(calls, timed, strict=True))[1:-1]  # opening and closing count for the first and the last


def rows(rounds: int = ROUNDS) -> Iterator[Row]:
    with ExitStack() as stack:
        runs = {f"{count}": passes(stack, count) for count in (0, 1, 4)}
        times = in_turn({**runs, "bare": bare}, rounds)
    what = "run.train over a bare for, a batch"
    yield times.more(f"{what}, nobody listening to batches", "0", "bare", BATCHES, goal=80)
    for count in ("1", "4"):
        yield times.more(f"{what}, {count} listening to begin and end", count, "bare", BATCHES)
    found = calls_of(BATCHES)
    beside = f"{sum(is_timed for _, is_timed in found):,} of {len(found):,} batches are timed, or set that up"
    most = max(calls for calls, is_timed in found if not is_timed)
    what = "run.train, nobody listening: calls in a batch that is not timed, at most"
    yield Row(what, most, unit="calls", goal=0, beside=beside)


if __name__ == "__main__":
    show(rows())
