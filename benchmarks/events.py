"""What an event costs, as ratios between two things measured in turn in one run.

    python benchmarks/events.py

Each figure is the median over rounds; in a round both sides run one after the other, so that a drifting machine
drifts under both. The callbacks of a run are of different classes: ten of one class would flatter the hand-written
loop. Peers are measured where they are installed.
"""

from __future__ import annotations

import gc
import os
import statistics
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import trainhooks

ROUNDS = 31
BATCHES = 2_000
LOADER = list(range(BATCHES))


def listener(number: int) -> trainhooks.Callback:
    """A callback of a class of its own that listens to a batch's begin and end."""

    def on_train_batch_begin(self: Any, batch: int, logs: Any = None) -> None:
        self.seen = batch

    def on_train_batch_end(self: Any, batch: int, logs: Any = None) -> None:
        self.seen = batch

    body = {"on_train_batch_begin": on_train_batch_begin, "on_train_batch_end": on_train_batch_end}
    made: trainhooks.Callback = type(f"Listener{number}", (trainhooks.Callback,), body)()
    return made


def seconds(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def in_turn(ours: Callable[[], object], theirs: Callable[[], object]) -> tuple[float, float, float]:
    """Median seconds of each, and the median of their ratios."""
    ours(), theirs()
    gc.disable()
    pairs = []
    for number in range(ROUNDS):
        if number % 2:
            pairs.append((seconds(ours), seconds(theirs)))
        else:
            second = seconds(theirs)
            pairs.append((seconds(ours), second))
    gc.enable()
    first, second_ = zip(*pairs, strict=True)
    return statistics.median(first), statistics.median(second_), statistics.median(a / b for a, b in pairs)


def say(what: str, ours: float, theirs: float, ratio: float) -> None:
    print(f"{what:<66} {ours / BATCHES * 1e9:8.0f} ns {theirs / BATCHES * 1e9:8.0f} ns   ratio {ratio:.2f}")


def dispatch(count: int) -> None:
    callbacks = [listener(number) for number in range(count)]
    bus = trainhooks.EventBus()
    bus.add(*callbacks)
    calls, logs = bus.calls, trainhooks.Logs()

    def ours() -> None:
        for batch in LOADER:
            calls["train_batch_begin"](batch, logs)  # type: ignore[misc]
            calls["train_batch_end"](batch, logs)  # type: ignore[misc]

    def by_hand() -> None:
        for batch in LOADER:
            for one in callbacks:
                one.on_train_batch_begin(batch, logs)  # type: ignore[attr-defined]
            for one in callbacks:
                one.on_train_batch_end(batch, logs)  # type: ignore[attr-defined]

    say(f"begin and end of a batch, {count} listening: over a hand-written loop", *in_turn(ours, by_hand))


def keras_list(count: int) -> None:
    os.environ.setdefault("KERAS_BACKEND", "jax")  # on TensorFlow its list takes five times as long
    import keras

    def native(number: int) -> Any:
        def hook(self: Any, batch: int, logs: Any = None) -> None:
            self.seen = batch

        body = {"on_train_batch_begin": hook, "on_train_batch_end": hook}
        return type(f"Native{number}", (keras.callbacks.Callback,), body)()

    natives = keras.callbacks.CallbackList([native(number) for number in range(count)])
    bus = trainhooks.EventBus()
    bus.add(*[listener(number) for number in range(count)])
    calls, logs, plain = bus.calls, trainhooks.Logs({"loss": 1.0}), {"loss": 1.0}

    def ours() -> None:
        for batch in LOADER:
            calls["train_batch_begin"](batch, logs)  # type: ignore[misc]
            calls["train_batch_end"](batch, logs)  # type: ignore[misc]

    def theirs() -> None:
        for batch in LOADER:
            natives.on_train_batch_begin(batch, plain)
            natives.on_train_batch_end(batch, plain)

    say(f"the same, {count} listening: over keras.callbacks.CallbackList", *in_turn(ours, theirs))


def instrument(callbacks: list[trainhooks.Callback], what: str) -> None:
    """``run.train`` over a loader, against a bare ``for``."""

    def ours() -> None:
        with trainhooks.LoopRun(callbacks=callbacks) as run:
            for _ in run.epochs(1):
                for _ in run.train(LOADER):
                    pass

    def bare() -> None:
        for _ in LOADER:
            pass

    mine, theirs, _ = in_turn(ours, bare)
    print(f"{what:<66} {(mine - theirs) / BATCHES * 1e9:8.0f} ns a batch more than a bare for")


def main() -> None:
    print(f"{'':<66} {'ours':>11} {'theirs':>11}")
    for count in (1, 4, 10):
        dispatch(count)
    if find_spec("keras"):
        for count in (1, 4, 10):
            keras_list(count)
    else:
        print("keras is not installed: not measured")
    instrument([], "run.train, nobody listening to batches")
    instrument([listener(number) for number in range(4)], "run.train, 4 listening to begin and end")


if __name__ == "__main__":
    main()
