"""A loop of a jitted JAX step under trainhooks, over two such loops written by hand, and over the bare one.

    python -m benchmarks.jax_loop

Four callbacks of four classes listen to the batch's end, and read nothing; the loss is logged at each step. JAX
computes while the host runs on, so a pass is over when its last step has been computed and its mean is read: all four
loops end with that. By hand there are two ways:

- *at the end*: the losses are appended, and their weighted mean is made once, with the epoch. It never makes the host
  wait, and is what people who know JAX write: it bears the goal, since it promises what ``run.log`` does;
- *each step*: ``loss.item()``, a weighted mean and a fresh dictionary, which is what must be written where callbacks
  are to find a running loss at every batch, as they do in ``logs`` here where they ask.

The bare loop keeps the loss, and waits for the last one. ``item()`` is the quickest way to read (``float()`` and
``jax.device_get`` take four times as long). The step is an MLP's 128-320-10 with SGD on a batch of 32, its parameters
donated, as is usual.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Iterator
from typing import Any

import trainhooks

from .listening import listeners
from .pairs import Row, in_turn, missing, show

STEPS = 500
ROUNDS = 30

Params = list[tuple[Any, Any]]


def rows(rounds: int = ROUNDS) -> Iterator[Row]:
    if missing("jax"):
        return
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    import jax
    import jax.numpy as jnp

    def loss_of(params: Params, x: Any, y: Any) -> Any:
        (w0, b0), (w1, b1) = params
        logits = jax.nn.relu(x @ w0 + b0) @ w1 + b1
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], axis=1))

    @functools.partial(jax.jit, donate_argnums=0)
    def step(params: Params, x: Any, y: Any) -> tuple[Params, Any]:
        loss, slopes = jax.value_and_grad(loss_of)(params, x, y)
        return jax.tree.map(lambda weight, slope: weight - 1e-3 * slope, params, slopes), loss

    def made() -> Params:
        keys = jax.random.split(jax.random.key(0))
        return [(jax.random.normal(keys[0], (128, 320)) / 8, jnp.zeros(320)), (jnp.zeros((320, 10)), jnp.zeros(10))]

    loader = [(jnp.ones((32, 128)), jnp.arange(32) % 10)] * STEPS
    callbacks = listeners(4)

    def at_the_end() -> None:
        params, kept = made(), []
        logs: dict[str, float] = {}
        for number, (x, y) in enumerate(loader):
            params, loss = step(params, x, y)
            kept.append((loss, len(x)))
            for callback in callbacks:
                callback.on_train_batch_end(number, logs)
        logs["loss"] = sum(loss.item() * n for loss, n in kept) / sum(n for _, n in kept)

    def each_step() -> None:
        params, total, weight = made(), 0.0, 0
        for number, (x, y) in enumerate(loader):
            params, loss = step(params, x, y)
            n = len(x)
            total += loss.item() * n
            weight += n
            logs = {"loss": total / weight}
            for callback in callbacks:
                callback.on_train_batch_end(number, logs)

    def bare() -> None:
        params = made()
        for x, y in loader:
            params, loss = step(params, x, y)
        loss.block_until_ready()

    with trainhooks.LoopRun(callbacks=callbacks) as run:
        epochs = iter(run.epochs(None))

        def ours() -> float:
            next(epochs)  # ends the one before
            begin = time.perf_counter()
            params = made()
            for x, y in run.train(loader):
                params, loss = step(params, x, y)
                run.log(loss=loss, n=len(x))
            run.logs["loss"]  # read it
            return time.perf_counter() - begin

        times = in_turn({"ours": ours, "end": at_the_end, "each": each_step, "bare": bare}, rounds)
    beside = f"the bare step: {times.median('bare') / STEPS * 1e6:.0f} us"
    what = "a JAX loop, 4 listening"
    yield times.ratio(f"{what}: over the loop by hand that reads at the end", "ours", "end", goal=1.02, beside=beside)
    yield times.ratio(f"{what}: over the loop by hand that reads each step", "ours", "each")
    yield times.ratio(f"{what}: over the bare loop", "ours", "bare")
    yield times.ratio("a JAX loop by hand that reads at the end, 4 listening: over the bare loop", "end", "bare")


if __name__ == "__main__":
    show(rows())
