"""Plugins of others for the command line: folders that Python finds as it finds what pip installed."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path


def distribution(folder: Path, name: str, version: str, module: str, needs: tuple[str, ...] = ()) -> None:
    """Write a distribution whose one plugin is the text ``module``, called as the distribution is."""
    code = name.replace("-", "_")
    (folder / f"{code}.py").write_text(textwrap.dedent(module), encoding="utf-8")
    about = metadata(folder, name, version, needs)
    (about / "entry_points.txt").write_text(f"[trainhooks]\n{name} = {code}\n")


def environment(folder: Path, **more: str) -> dict[str, str]:
    """One in which these distributions are installed, and nothing else is said about plugins, colours or Keras."""
    said = {"NO_COLOR", "FORCE_COLOR", "TRAINHOOKS_PLUGINS", "KERAS_BACKEND", "KERAS_HOME"}
    said |= {"PYTHONIOENCODING", "PYTHONUNBUFFERED"}
    kept = {name: value for name, value in os.environ.items() if name not in said}
    return {**kept, "PYTHONPATH": str(folder), "COLUMNS": "100", **more}


def metadata(folder: Path, name: str, version: str, needs: tuple[str, ...] = ()) -> Path:
    """Write what pip leaves behind of a distribution; returns the folder."""
    about = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    about.mkdir()
    required = "".join(f"Requires-Dist: {need}\n" for need in needs)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{required}")
    return about


def trainhooks(folder: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run ``python -m trainhooks`` with the plugins of a folder."""
    command = [sys.executable, "-m", "trainhooks", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment(folder, **more), check=False)
