"""The LightGBM adapter, held to every rule of the kit but one."""

from __future__ import annotations

import pytest

pytest.importorskip("lightgbm", reason="lightgbm is not installed")

from bench_lightgbm import LightGBMBench

from trainhooks.testing import check_adapter

WITHOUT = {"lr-set": "LightGBM refuses a learning rate of 0, which the rule sets."}

test_lightgbm = check_adapter(LightGBMBench, without=WITHOUT)
