"""What a Keras run goes on from: its variables and its optimizers', and how another model's are refused."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from tiny import build, fit, plain, rows
from trainhooks_adapters.keras._trainable import KerasTrainable

import trainhooks
from trainhooks.errors import WeightsError
from trainhooks.testing import Do
from trainhooks.trainable import OnDevice

OPTIMIZERS: dict[str, Callable[[], Any]] = {
    "momentum": lambda: keras.optimizers.SGD(0.01, momentum=0.9),
    "adam": lambda: keras.optimizers.Adam(0.05),
    "schedule": lambda: keras.optimizers.Adam(keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)),
    "ema": lambda: keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5),
    "accumulating": lambda: keras.optimizers.Adam(0.05, gradient_accumulation_steps=2),
    "scaled": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1, momentum=0.5)),
}


def random_model(optimizer: Any) -> Any:
    """With dropout and batch normalization: it draws random numbers, and keeps more than trainable weights."""
    keras.utils.set_random_seed(0)
    layers = keras.layers.Dense(4), keras.layers.BatchNormalization(), keras.layers.Dropout(0.5, seed=1)
    return build(*layers, keras.layers.Dense(1), optimizer=optimizer)


def verbs(model: Any) -> KerasTrainable:
    return KerasTrainable(lambda: model, frozenset())


def values(model: Any) -> list[Any]:
    return [value.tolist() for value in model.get_weights()]


def variables(optimizer: Any) -> list[Any]:
    return [np.array(keras.ops.convert_to_numpy(one)).tolist() for one in optimizer.variables]


def step(optimizer: Any, of: list[Any]) -> None:
    """One update by gradients of one."""
    optimizer.apply([keras.ops.ones(one.shape) for one in of], of)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_to_go_on_from_a_state_is_never_to_have_stopped(name: str) -> None:
    whole = random_model(OPTIMIZERS[name]())
    never = trainhooks.wrap(whole)
    fit(never, epochs=4)
    states: list[Any] = []
    keep = Do("epoch_end", lambda run: states.append(run.state_dict()), 1)
    keep.phase = "save"
    fit(trainhooks.wrap(random_model(OPTIMIZERS[name]()), callbacks=[keep]), epochs=2)
    other = random_model(OPTIMIZERS[name]())
    other.set_weights([np.zeros(value.shape) for value in other.get_weights()])
    again = trainhooks.wrap(other, resume=states[0])
    fit(again, epochs=4)
    assert (values(other), again.run.history) == (values(whole), never.run.history)


# What belongs to it


class Adversaries(keras.Model):
    """A model of two halves, each with an optimizer that Keras does not know of; and one in a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.judge, self.forger = keras.layers.Dense(1), keras.layers.Dense(2)
        self.judge.build((None, 2))
        self.forger.build((None, 2))
        self.built = True
        self.judging, self.forging = keras.optimizers.Adam(0.1), keras.optimizers.RMSprop(0.1)
        self.rest = {"more": [keras.optimizers.SGD(0.1, momentum=0.5)]}

    def learn(self) -> None:
        step(self.judging, self.judge.trainable_variables)
        step(self.forging, self.forger.trainable_variables)
        step(self.rest["more"][0], self.forger.trainable_variables[:1])

    @property
    def all_values(self) -> list[Any]:
        return [values(self), *map(variables, (self.judging, self.forging, self.rest["more"][0]))]


def test_optimizers_of_ones_own_go_on_as_well_for_the_variables_they_had() -> None:
    model = Adversaries()
    model.learn()
    state = verbs(model).state_dict()
    model.learn()
    other = Adversaries()
    verbs(other).load_state_dict(state)
    other.learn()
    assert [one["where"] for one in state["optimizers"]] == ["judging", "forging", "rest['more'][0]"]
    assert other.all_values == model.all_values


def test_an_optimizer_that_was_not_built_when_the_state_was_taken_begins_anew() -> None:
    def made() -> Any:
        return build(optimizer=keras.optimizers.LossScaleOptimizer(keras.optimizers.Adagrad(0.1)))

    model = made()
    state = verbs(model).state_dict()
    model.optimizer.build(model.trainable_variables)
    fresh = variables(model.optimizer)
    fit(model)
    assert variables(model.optimizer) != fresh
    verbs(model).load_state_dict(state)
    assert (variables(model.optimizer), values(model)) == (fresh, values(made()))


