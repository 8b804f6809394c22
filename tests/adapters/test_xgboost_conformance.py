"""The XGBoost adapter, held to every rule of the kit."""

from __future__ import annotations

import pytest

pytest.importorskip("xgboost", reason="xgboost is not installed")

from bench_xgboost import XGBoostBench

from trainhooks.testing import check_adapter

test_xgboost = check_adapter(XGBoostBench)
