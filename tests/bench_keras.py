"""KerasBench: a tiny Keras model under ``fit``, on the backend of this process, for the kits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

import trainhooks
from trainhooks import Callback, Run
from trainhooks.testing import BATCHES, Bench, Epoch

ROWS = np.arange(12.0, dtype=np.float32).reshape(BATCHES * 3, 2) / 6
DATA: Any = {"x": ROWS, "y": np.ones((BATCHES * 3, 1), np.float32)}
if keras.backend.backend() == "tensorflow":  # of arrays it would make a dataset anew, and trace it, in every fit
    import tensorflow as tf

    DATA = {"x": tf.data.Dataset.from_tensor_slices((DATA["x"], DATA["y"])).batch(3)}
SIZE = {"batch_size": 3} if len(DATA) == 2 else {}


class Script(keras.callbacks.Callback):
    """Says what is to be reported now; the loss and the metrics ask it at each step, since the model runs eagerly."""

    def __init__(self, history: Sequence[Epoch]) -> None:
        super().__init__()
        self.history = history
        self.epoch: Epoch = {}
        self.told: dict[str, float] = {}
        self.batch = 0
        self.validates = False

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epoch, self.batch = self.history[epoch], 0

    def on_test_begin(self, logs: Any = None) -> None:
        self.validates = True

    def on_test_end(self, logs: Any = None) -> None:
        self.validates = False

    def next_batch(self) -> None:
        """A step has begun, whose exception is raised here."""
        if self.validates:
            self.told = Bench.told_in_validation(self.epoch)
        else:
            self.told = Bench.told(self.epoch, self.batch)
            self.batch += 1


class KerasBench(Bench):
    """A dense layer under Adam."""

    lacks = frozenset(
        {"optimizer_step", "gradients", "end_epoch", "batch_logs", "data_wait", "mid_epoch"} | {"optimizer_average"}
    )
    sparing = True
    looks_after_batches = True
    metrics: Sequence[str] = ("accuracy",)

    def __init__(self) -> None:
        keras.utils.set_random_seed(0)
        self.script = Script([])
        self.model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="dense")])
        optimizer = keras.optimizers.Adam(0.125)
        metrics = [keras.metrics.MeanMetricWrapper(self.accuracy, name=name) for name in self.metrics]
        self.model.compile(optimizer, self.loss, metrics=metrics, run_eagerly=True, jit_compile=False)

    def loss(self, y_true: Any, y_pred: Any) -> Any:
        """What the script tells, with the gradient of the outputs' mean; it is the first thing of a step."""
        self.script.next_batch()
        mean = keras.ops.mean(y_pred)
        return self.script.told.get("loss", 0.0) + (mean - keras.ops.stop_gradient(mean))

    def accuracy(self, y_true: Any, y_pred: Any) -> Any:
        return keras.ops.convert_to_tensor(self.script.told.get("accuracy", 0.0), "float32")

    def train(self, history: Sequence[Epoch], callbacks: Sequence[Callback], *, resume: Any = None) -> Run:
        self.script.history, self.script.validates = history, False
        wrapped = trainhooks.wrap(self.model, callbacks=callbacks, resume=resume, plugins="none")
        validated = [number for number, epoch in enumerate(history, 1) if self.told_in_validation(epoch)]
        given: dict[str, Any] = {"epochs": len(history), "callbacks": [self.script], "verbose": 0, "shuffle": False}
        if validated:
            given |= {"validation_data": tuple(DATA.values()), "validation_freq": validated}
            given |= {"validation_data": DATA["x"]} if len(DATA) == 1 else {"validation_batch_size": 3}
        wrapped.fit(**DATA, **SIZE, **given)
        assert wrapped.run is not None
        return wrapped.run  # type: ignore[no-any-return]

    def evaluate(self, metrics: Mapping[str, float], callbacks: Sequence[Callback]) -> Run | None:
        return self.evaluate_resumed(metrics, callbacks, None)

    def evaluate_resumed(self, metrics: Mapping[str, float], callbacks: Sequence[Callback], resume: Any) -> Run | None:
        self.script.epoch = {f"val_{name}": value for name, value in metrics.items()}
        wrapped = trainhooks.wrap(self.model, callbacks=callbacks, resume=resume, plugins="none")
        wrapped.evaluate(**DATA, **SIZE, verbose=0, callbacks=[self.script])
        return wrapped.run  # type: ignore[no-any-return]

    def stop_itself(self) -> None:
        self.model.stop_training = True

    def predict(self, callbacks: Sequence[Callback]) -> Run | None:
        wrapped = trainhooks.wrap(self.model, callbacks=callbacks, plugins="none")
        wrapped.predict(ROWS, 3, verbose=0)
        return wrapped.run  # type: ignore[no-any-return]

    def left_on(self) -> list[Any]:
        return [one for one in [self.model._initial_epoch] if one is not None]


class LossBench(KerasBench):
    """The same, which reports a loss alone."""

    metrics = ()
