"""What the Keras adapter says of itself on this backend is what stands in the table of frameworks."""

from __future__ import annotations

import sys
from pathlib import Path

import keras

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

import frameworks


def test_the_adapter_says_what_the_table_says() -> None:
    assert frameworks.disagreements(f"keras-{keras.backend.backend()}") == []
