"""The skorch adapter, held to every rule of the kit."""

from __future__ import annotations

import pytest

pytest.importorskip("skorch", reason="skorch is not installed")

from bench_skorch import SkorchBench

from trainhooks.testing import check_adapter

test_skorch = check_adapter(SkorchBench)
