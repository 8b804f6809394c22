"""Moving averages under Keras, against its own SwapEMAWeights. Run by test_ema_keras.py."""

from __future__ import annotations

import pickle
from typing import Any

import keras
import numpy as np
import pytest
from trainhooks_adapters.keras import bridge

import trainhooks
from trainhooks import Callback, Run
from trainhooks.callbacks.early_stopping import EarlyStopping
from trainhooks.callbacks.ema import EMA
from trainhooks.callbacks.gradient_clipping import GradientClipping
from trainhooks.callbacks.swap_ema_weights import SwapEMAWeights
from trainhooks.errors import CapabilityError
from trainhooks.testing import Do, RaiseAt

BACKEND = keras.backend.backend()

RNG = np.random.default_rng(0)
X = RNG.normal(size=(12, 2)).astype("float32")
Y = X.prod(axis=1, keepdims=True) + 1


def build(optimizer: Any = None, *layers: Any, **options: Any) -> Any:
    keras.utils.set_random_seed(7)
    model = keras.Sequential([keras.Input((2,)), *layers, keras.layers.Dense(1)])
    model.compile(optimizer or averaging(), loss="mse", **options)
    return model


def averaging(**options: Any) -> Any:
    return keras.optimizers.SGD(0.05, use_ema=True, ema_momentum=0.9, **options)


def plain() -> Any:
    return keras.optimizers.SGD(0.05)


def fit(model: Any, callbacks: list[Any], epochs: int = 3, **options: Any) -> Any:
    given = {"batch_size": 3, "shuffle": False, "verbose": 0, "validation_data": (X[:6] + 1, Y[:6])} | options
    return model.fit(X, Y, epochs=epochs, callbacks=callbacks, **given).history


class Seen(keras.callbacks.Callback):
    """The weights that a callback after ours sees at an epoch's end, in a validation and in training."""

    def __init__(self) -> None:
        super().__init__()
        self.epochs: list[Any] = []
        self.tests: list[Any] = []
        self.steps: list[Any] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.epochs.append(self.model.get_weights())

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        self.tests.append(self.model.get_weights())

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.steps.append(self.model.get_weights())


def close(a: Any, b: Any, exact: bool = BACKEND != "tensorflow") -> None:
    """Equal; on TensorFlow, where Keras swaps by adding and subtracting, up to the rounding of that."""
    if isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for one, other in zip(a, b, strict=True):
            close(one, other, exact)
    elif exact:
        np.testing.assert_array_equal(a, b)
    else:
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


# Against Keras's own


@pytest.mark.parametrize("swap_on_epoch", [False, True])
@pytest.mark.parametrize("overwrite", [None, 3])
def test_everything_is_as_with_keras_own(swap_on_epoch: bool, overwrite: int | None) -> None:
    stories = []
    for ours in (True, False):
        model = build(averaging(ema_overwrite_frequency=overwrite), keras.layers.BatchNormalization())
        swap = bridge([SwapEMAWeights(swap_on_epoch)]) if ours else keras.callbacks.SwapEMAWeights(swap_on_epoch)
        seen = Seen()
        history = fit(model, [swap, seen])
        kept = [keras.ops.convert_to_numpy(one) for one in model.optimizer._model_variables_moving_average]
        stories.append((history, seen, model.get_weights(), kept))
    (history, seen, weights, kept), (their_history, theirs, their_weights, their_kept) = stories
    close([history["val_loss"], history["loss"]], [their_history["val_loss"], their_history["loss"]])
    close([seen.epochs, seen.tests, seen.steps], [theirs.epochs, theirs.tests, theirs.steps])
    close([weights, kept], [their_weights, their_kept])
    assert not np.array_equal(seen.tests[0][0], seen.steps[3][0])  # it validated with other weights than it trained


