"""The Ignite adapter, held to every rule of the kit."""

from __future__ import annotations

import pytest

pytest.importorskip("ignite", reason="ignite is not installed")

from bench_ignite import IgniteBench

from trainhooks.testing import check_adapter

test_ignite = check_adapter(IgniteBench)
