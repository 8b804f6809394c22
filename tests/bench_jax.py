"""JaxBench: a tiny JAX model under optax, in a loop of its owner's, for the kits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from trainhooks_adapters.jax import TrainState

import trainhooks
from trainhooks import Callback, LoopRun, Run
from trainhooks.testing import BATCHES, LEAVE, Bench, Epoch

ROWS = jnp.arange(12.0).reshape(BATCHES, 3, 2) / 6
INJECTED = optax.inject_hyperparams(optax.sgd, static_args="momentum")
OPTIMIZER = optax.multi_transform(
    {"w": INJECTED(learning_rate=0.125, momentum=0.5), "b": INJECTED(learning_rate=0.0625, momentum=0.5)},
    {"w": "w", "b": "b"},
)


@jax.jit
def step(params: Any, opt_state: Any, x: Any, key: Any) -> Any:
    """One update, with inputs that are noisy."""

    def loss_of(params: Any) -> Any:
        noisy = x + 0.1 * jax.random.normal(key, x.shape)
        return jnp.square(noisy @ params["w"] + params["b"] - 1).mean()

    loss, gradients = jax.value_and_grad(loss_of)(params)
    updates, opt_state = OPTIMIZER.update(gradients, opt_state, params)
    return optax.apply_updates(params, updates), opt_state, loss


class JaxBench(Bench):
    """A linear layer under SGD with momentum, in two groups; its random key is the state's."""

    owns_loop = True
    lacks = frozenset({"optimizer_step", "gradients", "optimizer_average", "graph", "save"})

    def __init__(self) -> None:
        params = {"w": jnp.full((2, 1), 0.5), "b": jnp.zeros(1)}
        self.state = TrainState(params, OPTIMIZER.init(params), rng=jax.random.key(0))

    def wrap(self, callbacks: Sequence[Callback], resume: Any = None) -> LoopRun:
        made: LoopRun = trainhooks.wrap(self.state, callbacks=callbacks, resume=resume, plugins="none")
        return made

    def update(self, x: Any) -> Any:
        state = self.state
        state.rng, key = jax.random.split(state.rng)
        state.params, state.opt_state, loss = step(state.params, state.opt_state, x, key)
        return loss

    def outputs(self, x: Any) -> Any:
        return x @ self.state.params["w"] + self.state.params["b"]

    def train(self, history: Sequence[Epoch], callbacks: Sequence[Callback], *, resume: Any = None) -> Run:
        with self.wrap(callbacks, resume) as run:
            for epoch in run.epochs(len(history)):
                for x in run.train(ROWS):
                    told = self.told(history[epoch], run.batch)
                    loss = self.update(x)
                    run.log({name: told[name] + 0 * loss for name in told}, n=len(x))
                    if history[epoch] == LEAVE and run.batch == 1:
                        break
                if validation := self.told_in_validation(history[epoch]):
                    self.test(run, validation)
        return run.run

    def evaluate(self, metrics: Mapping[str, float], callbacks: Sequence[Callback]) -> Run | None:
        with self.wrap(callbacks) as run:
            self.test(run, metrics)
        return run.run

    def predict(self, callbacks: Sequence[Callback]) -> Run | None:
        with self.wrap(callbacks) as run:
            for x in run.predict(ROWS):
                run.log(outputs=self.outputs(x))
        return run.run

    def test(self, run: LoopRun, metrics: Mapping[str, float]) -> None:
        """A validation that reports ``metrics``."""
        for x in run.test(ROWS):
            self.outputs(x)
            run.log(metrics, n=len(x))
