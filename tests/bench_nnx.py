"""NnxBench: a tiny flax.nnx model with dropout and a BatchNorm, in a loop of its owner's, for the kits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import flax
import jax.numpy as jnp
import optax
from flax import nnx

import trainhooks
from trainhooks import Callback, LoopRun, Run
from trainhooks.testing import BATCHES, LEAVE, Bench, Epoch

ROWS = jnp.arange(12.0).reshape(BATCHES, 3, 2) / 6
SGD = optax.chain(
    optax.clip_by_global_norm(10.0),
    optax.inject_hyperparams(optax.sgd, static_args="momentum")(learning_rate=0.125, momentum=0.5),
)


class Model(nnx.Module):
    """A layer that forgets, statistics of its inputs, and another layer."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.norm = nnx.BatchNorm(2, rngs=rngs)
        self.dropout = nnx.Dropout(0.25, rngs=rngs)
        self.out = nnx.Linear(2, 1, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        return self.out(self.dropout(self.norm(x)))


def update(model: Any, optimizer: Any, gradients: Any) -> None:
    """``optimizer.update``, which before flax 0.11 knew its model."""
    has_model = tuple(map(int, flax.__version__.split(".")[:2])) < (0, 11)
    optimizer.update(*([gradients] if has_model else [model, gradients]))


@nnx.jit
def step(model: Model, optimizer: Any, x: Any) -> Any:
    loss, gradients = nnx.value_and_grad(lambda model: jnp.square(model(x) - 1).mean())(model)
    update(model, optimizer, gradients)
    return loss


@nnx.jit
def outputs(model: Model, x: Any) -> Any:
    return model(x)


class NnxBench(Bench):
    """The model under SGD with momentum."""

    owns_loop = True
    lacks = frozenset({"optimizer_step", "gradients", "optimizer_average", "graph", "save"})

    def __init__(self) -> None:
        self.model = Model(nnx.Rngs(0))
        self.optimizer = nnx.Optimizer(self.model, SGD, wrt=nnx.Param)

    def wrap(self, callbacks: Sequence[Callback], resume: Any = None) -> LoopRun:
        made: LoopRun = trainhooks.wrap(
            self.model, optimizer=self.optimizer, callbacks=callbacks, resume=resume, plugins="none"
        )
        return made

    def train(self, history: Sequence[Epoch], callbacks: Sequence[Callback], *, resume: Any = None) -> Run:
        with self.wrap(callbacks, resume) as run:
            for epoch in run.epochs(len(history)):
                self.model.train()
                for x in run.train(ROWS):
                    told = self.told(history[epoch], run.batch)
                    loss = step(self.model, self.optimizer, x)
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
        self.model.eval()
        with self.wrap(callbacks) as run:
            for x in run.predict(ROWS):
                run.log(outputs=outputs(self.model, x))
        return run.run

    def test(self, run: LoopRun, metrics: Mapping[str, float]) -> None:
        """A validation that reports ``metrics``."""
        self.model.eval()
        for x in run.test(ROWS):
            outputs(self.model, x)
            run.log(metrics, n=len(x))
