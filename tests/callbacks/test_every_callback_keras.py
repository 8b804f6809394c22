"""Every built-in, under Keras on each backend; a child process for each."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from test_against_keras import BACKENDS, passes

HERE = Path(__file__).parent


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_callback_keeps_what_it_must_under_keras(backend: str) -> None:
    passes("case_every_callback.py", backend, PYTHONPATH=os.pathsep.join([str(HERE), str(HERE.parent)]))
