"""TensorBoard under Keras, and held against Keras's own; a child process for each backend."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
from test_against_keras import BACKENDS, passes


@pytest.mark.parametrize("backend", BACKENDS)
def test_it_writes_under_keras_what_keras_writes(backend: str) -> None:
    for needed in ("tensorboardX", "tensorboard"):
        if find_spec(needed) is None:
            pytest.skip(f"{needed} is not installed")
    passes("case_tensorboard.py", backend, PYTHONPATH=str(Path(__file__).parent))
