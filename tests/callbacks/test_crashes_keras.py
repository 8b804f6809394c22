"""All callbacks that keep a state, in runs under Keras that crash; a child process for each backend."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_against_keras import BACKENDS, passes


@pytest.mark.parametrize("backend", BACKENDS)
def test_run_again_after_crashes_it_ends_as_if_there_had_been_none(backend: str) -> None:
    passes("case_crashes_together.py", backend, PYTHONPATH=str(Path(__file__).parent))
