"""What keeping the best weights costs: ``run.snapshot()`` and ``run.restore()``.

    python -m benchmarks.snapshots

PyTorch: over ``copy.deepcopy(model.state_dict())``, which is what tutorials say and most loops do, and over
``model.load_state_dict`` of that copy; on a network of 38 MB in 64 tensors. Each frees what it made before it is made
again, outside the seconds, as a new best replaces the last.

Keras on JAX: the bytes that a snapshot at an epoch's end copies, seen from where its arrays have their memory: JAX's
arrays never change. But ``fit`` donates them to its next step, after which a mere reference is to a deleted array; so
the script also trains on, and raises where the snapshot is no longer what it was.

So the goal cannot be had. A NumPy view of an array on the CPU is the array's own memory and would count as 0 here, but
the copy is only put off: the next step is compiled to write over the weights, and where somebody has a view of them
XLA copies them first, which takes as long as the snapshot did. That is a leniency of XLA's CPU client, which its source
says may end; on other devices reading an array copies it to the host.
"""

from __future__ import annotations

import contextlib
import copy
import ctypes
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import trainhooks

from .pairs import Row, in_turn, missing, show

ROUNDS = 30
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3


def of_torch(rounds: int) -> Iterator[Row]:
    import torch

    torch.set_num_threads(1)
    _keep_freed_memory()
    blocks = [[torch.nn.Linear(768, 768), torch.nn.LayerNorm(768)] for _ in range(16)]
    model = torch.nn.Sequential(*[layer for block in blocks for layer in block])
    kept: dict[str, Any] = {}

    def seconds(name: str, call: Callable[[], Any]) -> Callable[[], float]:
        def timed() -> float:
            kept.pop(name, None)
            begin = time.perf_counter()
            kept[name] = call()
            return time.perf_counter() - begin

        return timed

    run = trainhooks.wrap(model)
    snapshot, theirs = run.snapshot(), copy.deepcopy(model.state_dict())
    calls = {
        "snapshot": seconds("snapshot", run.snapshot),
        "deepcopy": seconds("deepcopy", lambda: copy.deepcopy(model.state_dict())),
        "restore": seconds("restore", lambda: run.restore(snapshot)),
        "load": seconds("load", lambda: model.load_state_dict(theirs)),
    }
    times = in_turn(calls, rounds)
    what = "PyTorch, 38 MB in 64 tensors"
    beside = f"{times.median('snapshot') * 1e3:.1f} ms"
    yield times.ratio(f"{what}: snapshot over deepcopy of state_dict()", "snapshot", "deepcopy", goal=1, beside=beside)
    yield times.ratio(f"{what}: restore over load_state_dict", "restore", "load")


def _keep_freed_memory() -> None:
    """Have glibc give none of it back to the system: whose blocks lie on top would else pay for fresh pages."""
    with contextlib.suppress(AttributeError, OSError, TypeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_TRIM_THRESHOLD, 1 << 30)
        libc.mallopt(_MMAP_THRESHOLD, 1 << 30)


def of_keras_on_jax() -> Iterator[Row]:
    os.environ["KERAS_BACKEND"], os.environ["TF_CPP_MIN_LOG_LEVEL"] = "jax", "3"
    import keras
    import numpy as np

    if keras.backend.backend() != "jax":
        print("Keras is already loaded with another backend: not measured on JAX", file=sys.stderr)
        return

    class Keep(trainhooks.Callback):
        """Snapshots once, then sees whether training on leaves the snapshot alone."""

        def on_epoch_end(self, epoch: int, logs: Any, run: trainhooks.Run) -> None:
            weights = run.trainable.model.weights
            if epoch:
                assert all(np.array_equal(*both) for both in zip(self.snapshot, self.values, strict=True))
                assert not all(np.array_equal(a, b) for a, b in zip(self.values, weights, strict=True))
                return
            live = {_place(one.value) for one in weights}
            self.values = [np.array(one.value) for one in weights]
            self.snapshot = run.snapshot()
            self.copied = sum(one.nbytes for one in self.snapshot if _place(one) not in live)

    keep = Keep()
    model = keras.Sequential([keras.Input((768,)), *[keras.layers.Dense(768) for _ in range(4)]])
    model.compile("sgd", "mse")
    x = np.ones((8, 768), np.float32)
    trainhooks.wrap(model, callbacks=[keep]).fit(x, x, epochs=2, verbose=0)
    size = sum(value.nbytes for value in keep.values) / 1e6
    yield Row("Keras on JAX: copied by a snapshot", keep.copied / 1e6, unit="MB", goal=0, beside=f"of {size:.1f} MB")


def _place(array: Any) -> int:
    """Where a JAX array, or a numpy one, has its memory."""
    if hasattr(array, "unsafe_buffer_pointer"):
        return int(array.unsafe_buffer_pointer())
    return int(array.__array_interface__["data"][0])


def rows(rounds: int = ROUNDS) -> Iterator[Row]:
    if not missing("torch"):
        yield from of_torch(rounds)
    if not missing("keras", "jax"):
        yield from of_keras_on_jax()


if __name__ == "__main__":
    show(rows())
