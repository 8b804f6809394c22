"""Timer, StopFile, Throughput and EpochScoring under a real Keras fit; a child process for each backend."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

CASE = Path(__file__).parent / "keras_cases" / "case_more_callbacks.py"


@pytest.mark.parametrize("backend", ["jax", "tensorflow", "torch"])
def test_they_do_under_keras_what_they_do_elsewhere(backend: str) -> None:
    for needed in ("keras", backend):
        if find_spec(needed) is None:
            pytest.skip(f"{needed} is not installed")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "addopts=", str(CASE)],
        capture_output=True,
        text=True,
        env={**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"},
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout.strip().splitlines()[-1], done.stdout