def test_what_a_normalization_was_adapted_to_is_computed_with_at_any_depth() -> None:
    def made() -> tuple[Any, Any]:
        layer = keras.layers.Normalization()
        inner = keras.Sequential([keras.Input((2,)), layer])
        return keras.Sequential([keras.Input((2,)), inner, keras.layers.Dense(1)]), layer

    model, layer = made()
    layer.adapt(np.array([[1.0, 2], [3, 9]]))
    other, _ = made()
    verbs(other).load_state_dict(verbs(model).state_dict())
    x = rows()[0]
    predicted = [keras.ops.convert_to_numpy(one(x)).tolist() for one in (other, model)]
    assert predicted[0] == predicted[1]


def test_half_precision_stays_what_it_is() -> None:
    def made() -> Any:
        return keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, dtype="bfloat16")])

    model, other = made(), made()
    state = verbs(model).state_dict()
    verbs(other).load_state_dict(state)
    assert [str(one.dtype) for one in state["model"]["values"]] == ["bfloat16", "bfloat16"]
    assert [str(np.asarray(one).dtype) for one in verbs(model).state_snapshot()["model"]["values"]] == ["bfloat16"] * 2
    assert values(other) == values(model)


def test_the_same_model_that_is_built_for_the_second_time_is_the_same_model() -> None:
    first, second = random_model(OPTIMIZERS["adam"]()), random_model(OPTIMIZERS["adam"]())
    fit(first)
    assert first.weights[0].path != second.weights[0].path  # Keras numbers the layers on
    verbs(second).load_state_dict(verbs(first).state_dict())
    assert (values(second), variables(second.optimizer)) == (values(first), variables(first.optimizer))


# What is refused


def refusal(model: Any, state: Any) -> str:
    """What is said when the state is refused; model and optimizer are then as they were."""
    optimizer = getattr(model, "optimizer", None)
    before = values(model), [] if optimizer is None else variables(optimizer)
    with pytest.raises(WeightsError) as error:
        verbs(model).load_state_dict(state)
    assert (values(model), [] if optimizer is None else variables(optimizer)) == before
    return str(error.value)


def state_of(*layers: Any, optimizer: Any = None) -> Any:
    model = build(*layers, optimizer=optimizer)
    fit(model)
    return verbs(model).state_dict()


def two() -> Any:
    return keras.layers.Dense(2), keras.layers.Dense(1)


def test_a_model_of_more_variables_is_refused() -> None:
    assert refusal(build(*two()), state_of()) == (
        "load_state_dict(): the model has 4 variables, the state 2. Nothing was written."
    )


def test_a_model_of_another_shape_is_refused() -> None:
    text = refusal(build(keras.layers.Dense(3), keras.layers.Dense(1)), state_of(*two()))
    assert text.startswith("load_state_dict(), the model: the weights do not fit (another shape: 'sequential")
    assert text.endswith("kernel' is (3, 1), given (2, 1)). Nothing was written.")


def test_a_model_of_other_layers_is_refused_by_their_names() -> None:
    one = keras.layers.Dense(2, name="one"), keras.layers.Dense(1, name="two")
    other = keras.layers.Dense(2, name="one"), keras.layers.Dense(1, name="three")
    text = refusal(build(*other), state_of(*one))
    assert text.startswith("load_state_dict(): the model has 'sequential")
    assert "/three/kernel' where the state has 'two/kernel'; 'sequential" in text
    assert text.endswith("/three/bias' where the state has 'two/bias'. Nothing was written.")


def test_the_same_layers_in_another_order_are_refused() -> None:
    def made(first: int, second: int) -> Any:
        layers = [keras.layers.Dense(2, name=f"block_{place}") for place in (first, second)]
        return keras.Sequential([keras.Input((2,)), *layers], name="same")

    text = refusal(made(1, 0), verbs(made(0, 1)).state_dict())
    assert text == (
        "load_state_dict(): the model has its variables in another order: 'same/block_1/kernel' where the state has "
        "'same/block_0/kernel'. Nothing was written."
    )


def test_another_type_of_values_is_refused() -> None:
    def made(dtype: str) -> Any:
        return keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, dtype=dtype, name="d")], name="same")

    text = refusal(made("bfloat16"), verbs(made("float32")).state_dict())
    assert text == (
        "load_state_dict(): the model is of another type: 'same/d/kernel' is bfloat16, given float32; "
        "'same/d/bias' is bfloat16, given float32. Nothing was written."
    )


