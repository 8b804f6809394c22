"""The Lightning adapter, held to every rule of the kit."""

from __future__ import annotations

import pytest

pytest.importorskip("lightning", reason="lightning is not installed")

from bench_lightning import LightningBench

from trainhooks.testing import check_adapter

test_lightning = check_adapter(LightningBench)
