"""Metrics of a JAX loop stay on their device: the steps run ahead of whoever logs."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("jax", reason="jax is not installed")

import jax
import jax.numpy as jnp
from test_logs_frameworks import reads_of
from trainhooks_adapters.jax import TrainState

import trainhooks
from trainhooks.errors import MetricValueError

PARAMS = {"w": jnp.ones(2), "b": jnp.zeros(1)}


def test_logging_reads_nothing_and_an_epoch_is_read_in_one_go() -> None:
    reads, seen, state = [], [], TrainState(PARAMS)
    with trainhooks.wrap(state) as run:
        for _ in run.epochs(2):
            loss = jnp.ones(())

            def train(loss: Any = loss) -> None:
                for _ in run.train(range(600)):
                    state.params = {**PARAMS, "b": loss}
                    run.log(loss=loss, accuracy=loss, n=32)

            reads.append(reads_of(jax, train))
            reads.append(reads_of(jax, lambda: seen.append(run.logs.copy())))
    assert (reads, seen) == ([0, 2, 0, 2], [{"loss": 1.0, "accuracy": 1.0}] * 2)


def test_logging_does_not_wait_for_a_step_that_is_still_computed() -> None:
    step = jax.jit(lambda x: (jnp.cos(x @ x), x.mean()))
    x = jnp.ones((1000, 1000))
    jax.block_until_ready(step(x))
    ahead = []
    with trainhooks.LoopRun() as run:
        for _ in run.epochs(1):
            for _ in run.train(range(8)):
                x, loss = step(x)
                run.log(loss=loss)
                ahead.append(not loss.is_ready())
    assert any(ahead)


def test_log_inside_a_compiled_step_is_refused_where_it_stands() -> None:
    with trainhooks.wrap(TrainState(PARAMS)) as run:
        for _ in run.epochs(1):
            for _ in run.train(range(1)):
                with pytest.raises(MetricValueError, match="from the compiled function and log it outside"):
                    jax.jit(lambda x: run.log(loss=x.mean()))(PARAMS["w"])
                break
