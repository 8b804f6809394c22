"""Patience goes over between Keras and PyTorch or numpy, by the file. Run by test_portability_keras.py."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from test_portability import STOPS_AT, UNINTERRUPTED, VAL_LOSS, goes_over, numpy_loop, torch_loop, train

import trainhooks
from trainhooks import Callback

X, Y = np.ones((4, 1), "float32"), np.ones((4, 1), "float32")


def keras_fit(callbacks: list[Callback], resume: Any) -> Any:
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1), loss="mse")
    wrapped = trainhooks.wrap(model, callbacks=callbacks, resume=resume)
    wrapped.fit(X, Y, epochs=len(VAL_LOSS), batch_size=2, verbose=0)
    return wrapped.run


def test_uninterrupted_it_stops_as_under_the_others() -> None:
    assert train(keras_fit) == UNINTERRUPTED


@pytest.mark.parametrize("epoch", range(STOPS_AT))
@pytest.mark.parametrize("other, loop", [("torch", torch_loop), ("numpy", numpy_loop)])
@pytest.mark.parametrize("from_keras", [True, False], ids=["from Keras", "to Keras"])
def test_patience_goes_over(tmp_path: Path, other: str, loop: Any, from_keras: bool, epoch: int) -> None:
    if from_keras:
        goes_over(tmp_path, ("keras", other), (keras_fit, loop), epoch)
    else:
        goes_over(tmp_path, (other, "keras"), (loop, keras_fit), epoch)
