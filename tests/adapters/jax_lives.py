"""A training that is run whole, then again and killed inside an epoch; and the life that goes on from its backup."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1]))  # it is run as a script too

import bench_nnx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from trainhooks_adapters.jax import TrainState

import trainhooks
from trainhooks.callbacks import BackupAndRestore, EarlyStopping, ReduceLROnPlateau
from trainhooks.testing import Do

X = np.random.default_rng(0).normal(size=(24, 3)).astype(np.float32)
OPTIMIZER = optax.chain(optax.clip_by_global_norm(1.0), optax.inject_hyperparams(optax.adam)(learning_rate=0.125))


def optax_loop() -> tuple[Any, dict[str, Any], Callable[[Any], Any]]:
    params = {"w": jnp.full((3, 1), 0.5), "b": jnp.zeros(1)}
    state = TrainState(params, OPTIMIZER.init(params), rng=jax.random.key(0))

    @jax.jit
    def update(params: Any, opt_state: Any, key: Any, x: Any) -> Any:
        x = x + 0.1 * jax.random.normal(key, x.shape)
        loss, gradients = jax.value_and_grad(lambda p: jnp.square(x @ p["w"] + p["b"] - 1).mean())(params)
        updates, opt_state = OPTIMIZER.update(gradients, opt_state, params)
        return optax.apply_updates(params, updates), opt_state, loss

    def step(x: Any) -> Any:
        state.rng, key = jax.random.split(state.rng)
        state.params, state.opt_state, loss = update(state.params, state.opt_state, key, x)
        return loss

    return state, {}, step


def nnx_loop() -> tuple[Any, dict[str, Any], Callable[[Any], Any]]:
    rngs = nnx.Rngs(0)
    model = nnx.Sequential(nnx.BatchNorm(3, rngs=rngs), nnx.Dropout(0.2, rngs=rngs), nnx.Linear(3, 1, rngs=rngs))
    optimizer = nnx.Optimizer(model, OPTIMIZER, wrt=nnx.Param)

    @nnx.jit
    def update(model: Any, optimizer: Any, x: Any) -> Any:
        loss, gradients = nnx.value_and_grad(lambda model: jnp.square(model(x) - 1).mean())(model)
        bench_nnx.update(model, optimizer, gradients)
        return loss

    return model, {"optimizer": optimizer}, lambda x: update(model, optimizer, x)


def live(kind: str, *callbacks: Any, backup: bool = True) -> tuple[trainhooks.Run, dict[str, Any]]:
    """Train until it stops: the run, and its last weights."""
    target, options, step = {"optax": optax_loop, "nnx": nnx_loop}[kind]()
    kept = [BackupAndRestore("backup", save_freq=7)] if backup else []
    decide = [ReduceLROnPlateau("loss", factor=0.5, min_delta=0.05, patience=0)]
    decide += [EarlyStopping("loss", min_delta=0.01, patience=2)]
    with trainhooks.wrap(target, callbacks=[*decide, *callbacks, *kept], plugins="none", **options) as run:
        for epoch in run.epochs(6):
            order = np.random.default_rng(epoch).permutation(24)
            for rows in run.train(order.reshape(4, 6)):
                run.log(loss=step(X[rows]))
        return run.run, run.get_weights()


if __name__ == "__main__":
    run, weights = live(sys.argv[1], backup=False)
    np.savez("whole.npz", **weights)
    Path("whole.txt").write_text(f"{run.stop_reason}\n{[[record.epoch, record.logs] for record in run.history]!r}")
    live(sys.argv[1], Do("train_batch_begin", lambda run: os._exit(9), nth=18))
