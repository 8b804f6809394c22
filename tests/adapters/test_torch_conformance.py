"""The PyTorch adapter, held to every rule of the kit."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="torch is not installed")

from bench_torch import TorchBench

from trainhooks.testing import check_adapter

test_torch = check_adapter(TorchBench)
