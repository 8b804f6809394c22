"""Every built-in, under a PyTorch loop."""

from __future__ import annotations

import pytest
from every_callback import every_one

pytest.importorskip("torch", reason="torch is not installed")

from bench_torch import TorchBench  # it imports torch

TestUnderATorchLoop = every_one(TorchBench)
