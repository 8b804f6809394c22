"""What the tests of the boosting adapters share: a life that is killed half way, and one that is not."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import warnings
from pathlib import Path


def lived(script: str, folder: Path, kill: int | None = None) -> str:
    """What ``script`` prints in ``folder``; with ``kill``, which it sees, in a process of its own that it ends by 9."""
    folder.mkdir(exist_ok=True)
    if kill is not None:
        command = [sys.executable, "-W", "ignore", "-c", f"kill = {kill}\n{script}"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 9, done.stderr
        return done.stdout
    before, printed = os.getcwd(), io.StringIO()
    os.chdir(folder)
    try:
        with contextlib.redirect_stdout(printed), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exec(script, {"kill": None})
    finally:
        os.chdir(before)
    return printed.getvalue()