def test_our_average_is_keras_own_and_swaps_alike() -> None:
    ema = EMA(0.9)
    model, theirs = build(plain()), build()
    seen, their_seen = Seen(), Seen()
    history = fit(model, [bridge([ema, SwapEMAWeights(True)]), seen])
    their_history = fit(theirs, [keras.callbacks.SwapEMAWeights(True), their_seen])
    kept = [keras.ops.convert_to_numpy(one) for one in theirs.optimizer._model_variables_moving_average]
    close(list(ema.get_weights().values()), kept, exact=False)
    close(model.get_weights(), theirs.get_weights(), exact=False)
    close(history["val_loss"], their_history["val_loss"], exact=False)
    close([seen.epochs, seen.tests, seen.steps], [their_seen.epochs, their_seen.tests, their_seen.steps], exact=False)
    assert (ema.steps, ema.updates) == (12, 12)


def test_a_prediction_ends_with_the_training_weights_where_keras_leaves_the_averages() -> None:
    """A fault of Keras's: its on_predict_end asks for the contrary of what it means (keras 3.15)."""
    ended = []
    for make in (lambda: bridge([SwapEMAWeights()]), keras.callbacks.SwapEMAWeights):
        model = build()
        fit(model, [])
        model.set_weights([weight + 1 for weight in model.get_weights()])
        before = model.get_weights()
        model.predict(X, verbose=0, callbacks=[make()])
        ended.append(all(map(np.array_equal, model.get_weights(), before)))
    assert ended == [True, False]


def test_an_evaluation_before_any_training_sees_the_models_own_weights() -> None:
    model, seen = build(), Seen()
    before = model.get_weights()
    model.optimizer.build(model.trainable_variables)
    model.evaluate(X, Y, verbose=0, callbacks=[bridge([SwapEMAWeights()]), seen])
    close(seen.tests[0], before)
    close(model.get_weights(), before)


# Beside others


def test_early_stopping_has_the_last_word() -> None:
    kept: list[Any] = []
    for optimizer, more in ((averaging(), []), (plain(), [EMA(0.9)])):
        kept.clear()
        keep = Do("epoch_end", lambda run: kept.append(run.get_weights()), None)
        keep.phase = "save"
        stopping = EarlyStopping("val_loss", mode="max", patience=9, restore_best_weights=True)
        model = build(optimizer)
        fit(model, [bridge([stopping, *more, SwapEMAWeights(True), keep])])
        assert stopping.best_epoch == 0
        close(model.get_weights(), list(kept[0].values()))


@pytest.mark.parametrize("event", ["test_batch_end", "epoch_end", "train_batch_begin"])
@pytest.mark.parametrize("swap_on_epoch", [False, True])
def test_after_an_exception_the_training_weights_are_back(event: str, swap_on_epoch: bool) -> None:
    model, seen = build(plain()), Seen()
    trouble = RaiseAt(event, {"train_batch_begin": 4}.get(event, 0))
    trouble.phase = "save"
    wrapped = trainhooks.wrap(model, callbacks=[EMA(0.9), SwapEMAWeights(swap_on_epoch), trouble])
    with pytest.raises(RuntimeError, match="asked for"):
        fit(wrapped, [seen])
    close(model.get_weights(), seen.steps[3])


@pytest.mark.parametrize("optimizer", [averaging, plain])
def test_a_state_saved_while_the_averages_are_in_the_model_resumes_to_the_bit(optimizer: Any) -> None:
    def callbacks() -> list[Callback]:
        return [EMA(0.9), SwapEMAWeights(True)] if optimizer is plain else [SwapEMAWeights(True)]

    states: list[Any] = []

    def keep(run: Run) -> None:
        states.append(pickle.loads(pickle.dumps(run.state_dict())))

    saver = Do("epoch_end", keep, 1)
    saver.phase = "save"
    wanted = build(optimizer())
    history = fit(wanted, [bridge([*callbacks(), saver])], epochs=4)
    model = build(optimizer())
    resumed = trainhooks.wrap(model, callbacks=callbacks(), resume=states[0])
    assert fit(resumed, [], epochs=4)["val_loss"] == history["val_loss"][2:]
    close(model.get_weights(), wanted.get_weights(), exact=True)


# The verbs


