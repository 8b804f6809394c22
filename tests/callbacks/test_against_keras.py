"""The decisions of the built-ins, held against the real Keras classes on each backend; a child process for each."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

CASES = Path(__file__).parent / "keras_cases"
BACKENDS = ("jax", "tensorflow", "torch")
HISTORIES = {"jax": 2000, "tensorflow": 200, "torch": 200}


def passes(case: str, backend: str, **environment: str) -> None:
    """Run the tests of one file under Keras on ``backend``: all must pass, and none be skipped."""
    for needed in ("keras", backend):
        if find_spec(needed) is None:
            pytest.skip(f"{needed} is not installed")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "addopts=", str(CASES / case)],
        capture_output=True,
        text=True,
        env={**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
        check=False,
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    closing = done.stdout.strip().splitlines()[-1]
    assert " passed" in closing, output
    assert "skipped" not in closing, output


@pytest.mark.parametrize("backend", BACKENDS)
def test_each_class_decides_as_keras_does_on_random_histories(backend: str) -> None:
    passes("case_decisions.py", backend, HISTORIES=str(HISTORIES[backend]))


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_object_decides_the_same_under_every_trainer(backend: str) -> None:
    if find_spec("torch") is None:
        pytest.skip("torch is not installed")
    passes("case_same_everywhere.py", backend)
