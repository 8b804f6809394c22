"""All callbacks that keep a state, in one run under Keras that crashes anywhere. Run by test_crashes_keras.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import pytest
from test_crashes_together import EPOCHS, X, Y, differences, random_crashes

import trainhooks
from trainhooks import Callback
from trainhooks.callbacks import GradientClipping


def with_keras(*made: Callback) -> Any:
    keras.utils.clear_session()  # names of layers as in a new process
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(4, "relu"), keras.layers.BatchNormalization(), keras.layers.Dropout(0.2, seed=3)]
    model = keras.Sequential([keras.Input((3,)), *layers, keras.layers.Dense(2)])
    model.compile(keras.optimizers.Adam(0.05), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    wrapped = trainhooks.wrap(model, callbacks=[one for one in made if not isinstance(one, GradientClipping)])
    wrapped.fit(X, Y, batch_size=4, epochs=EPOCHS, shuffle=False, verbose=0, validation_data=(X[:8], Y[:8]))
    return wrapped.run, {str(place): value for place, value in enumerate(model.get_weights())}


@pytest.mark.parametrize("seed", range(2))
def test_after_crashes_anywhere_it_ends_as_if_there_had_been_none(seed: int, tmp_path: Path) -> None:
    crashes = random_crashes(seed)
    assert differences(with_keras, tmp_path, crashes, order=seed) == [], crashes
