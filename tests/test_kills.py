"""The short form of ``tests/kill.py``: runs that are killed by SIGKILL, and run again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills of POSIX")
@pytest.mark.parametrize("options", [(), ("--background",)], ids=["in the loop", "in the background"])
def test_a_run_that_is_killed_again_and_again_ends_as_one_that_was_left_alone(options: tuple[str, ...]) -> None:
    script = Path(__file__).with_name("kill.py")
    done = subprocess.run(
        [sys.executable, str(script), "--kills", "12", "--slow", "0.001", *options],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert " 12 kills, " in done.stdout
