"""The Lightning Fabric adapter, held to every rule of the kit."""

from __future__ import annotations

import pytest

pytest.importorskip("lightning_fabric", reason="lightning is not installed")

from bench_fabric import FabricBench

from trainhooks.testing import check_adapter

test_fabric = check_adapter(FabricBench)
