"""The fastai adapter, held to every rule of the kit."""

from __future__ import annotations

import pytest

pytest.importorskip("fastai", reason="fastai is not installed")

from bench_fastai import FastaiBench

from trainhooks.testing import check_adapter

test_fastai = check_adapter(FastaiBench)
