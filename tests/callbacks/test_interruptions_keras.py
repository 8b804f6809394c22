"""GracefulStop and NaNGuard under Keras, on each backend; a child process for each."""

from __future__ import annotations

import pytest
from test_against_keras import BACKENDS, passes


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_nan_is_gone_back_from_and_a_signal_pauses(backend: str) -> None:
    passes("case_interruptions.py", backend)