def test_an_optimizer_that_scales_the_loss_keeps_the_averages_inside() -> None:
    scaled = build(keras.optimizers.LossScaleOptimizer(averaging()))
    seen = Seen()
    fit(scaled, [bridge([SwapEMAWeights(True)]), seen])
    inner = scaled.optimizer.inner_optimizer
    close(seen.epochs[-1], [keras.ops.convert_to_numpy(one) for one in inner._model_variables_moving_average])
    assert not np.array_equal(seen.epochs[-1][0], seen.steps[-1][0])


def test_of_several_optimizers_those_that_average_are_taken() -> None:
    first, last = keras.layers.Dense(2, name="first"), keras.layers.Dense(1, name="last")
    model = keras.Sequential([keras.Input((2,)), first, last])
    both = {".*first.*": averaging()}
    model.compile(keras.optimizers.MultiOptimizer(keras.optimizers.OptimizerMap(plain(), both)), loss="mse")
    seen = Seen()
    fit(model, [bridge([SwapEMAWeights(True)]), seen], epochs=1)
    swapped, trained = seen.epochs[0], seen.steps[3]
    assert [bool(np.array_equal(a, b)) for a, b in zip(swapped, trained, strict=True)] == [False, False, True, True]


def test_an_average_in_half_precision_moves() -> None:
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, dtype="bfloat16")])
    model.compile("sgd", "mse")
    made = bridge([])
    made.set_model(model)
    trainable = made.new_driver().trainable
    model.set_weights([np.array([[1.0]])])
    average = trainable.update_average(None, 0.999)
    model.set_weights([np.array([[2.0]])])
    for _ in range(100):
        average = trainable.update_average(average, 0.999)
    assert float(keras.ops.convert_to_numpy(average[0]).item()) == pytest.approx(2 - 0.999**100, rel=1e-5)
    trainable.restore(average)
    assert model.weights[0].dtype == "bfloat16"
    assert float(keras.ops.convert_to_numpy(keras.ops.cast(model.weights[0], "float32")).item()) == pytest.approx(
        2 - 0.999**100, rel=1e-2
    )


def test_what_is_no_float_is_taken_over_as_it_is() -> None:
    class Counting(keras.layers.Layer):
        def build(self, shape: Any) -> None:
            self.count = self.add_weight(shape=(), dtype="int32", initializer="zeros", trainable=False)

        def call(self, x: Any) -> Any:
            return x

    model = build(plain(), Counting())
    made = bridge([])
    made.set_model(model)
    trainable = made.new_driver().trainable
    average = trainable.update_average(None, 0.5)
    model.layers[0].count.assign(8)
    at = [variable.path for variable in model.weights].index(model.layers[0].count.path)
    assert int(trainable.update_average(average, 0.5)[at]) == 8


NONE = (
    "its optimizer keeps none: compile(optimizer=Adam(use_ema=True)), or add trainhooks.callbacks.EMA(decay) to the "
    "callbacks."
)
UNCOMPILED = "the model has no optimizer yet: call model.compile(optimizer=Adam(use_ema=True)) first."


@pytest.mark.parametrize("compiled, told", [(True, NONE), (False, UNCOMPILED)])
def test_an_optimizer_without_an_average_says_what_to_change(compiled: bool, told: str) -> None:
    model = build(plain()) if compiled else keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    made = bridge([])
    made.set_model(model)
    trainable = made.new_driver().trainable
    with pytest.raises(CapabilityError) as error:
        trainable.optimizer_average()
    assert trainable.missing("optimizer_average") == told
    assert str(error.value) == f"run needs 'optimizer_average', which this trainer lacks: {told}"


def test_without_any_average_there_is_an_error_before_training() -> None:
    model = build(plain())
    before = model.get_weights()
    with pytest.raises(CapabilityError, match="SwapEMAWeights: nothing keeps an average of the weights"):
        fit(model, [bridge([SwapEMAWeights()])])
    close(model.get_weights(), before)


def test_gradients_are_clipped_by_keras_itself() -> None:
    with pytest.raises(CapabilityError) as error:
        trainhooks.wrap(build(plain()), callbacks=[GradientClipping(1.0)])
    assert str(error.value) == (
        "GradientClipping needs 'gradients', which this trainer lacks: Keras clips inside its optimizers: "
        "compile(optimizer=Adam(global_clipnorm=1.0)), or clipvalue=..."
    )
