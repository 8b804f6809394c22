"""The adapter of Hugging Face's Trainer, held to every rule of the kit."""

from __future__ import annotations

import pytest

pytest.importorskip("transformers", reason="transformers is not installed")

from bench_transformers import TransformersBench

from trainhooks.testing import check_adapter

test_transformers = check_adapter(TransformersBench)
