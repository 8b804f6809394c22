"""The JAX adapter, held to every rule of the kit: with optax, and with flax.nnx."""

from __future__ import annotations

import pytest

pytest.importorskip("optax", reason="optax is not installed")

from bench_jax import JaxBench

from trainhooks.testing import check_adapter

test_jax = check_adapter(JaxBench)
