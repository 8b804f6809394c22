"""The JAX adapter over flax.nnx modules, held to every rule of the kit."""

from __future__ import annotations

import pytest

pytest.importorskip("flax", reason="flax is not installed")

from bench_nnx import NnxBench

from trainhooks.testing import check_adapter

test_nnx = check_adapter(NnxBench)
