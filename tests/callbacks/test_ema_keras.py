"""EMA and SwapEMAWeights under Keras, held against its own on each backend; a child process for each."""

from __future__ import annotations

import pytest
from test_against_keras import BACKENDS, passes


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_averages_are_swapped_as_keras_does(backend: str) -> None:
    passes("case_ema.py", backend)
