"""Checkpoints that tests look for, and damage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from trainhooks.store import save_checkpoint


def saved(folder: Path, *names: str, **of_each: list[Any]) -> None:
    """Checkpoints of these names, made in this order; the n-th is told its number among ``steps``, or n."""
    for n, name in enumerate(names):
        about = {key[:-1]: values[n] for key, values in of_each.items()}
        save_checkpoint(folder / name, {"name": name, "w": np.arange(10)}, about if of_each else {"step": n})


def flip(path: Path, at: int = -1) -> None:
    """Change one bit of a file."""
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
