"""Schedules, and the scheduler that sets them at each step, under the real Keras; a child process for each backend."""

from __future__ import annotations

import pytest
from test_against_keras import BACKENDS, passes


@pytest.mark.parametrize("backend", BACKENDS)
def test_values_are_keras_s_and_each_batch_is_trained_with_its_rate(backend: str) -> None:
    passes("case_schedules.py", backend)
