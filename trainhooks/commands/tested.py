"""The releases of each framework that its adapter was tested with, as the package has them in a file."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Final

FILE: Final = "frameworks.json"
"""In ``trainhooks/data``; written by ``python tests/frameworks.py --table``."""


def releases() -> dict[str, list[str]]:
    """For each framework that trainhooks itself serves the releases, the oldest first."""
    told: dict[str, list[str]] = json.loads((files("trainhooks") / "data" / FILE).read_text(encoding="utf-8"))
    return told


def in_words(tested: list[str], there: str | None) -> str:
    """What they say of the release that is there, or of none; empty where nothing was tested."""
    return f"{_beside(tested, there)} {', '.join(tested)}" if tested else ""


def _beside(tested: list[str], there: str | None) -> str:
    """On which side of those that were tested the release lies that is there."""
    from packaging.version import InvalidVersion, Version

    try:
        version = Version((there or tested[-1]).partition("+")[0])  # what a build adds makes no other release
    except InvalidVersion:
        return "tested with"
    if version > Version(tested[-1]):
        return "newer than those tested,"
    return "older than those tested," if version < Version(tested[0]) else "tested with"
