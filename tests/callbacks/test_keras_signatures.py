"""The constructors beside Keras's, in a process of its own, since Keras keeps its first backend."""

from __future__ import annotations

from test_against_keras import passes


def test_each_callback_of_keras_has_a_twin_with_its_arguments() -> None:
    passes("case_signatures.py", "jax")
