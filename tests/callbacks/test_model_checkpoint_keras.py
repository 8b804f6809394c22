"""ModelCheckpoint's files under the real Keras, on each backend; a child process for each."""

from __future__ import annotations

import pytest
from test_against_keras import BACKENDS, passes


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_files_hold_the_model_at_keras_own_moments(backend: str) -> None:
    passes("case_checkpoint_files.py", backend)
