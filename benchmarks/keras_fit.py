"""Keras's ``fit`` with ten of our callbacks in a bridge, over ten of Keras's own; and over none at all.

    python -m benchmarks.keras_fit [--json]

Each backend has a process of its own, since Keras chooses it when it is imported, and one thread to compute with. There
one model is fitted again and again for two epochs of 60 batches, which take between a third of a millisecond and one
and a half each, with these in turn:

- ten callbacks that listen to the begin and the end of each batch: Keras's own, and ours;
- ten that listen to the end of an epoch only: Keras's own, and ours;
- none.

Every hook does the same, keeps the number it is given, and each class has code of its own, as it has in life: Python
keeps what it learns of attributes with the code, and classes that share it spoil that for each other. A fit is timed
from its ``on_train_begin`` to its ``on_train_end``, as the last callback sees them; what it costs to make the run of a
fit, and to take it apart, is a row of its own, being the same for ten batches and for a million. Ratios are of time on
the clock; the same in the processor's seconds stands beside, which a busy machine disturbs less, but which do not show
waiting.

A step is long and its time scatters, so that what ten callbacks cost beside it is hardly seen. The rows of "the calls
alone" show that: the ``CallbackList`` that ``fit`` makes is told of batch after batch by hand, with a real step between
begin and end that cools the caches, and only the time spent in it counts.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from .pairs import Row, Times, in_turn, read, show

BACKENDS = ("tensorflow", "jax", "torch")
EPOCHS, STEPS, ROWS = 2, 60, 64
ROUNDS = 17
BATCH_HOOKS = {"on_train_batch_begin": "batch", "on_train_batch_end": "batch"}
EPOCH_HOOKS = {"on_epoch_end": "epoch"}
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0", "CUDA_VISIBLE_DEVICES": ""}
ONE_THREAD = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
ONE_XLA_THREAD = {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"}


def ten(base: type[Any], hooks: dict[str, str]) -> list[Any]:
    """Ten callbacks of ten classes, whose hooks keep the number that they are given."""
    text = "class Keeps(base):\n" + "".join(
        f"    def {hook}(self, {number}, logs=None):\n        self.seen = {number}\n" for hook, number in hooks.items()
    )
    made = []
    for _ in range(10):
        names: dict[str, Any] = {"base": base}
        exec(text, names)
        made.append(names["Keeps"]())
    return made


def measured(backend: str) -> Iterator[Row]:
    """What this process's backend takes."""
    import keras
    import numpy as np
    from trainhooks_adapters.keras import bridge

    import trainhooks

    class Clock(keras.callbacks.Callback):  # type: ignore[misc]
        """Reads both clocks when everyone before it has begun, and when everyone has ended."""

        def on_train_begin(self, logs: Any = None) -> None:
            self.began = time.perf_counter(), time.process_time()

        def on_train_end(self, logs: Any = None) -> None:
            self.took = time.perf_counter() - self.began[0], time.process_time() - self.began[1]

    keras.utils.set_random_seed(0)
    layers = [keras.Input((64,)), keras.layers.Dense(256, "relu"), keras.layers.Dense(256, "relu")]
    model = keras.Sequential([*layers, keras.layers.Dense(10, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    draw = np.random.default_rng(0)
    x = draw.normal(size=(ROWS * STEPS, 64)).astype("float32")
    y = draw.integers(0, 10, ROWS * STEPS)
    arms = {
        "native": ten(keras.callbacks.Callback, BATCH_HOOKS),
        "ours": [bridge(ten(trainhooks.Callback, BATCH_HOOKS))],
        "native, epochs": ten(keras.callbacks.Callback, EPOCH_HOOKS),
        "ours, epochs": [bridge(ten(trainhooks.Callback, EPOCH_HOOKS))],
        "none": [],
    }
    processor: dict[str, list[float]] = {name: [] for name in arms}
    clock = Clock()

    def fit(name: str) -> float:
        callbacks = [*arms[name], clock]
        model.fit(x, y, batch_size=ROWS, epochs=EPOCHS, shuffle=False, verbose=0, callbacks=callbacks)
        processor[name].append(clock.took[1])
        return clock.took[0]

    def calls_alone(name: str, batches: int = 80) -> float:
        logs, now, took = {"loss": 0.5}, time.perf_counter, 0.0
        told = keras.callbacks.CallbackList(arms[name], add_history=True, model=model, epochs=1, steps=batches)
        told.on_train_begin()
        told.on_epoch_begin(0)
        for batch in range(batches):
            begin = now()
            told.on_train_batch_begin(batch)
            trains = now()
            model.train_on_batch(x[:ROWS], y[:ROWS])
            trained = now()
            told.on_train_batch_end(batch, logs)
            if batch:  # in the first one the run makes what it calls
                took += now() - trained + trains - begin
        told.on_epoch_end(0, logs)
        told.on_train_end(logs)
        return took / (batches - 1)

    def run_alone(name: str) -> None:
        told = keras.callbacks.CallbackList(arms[name], add_history=True, model=model, epochs=0)
        told.on_train_begin()
        told.on_train_end()

    fits = in_turn({name: functools.partial(fit, name) for name in arms}, ROUNDS)
    seconds = Times({name: taken[1:] for name, taken in processor.items()})  # the first does not count
    of = f"Keras on {backend}"
    each = f"a step is {fits.median('none') / EPOCHS / STEPS * 1e6:.0f} us; "
    for what, ours, theirs, goal in (
        ("ten that listen to batches: over ten of Keras's", "ours", "native", 1.0),
        ("ten that listen to epochs: over none", "ours, epochs", "none", 1.01),
        ("ten that listen to epochs: over ten of Keras's", "ours, epochs", "native, epochs", None),
    ):
        beside = seconds.ratio("", ours, theirs)
        told = f"{each}of the processor's seconds {beside.value:.3f} [{beside.low:.3f} to {beside.high:.3f}]"
        yield fits.ratio(f"{of}, {what}", ours, theirs, goal=goal, beside=told)
    calls = in_turn({name: functools.partial(calls_alone, name) for name in ("native", "ours")}, ROUNDS)
    told = f"{calls.median('ours') * 1e9:,.0f} ns a batch over {calls.median('native') * 1e9:,.0f}"
    yield calls.ratio(f"{of}, ten that listen to batches, the calls alone", "ours", "native", beside=told)
    runs = in_turn({name: functools.partial(run_alone, name) for name in ("native", "ours")}, ROUNDS)
    what = f"{of}, a fit's run with ten made and taken apart: more than Keras's"
    yield runs.more(what, "ours", "native", per=1, unit="ms")


def rows() -> Iterator[Row]:
    """Each installed backend's."""
    for backend in BACKENDS:
        if missing := [name for name in ("keras", backend) if find_spec(name) is None]:
            print(f"{missing[0]} is not installed: no fit on {backend}", file=sys.stderr)
            continue
        own = {**QUIET, **ONE_THREAD, **ONE_XLA_THREAD, "KERAS_BACKEND": backend}
        ended = subprocess.run(
            [sys.executable, "-m", "benchmarks.keras_fit", "--backend", backend, "--json"],
            env={**os.environ, **own},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        yield from read(ended.stdout.splitlines())


if __name__ == "__main__":
    show(measured(sys.argv[sys.argv.index("--backend") + 1]) if "--backend" in sys.argv else rows())
