"""The random generators that a Keras run draws from, beside those of its layers: kept, and put back."""

from __future__ import annotations

import random
import sys
from typing import Any

import keras
import numpy as np
import pytest
from tiny import BACKEND
from trainhooks_adapters.keras._trainable import KerasTrainable

VERBS = KerasTrainable(lambda: None, frozenset())


def drawn(seed: Any = None) -> Any:
    return keras.ops.convert_to_numpy(keras.random.normal((3,), seed=seed)).tolist()


@pytest.fixture(autouse=True)
def _anew() -> None:
    keras.utils.set_random_seed(1)


def test_what_is_given_no_seed_goes_on() -> None:
    drawn()
    state = VERBS.random_state()
    then = drawn()
    keras.utils.set_random_seed(2)  # as in a new process: there is no generator yet
    before = random.getstate()
    VERBS.load_random_state(state)
    assert random.getstate() == before  # none was drawn to make it
    assert drawn() == then
    VERBS.load_random_state(state)
    assert drawn() == then


def test_a_generator_that_was_not_made_is_made_as_it_would_have_been() -> None:
    state = VERBS.random_state()
    assert "keras" not in state
    python = random.getstate()
    then = drawn()
    drawn()
    VERBS.load_random_state(state)
    random.setstate(python)
    assert drawn() == then


def test_torch_goes_on_where_it_is_loaded_and_a_loaders_own_generator_does() -> None:
    if BACKEND != "torch":
        assert "torch" in sys.modules or "torch" not in VERBS.random_state()
    import torch

    own = torch.Generator().manual_seed(7)
    loader = torch.utils.data.DataLoader([0.0] * 9, shuffle=True, generator=own)

    def draw() -> Any:
        return torch.rand(2).tolist(), torch.rand(2, generator=own).tolist()

    for verbs, given in ((VERBS, loader), (KerasTrainable(lambda: None, frozenset(), loader), None)):
        state = verbs.random_state(given)
        then = draw()
        verbs.load_random_state(state, given)
        assert draw() == then


def test_tensorflows_global_generator_goes_on_if_it_was_made() -> None:
    import tensorflow as tf

    tf.random.set_global_generator(tf.random.Generator.from_seed(3))

    def draw() -> Any:
        return tf.random.get_global_generator().normal((2,)).numpy().tolist()

    state = VERBS.random_state()
    then = draw()
    VERBS.load_random_state(state)
    assert draw() == then
    tf.random.set_global_generator(tf.random.Generator.from_seed(3, alg="threefry"))
    VERBS.load_random_state(state)
    assert draw() == then


def test_the_state_is_of_plain_values_and_arrays() -> None:
    drawn()

    def kinds(value: Any) -> set[type]:
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
        return {type(value)} if inner is None else set().union(*map(kinds, inner))

    assert kinds(VERBS.random_state()) <= {np.ndarray, int}
