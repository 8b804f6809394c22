"""What it costs to attach 20 callbacks to a run: to register their hooks, and to compile each event's dispatcher.

    python -m benchmarks.attaching

A whole run of one epoch with one batch, from making it until it is over, with 20 callbacks of 20 classes less the same
run without any: dispatchers are compiled by the first emit of each event, so all of them are in it. The classes are new
in each round, and made outside the seconds, for what is known of a class's hooks is kept, and a user's class is met for
the first time. Each has eight hooks, more than most have, which keep a number and cost next to nothing.

The library's own that need no arguments beside them: here the seconds hold what their hooks do in that run as well.
Those that write files or post are left out. Seconds are the processor's, in both.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import trainhooks
from trainhooks import callbacks, dispatch

from .listening import ones
from .pairs import Row, in_turn, show

COUNT = 20
ROUNDS = 41
TAKES = {
    "on_setup": "run",
    "on_train_begin": "run",
    "on_epoch_begin": "epoch, logs",
    "on_train_batch_begin": "batch, logs",
    "on_train_batch_end": "batch, logs",
    "on_epoch_end": "epoch, logs, run",
    "on_train_end": "logs",
    "on_teardown": "run",
}
WRITING = {"TensorBoard", "RemoteMonitor"}
"""Into a folder, and to an address, by default."""


def built_in() -> list[trainhooks.Callback]:
    made = []
    for name in callbacks.__all__:
        with contextlib.suppress(TypeError, ValueError):  # it needs arguments
            made += [getattr(callbacks, name)()] if name not in WRITING else []
    return made


def seconds(make: Callable[[], Sequence[trainhooks.Callback]]) -> float:
    model, attached = trainhooks.MLP((2, 1)), make()
    dispatch._code.cache_clear()  # as in the first run of a process
    begin = time.process_time()
    with trainhooks.LoopRun(model, attached) as run:
        for _ in run.epochs(1):
            for batch in run.train([0]):
                run.log(loss=batch, n=1)
            for batch in run.test([0]):
                run.log(loss=batch, n=1)
    return time.process_time() - begin


def rows(rounds: int = ROUNDS) -> Iterator[Row]:
    ways = {"none": list, "new": partial(ones, COUNT, trainhooks.Callback, TAKES), "own": built_in}
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        times = in_turn({name: partial(seconds, make) for name, make in ways.items()}, rounds)
    what = f"attaching {COUNT} callbacks of {COUNT} classes: registration and compile"
    yield times.more(what, "new", "none", 1, unit="ms", goal=5)
    what = f"attaching {len(built_in())} of the library's own, with what their hooks do in a batch and an epoch"
    yield times.more(what, "own", "none", 1, unit="ms")


if __name__ == "__main__":
    show(rows())