def test_another_optimizer_is_refused() -> None:
    text = refusal(build(optimizer=keras.optimizers.Adamax(0.1)), state_of(optimizer=keras.optimizers.Adam(0.1)))
    assert text == "load_state_dict(): the state is of Adam, the optimizer is Adamax. Nothing was written."
    assert refusal(keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]), state_of()) == (
        "load_state_dict(): the state is of SGD, the optimizer is none. Nothing was written."
    )


def test_another_optimizer_inside_the_one_that_scales_the_loss_is_refused() -> None:
    scaled = keras.optimizers.LossScaleOptimizer
    model = build(optimizer=scaled(keras.optimizers.Adamax(0.1)))
    assert refusal(model, state_of(optimizer=scaled(keras.optimizers.Adam(0.1)))) == (
        "load_state_dict(): the state is of Adam (optimizer.inner_optimizer), the optimizer is Adamax "
        "(optimizer.inner_optimizer). Nothing was written."
    )


@pytest.mark.parametrize("built", [False, True])
def test_another_setting_of_an_optimizer_is_refused_and_it_is_not_built(built: bool) -> None:
    model = build(optimizer=keras.optimizers.SGD(0.1))
    if built:
        model.optimizer.build(model.trainable_variables)
    text = refusal(model, state_of(optimizer=keras.optimizers.SGD(0.1, momentum=0.5)))
    assert text == ("load_state_dict(): the optimizer (optimizer) has 2 variables, the state 4. Nothing was written.")
    assert model.optimizer.built == built


def test_a_model_that_is_not_built_says_what_to_do() -> None:
    model = keras.Sequential([keras.layers.Dense(1)])
    remedy = "the model has no weights yet. Give it an Input layer, or call it on a batch, before fit."
    with pytest.raises(WeightsError) as error:
        verbs(model).state_dict()
    assert str(error.value) == f"run.state_dict(): {remedy}"
    with pytest.raises(WeightsError) as error:
        verbs(model).load_state_dict(state_of())
    assert str(error.value) == f"load_state_dict(): {remedy}"


def test_what_is_no_state_of_a_keras_model_is_refused() -> None:
    assert refusal(build(), {"model": {}}) == (
        "load_state_dict(): this is not what a Keras model's state_dict() gives (KeyError: 'paths'). "
        "Nothing was written."
    )


class Secretive(keras.optimizers.SGD):
    """An optimizer that cannot be made anew from its configuration."""

    def get_config(self) -> Any:
        raise NotImplementedError


def test_an_optimizer_that_cannot_be_checked_before_it_is_built_is_refused_until_it_is() -> None:
    state, model = state_of(optimizer=Secretive(0.1, momentum=0.5)), build(optimizer=Secretive(0.1, momentum=0.5))
    assert refusal(model, state) == (
        "load_state_dict(): optimizer is not built as it was when the state was taken, and its get_config() gives no "
        "second one to check it with. Build it before fit, with optimizer.build(variables). Nothing was written."
    )
    model.optimizer.build(model.trainable_variables)
    verbs(model).load_state_dict(state)
    assert variables(model.optimizer)[2:] == [
        value.tolist() for value in state["optimizers"][0]["parts"][0]["values"][2:]
    ]


# As a snapshot


def test_a_snapshot_is_the_state_of_then_read_by_another_thread_after_more_steps() -> None:
    taken: list[Any] = []
    model = random_model(OPTIMIZERS["adam"]())
    both = Do("train_batch_end", lambda run: taken.extend([run.trainable.state_dict(), run.trainable.state_snapshot()]))
    fit(trainhooks.wrap(model, callbacks=[both]), epochs=2)
    then, snapshot = taken
    lists: list[Any] = []
    arrays = [state["model"]["values"] + state["optimizers"][0]["parts"][0]["values"] for state in (then, snapshot)]
    assert all(isinstance(one, OnDevice) for one in arrays[1])
    thread = threading.Thread(target=lambda: lists.extend(np.asarray(one).tolist() for one in arrays[1]))
    thread.start()
    thread.join()
    assert lists == [one.tolist() for one in arrays[0]]
    assert lists[0] != values(model)[0]


def test_a_snapshot_can_be_gone_back_to() -> None:
    model = plain()
    snapshot = verbs(model).state_snapshot()
    fit(model)
    verbs(model).load_state_dict(snapshot)
    fit(model)  # on JAX it donates what is in the variables
    verbs(model).load_state_dict(snapshot)
    assert values(model) == [[[0], [0]], [0]]
