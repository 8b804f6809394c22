"""The numpy reference loop under trainhooks, over the same loop written by hand, and over the bare one.

    python -m benchmarks.numpy_loop

What ``trainhooks.fit`` does: ``run.train`` over batches, ``run.log`` of what ``MLP.train_step`` returns (a loss and an
accuracy), four callbacks of four classes that listen to the batch's end. By hand that is the same ``train_step``, two
weighted means, a fresh dictionary and a ``for`` over the callbacks; the bare loop only keeps the metrics. The model is
of a size whose step takes about 100 us, as in ``torch_loop``. Seconds are those of the pass, in a run entered once.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # first: numpy reads it when it is imported

import time
from collections.abc import Iterator

import numpy as np

import trainhooks

from .listening import listeners
from .pairs import Row, in_turn, show

STEPS = 500
ROUNDS = 201

model = trainhooks.MLP((128, 128, 64, 10))
random = np.random.default_rng(0)
loader = [(random.normal(size=(32, 128)).astype(np.float32), random.integers(0, 10, 32))] * STEPS


def rows(rounds: int = ROUNDS) -> Iterator[Row]:
    callbacks = listeners(4)

    def by_hand() -> None:
        loss = accuracy = weight = 0.0
        for number, batch in enumerate(loader):
            metrics, n = model.train_step(batch), len(batch[0])
            loss += metrics["loss"] * n
            accuracy += metrics["accuracy"] * n
            weight += n
            logs = {"loss": loss / weight, "accuracy": accuracy / weight}
            for callback in callbacks:
                callback.on_train_batch_end(number, logs)

    def bare() -> None:
        for batch in loader:
            metrics = model.train_step(batch)
        del metrics

    with trainhooks.LoopRun(model, callbacks) as run:
        epochs = iter(run.epochs(None))

        def ours() -> float:
            next(epochs)  # ends the one before
            begin = time.perf_counter()
            for batch in run.train(loader):
                run.log(model.train_step(batch), n=len(batch[0]))
            return time.perf_counter() - begin

        times = in_turn({"ours": ours, "hand": by_hand, "bare": bare}, rounds)
    beside = f"the bare step: {times.median('bare') / STEPS * 1e6:.0f} us"
    yield times.ratio("the numpy loop, 4 listening: over the loop by hand", "ours", "hand", goal=1.02, beside=beside)
    yield times.ratio("the numpy loop, 4 listening: over the bare loop", "ours", "bare")
    yield times.ratio("the numpy loop by hand, 4 listening: over the bare loop", "hand", "bare")


if __name__ == "__main__":
    show(rows())
