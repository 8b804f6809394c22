"""Patience that was begun under Keras goes on under PyTorch, and the other way; a child process for each backend."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
from test_against_keras import BACKENDS, passes


@pytest.mark.parametrize("backend", BACKENDS)
def test_patience_goes_over_by_the_file(backend: str) -> None:
    if find_spec("torch") is None:
        pytest.skip("torch is not installed")
    passes("case_portability.py", backend)
