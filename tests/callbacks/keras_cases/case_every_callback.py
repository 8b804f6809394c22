"""Every built-in, under Keras on one backend. Run by test_every_callback_keras.py."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from conformance import Conformance, Trainer

import trainhooks
from trainhooks import Callback

X = np.arange(12.0, dtype=np.float32).reshape(6, 2) / 6
Y = np.ones((6, 1), np.float32)
DATA: Any = {"x": X, "y": Y, "batch_size": 3, "shuffle": False, "validation_data": (X, Y)}
if keras.backend.backend() == "tensorflow":  # of arrays it would make a dataset anew, and trace it, in every fit
    import tensorflow as tf

    _ROWS = tf.data.Dataset.from_tensor_slices((X, Y)).batch(3)
    DATA = {"x": _ROWS, "validation_data": _ROWS}
MODEL = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
MODEL.compile(keras.optimizers.SGD(1.0), "mse")  # once, since it takes long


class Keras(Trainer):
    refuses = {
        "GradientClipping": "GradientClipping needs 'gradients', which this trainer lacks: Keras clips inside its "
        "optimizers: compile(optimizer=Adam(global_clipnorm=1.0)), or clipvalue=..."
    }

    def train(self, *made: Callback, epochs: int = 3, resume: Any = None) -> Any:
        MODEL.set_weights([np.full((2, 1), 0.5), np.zeros(1)])
        MODEL.optimizer.learning_rate = 1.0
        MODEL.optimizer.iterations.assign(0)
        wrapped = trainhooks.wrap(MODEL, callbacks=made, resume=resume)
        wrapped.fit(**DATA, epochs=epochs, verbose=0)
        return wrapped.run

    def evaluate(self, *made: Callback) -> Any:
        wrapped = trainhooks.wrap(MODEL, callbacks=made)
        data = DATA["validation_data"]
        wrapped.evaluate(*(data if isinstance(data, tuple) else [data]), verbose=0)
        return wrapped.run

    def left(self) -> list[Any]:
        return [one for one in [MODEL._initial_epoch] if one is not None]


class TestUnderKeras(Conformance):
    trainer = Keras()
    kinds = (("decision", "fault", "pause"),)
    errors = ((RuntimeError, KeyboardInterrupt),)
