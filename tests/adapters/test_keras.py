"""The Keras adapter on each backend: a backend is chosen when Keras is imported, so each has a process of its own."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

CASES = sorted((Path(__file__).parent / "keras_cases").glob("case_*.py"))
OWN = ("-p", "no:cacheprovider", "-p", "no:xdist", "-o", "addopts=")
THREADS = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0", "CUDA_VISIBLE_DEVICES": "", "PYTEST_ADDOPTS": ""}


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_every_case_holds_on_this_backend(backend: str) -> None:
    for name in ("keras", backend):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--tb=short", "--disable-warnings", *OWN, *map(str, CASES)],
        env={**os.environ, **THREADS, **QUIET, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-20_000:] + ended.stderr[-2_000:]
    closing = ended.stdout.strip().splitlines()[-1]
    assert re.fullmatch(r"\d{3} passed(, \d+ warnings?)? in .+", closing), ended.stdout[-2_000:]  # and none skipped
