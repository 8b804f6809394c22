"""The built-ins beside the real Keras classes, through real fits on each backend; a child process for each."""

from __future__ import annotations

import pytest
from test_against_keras import BACKENDS, passes


@pytest.mark.parametrize("backend", BACKENDS)
def test_each_class_makes_of_a_fit_what_keras_own_makes_of_it(backend: str) -> None:
    passes("case_fit_decisions.py", backend)
