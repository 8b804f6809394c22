"""The Accelerate adapter, held to every rule of the kit."""

from __future__ import annotations

import pytest

pytest.importorskip("accelerate", reason="accelerate is not installed")

from bench_accelerate import AccelerateBench

from trainhooks.testing import check_adapter

test_accelerate = check_adapter(AccelerateBench)
