"""What callbacks wrote, as a test reads it."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from trainhooks.store import load_arrays


def files(folder: Path) -> dict[str, int]:
    """The checkpoints of a ``Numbered`` in a folder, hidden files too, each with the step that it was saved in."""
    return {path.name: int(load_arrays(path)["layer0/kernel"].item()) for path in sorted(folder.iterdir())}


def text(path: Path) -> str:
    """What the file holds, with plain line ends."""
    return path.read_bytes().decode().replace("\r\n", "\n")


def cells(path: Path) -> list[dict[str, str]]:
    """The rows of a table, each by the names of its columns."""
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


class Terminal(io.StringIO):
    """A text in memory that says that somebody looks at it."""

    def isatty(self) -> bool:
        return True
