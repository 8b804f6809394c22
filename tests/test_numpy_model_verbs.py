"""The numpy model as a Trainable: its weights, its states, its learning rate; and what it refuses."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_models import OPTIMIZERS, Batch, batches, same, train

from trainhooks.errors import CapabilityError, WeightsError
from trainhooks.numpy_model import MLP
from trainhooks.numpy_optimizers import SGD, Adam
from trainhooks.trainable import CAPABILITIES

# The verbs of Trainable


def test_the_model_shows_itself_its_optimizer_and_what_it_can_do() -> None:
    model = MLP((5, 3), optimizer="adam")
    assert (model.framework, model.model, type(model.optimizer)) == ("numpy", model, Adam)
    assert type(MLP((5, 3)).optimizer) is SGD
    lacking = ["save", "optimizer_average", "embeddings", "profile"]
    assert [need for need in CAPABILITIES if model.missing(need)] == lacking


def test_weights_are_owned_copies_under_layer_names() -> None:
    model = MLP((5, 4, 3))
    weights = model.get_weights()
    assert {name: array.shape for name, array in weights.items()} == {
        "layer0/kernel": (5, 4),
        "layer0/bias": (4,),
        "layer1/kernel": (4, 3),
        "layer1/bias": (3,),
    }
    for array in weights.values():
        array += 1
    assert same(model.get_weights(), MLP((5, 4, 3)).get_weights())
    model.set_weights(weights)
    assert same(model.get_weights(), weights)
    train(model, batches(1))
    assert not same(model.get_weights(), weights)


def test_weights_may_be_set_from_views_of_the_live_ones() -> None:
    model = MLP((2, 2, 2))
    first, second = model.get_weights()["layer0/kernel"], model.get_weights()["layer1/kernel"]
    live = model.weights
    model.set_weights({**live, "layer0/kernel": live["layer1/kernel"].T, "layer1/kernel": live["layer0/kernel"].T})
    assert np.array_equal(model.weights["layer0/kernel"], second.T)
    assert np.array_equal(model.weights["layer1/kernel"], first.T)


@pytest.mark.parametrize(
    "change, told",
    [
        ({"layer1/bias": None}, ["not given: 'layer1/bias'"]),
        ({"layer9/bias": np.zeros(3)}, ["unknown: 'layer9/bias'"]),
        ({"layer1/bias": np.zeros(4)}, ["another shape: 'layer1/bias' is (3,), given (4,)"]),
        (
            {"layer1/bias": None, "layer1/bais": np.zeros(3), "layer1/kernel": np.zeros((3, 4))},
            ["'layer1/bias'", "'layer1/bais'", "'layer1/kernel' is (4, 3), given (3, 4)"],
        ),
    ],
)
def test_weights_that_do_not_fit_are_all_named_and_none_is_written(change: dict[str, Any], told: list[str]) -> None:
    model = MLP((5, 4, 3))
    before = model.get_weights()
    ones = {name: np.ones_like(array) for name, array in before.items()}
    weights = {name: array for name, array in {**ones, **change}.items() if array is not None}
    with pytest.raises(WeightsError) as caught:
        model.set_weights(weights)
    assert str(caught.value).startswith("MLP.set_weights: ")
    assert [phrase for phrase in told if phrase not in str(caught.value)] == []
    assert same(model.get_weights(), before)


def test_a_value_that_is_no_number_leaves_all_weights_as_they_were() -> None:
    model = MLP((5, 3))
    before = model.get_weights()
    with pytest.raises(ValueError, match="could not convert string to float"):
        model.set_weights({"layer0/kernel": np.ones((5, 3)), "layer0/bias": np.array(["a", "b", "c"])})
    assert same(model.get_weights(), before)


def test_a_snapshot_is_independent_of_later_training_and_serves_many_times() -> None:
    model = MLP((5, 4, 3), momentum=0.9)
    first = model.get_weights()
    snapshot = model.snapshot()
    for _ in range(2):
        train(model, batches(3))
        assert not same(model.get_weights(), first)
        model.restore(snapshot)
        assert same(model.get_weights(), first)


def test_restore_leaves_the_optimizer_alone() -> None:
    model = MLP((5, 4, 3), optimizer="adam")
    snapshot = model.snapshot()
    train(model, batches(3))
    model.set_lrs([0.5])
    slots = copy.deepcopy(model.optimizer.slots)
    model.restore(snapshot)
    assert same(model.optimizer.slots, slots)
    assert (model.optimizer.steps, model.get_lrs()) == (3, [0.5])


@given(
    kind=st.sampled_from(OPTIMIZERS),
    before=st.integers(0, 5),
    strayed=st.integers(0, 3),
    after=st.integers(1, 5),
    lr=st.floats(0, 1),
)
def test_a_loaded_state_trains_on_bit_for_bit(
    kind: dict[str, Any], before: int, strayed: int, after: int, lr: float
) -> None:
    data = batches(before + after)
    model, other = MLP((5, 4, 3), seed=1, **kind), MLP((5, 4, 3), seed=2, **kind)
    train(model, data[:before])
    model.set_lrs([lr])
    state = model.state_dict()
    kept = copy.deepcopy(state)
    train(other, batches(strayed, seed=9))
    other.load_state_dict(state)
    assert same(other.state_dict(), kept)
    assert train(other, data[before:]) == train(model, data[before:])
    assert same(other.state_dict(), model.state_dict())
    assert same(state, kept)  # the state belongs to neither model


def test_a_state_holds_arrays_and_plain_numbers_under_flat_names() -> None:
    state = MLP((5, 3), optimizer="adam").state_dict()
    assert {name: type(value).__name__ for name, value in state.items()} == {
        "weights/layer0/kernel": "ndarray",
        "weights/layer0/bias": "ndarray",
        "optimizer/first_moment/layer0/kernel": "ndarray",
        "optimizer/first_moment/layer0/bias": "ndarray",
        "optimizer/second_moment/layer0/kernel": "ndarray",
        "optimizer/second_moment/layer0/bias": "ndarray",
        "optimizer/lr": "float",
        "optimizer/steps": "int",
    }


@pytest.mark.parametrize(
    "change, error, told",
    [
        ({"optimizer/steps": None}, WeightsError, "not given: 'optimizer/steps'"),
        ({"optimizer/lr": math.nan}, ValueError, "SGD: lr=nan; a learning rate is finite and not negative"),
        ({"weights/layer0/bias": np.zeros(4)}, WeightsError, "'weights/layer0/bias' is (3,), given (4,)"),
        ({"optimizer/second_moment/layer0/bias": np.zeros(3)}, WeightsError, "unknown: 'optimizer/second_moment/"),
    ],
)
def test_a_state_that_does_not_fit_is_not_loaded_in_part(
    change: dict[str, Any], error: type[Exception], told: str
) -> None:
    model = MLP((5, 3), momentum=0.9)
    before = model.state_dict()
    trained = MLP((5, 3), momentum=0.9, lr=0.5)
    train(trained, batches(2))
    state = {name: value for name, value in {**trained.state_dict(), **change}.items() if value is not None}
    with pytest.raises(error) as caught:
        model.load_state_dict(state)
    assert told in str(caught.value)
    assert same(model.state_dict(), before)


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_a_pickled_model_trains_on_bit_for_bit(kind: dict[str, Any]) -> None:
    model = MLP((5, 4, 3), **kind)
    train(model, batches(3))
    twin = pickle.loads(pickle.dumps(model))
    assert twin.model is twin
    assert train(twin, batches(3)) == train(model, batches(3))
    assert same(twin.state_dict(), model.state_dict())


def test_whoever_watches_is_called_after_each_update_and_only_then() -> None:
    model = MLP((5, 3))
    seen: list[Any] = []
    stop = model.watch_optimizer(lambda: seen.append(model.get_weights()))
    stop_twin = model.watch_optimizer(lambda: seen.append("twin"))
    data = batches(3)
    model.train_step(data[0])
    assert len(seen) == 2 and same(seen[0], model.get_weights()) and seen[1] == "twin"
    model.test_step(data[0])
    model.predict_step(data[0])
    model.gradients(data[0])
    assert len(seen) == 2
    stop()
    stop()
    model.train_step(data[1])
    assert seen[2:] == ["twin"]
    stop_twin()
    model.train_step(data[2])
    assert len(seen) == 3


def test_the_silence_about_overflow_ends_before_the_watchers_are_called() -> None:
    model = MLP((5, 3))
    seen: list[Any] = []
    model.watch_optimizer(lambda: seen.append(np.geterr()))
    train(model, batches(1))
    assert seen == [np.geterr()]


def test_one_function_watching_twice_is_stopped_once_at_a_time() -> None:
    model = MLP((5, 3))
    calls: list[int] = []

    def call() -> None:
        calls.append(model.optimizer.steps)

    stop, _ = model.watch_optimizer(call), model.watch_optimizer(call)
    train(model, batches(1))
    stop()
    train(model, batches(1))
    assert calls == [1, 1, 2]


def test_the_learning_rate_counts_from_the_next_update() -> None:
    model = MLP((5, 3), lr=0.25)
    assert model.get_lrs() == [0.25]
    model.set_lrs([0])
    before = model.get_weights()
    train(model, batches(2))
    assert same(model.get_weights(), before)
    model.set_lrs([np.float64(0.5)])
    assert model.get_lrs() == [0.5] and type(model.get_lrs()[0]) is float


def test_gradients_are_clipped_before_each_update_until_it_ends() -> None:
    plain, clipped, norms = MLP((5, 3), lr=0.1), MLP((5, 3), lr=0.1), []
    stop = clipped.clip_gradients(norm=0.1, value=None, report=norms.append)
    moves = []
    for batch in batches(3):
        before = clipped.get_weights()
        clipped.set_weights(plain.get_weights())
        train(plain, [batch])
        train(clipped, [batch])
        moves.append(np.linalg.norm([np.linalg.norm(clipped.weights[name] - before[name]) for name in before]))
        stop()
        stop()
        clipped.set_weights(plain.get_weights())
    assert moves[0] == pytest.approx(0.01, rel=1e-4)
    assert min(moves[1:]) > 0.02
    assert len(norms) == 1 and norms[0] > 0.2


def test_a_moving_average_begins_with_the_weights_and_is_moved_in_place() -> None:
    model = MLP((5, 3), lr=0.5)
    average = model.update_average(None, 0.75)
    first = model.get_weights()
    assert same(average, first)
    train(model, batches(3))
    assert model.update_average(average, 0.75) is average
    wanted = {name: np.float32(0.75) * first[name] + np.float32(0.25) * model.weights[name] for name in first}
    assert same(average, wanted) and not same(average, model.get_weights())
    model.restore(average)
    assert same(model.get_weights(), wanted)


def test_an_average_takes_over_a_nan_without_a_warning() -> None:
    model = MLP((5, 3))
    average = model.update_average(None, 0.5)
    model.weights["layer0/bias"][0], model.weights["layer0/bias"][1] = math.nan, math.inf
    model.update_average(average, 0.5)
    model.update_average(average, 0.0)
    assert str(average["layer0/bias"].tolist()) == "[nan, nan, 0.0]"  # nothing times infinity is no number


# What is refused


def test_the_average_of_an_optimizer_is_refused_with_what_there_is_instead() -> None:
    with pytest.raises(CapabilityError) as caught:
        MLP((5, 3)).optimizer_average()
    assert str(caught.value) == (
        "run needs 'optimizer_average', which this trainer lacks: the numpy model's optimizers keep none: add "
        "trainhooks.callbacks.EMA(decay) to the callbacks."
    )


@pytest.mark.parametrize(
    "lrs, told",
    [
        ([], "MLP.set_lrs([]): 0 learning rates for one parameter group"),
        ([0.1, 0.2], "MLP.set_lrs([0.1, 0.2]): 2 learning rates for one parameter group"),
        ([math.nan], "SGD: lr=nan; a learning rate is finite and not negative"),
        ([math.inf], "SGD: lr=inf; a learning rate is finite and not negative"),
        ([-0.1], "SGD: lr=-0.1; a learning rate is finite and not negative"),
    ],
)
def test_learning_rates_that_cannot_be_are_refused(lrs: list[float], told: str) -> None:
    model = MLP((5, 3), lr=0.25)
    with pytest.raises(ValueError) as caught:
        model.set_lrs(lrs)
    assert (str(caught.value), model.get_lrs()) == (told, [0.25])


@pytest.mark.parametrize(
    "arguments, told",
    [
        ({"sizes": (5,)}, "MLP(sizes=(5,)): sizes are two or more positive widths, input first"),
        ({"sizes": (5, 0, 3)}, "MLP(sizes=(5, 0, 3)): sizes are two or more positive widths, input first"),
        ({"loss": "crossentropy"}, "MLP(loss='crossentropy'): loss is 'cross_entropy' or 'mse'"),
        ({"optimizer": "adamw"}, "MLP(optimizer='adamw'): optimizer is 'sgd' or 'adam'"),
        (
            {"optimizer": "adam", "momentum": 0.9},
            "MLP(optimizer='adam', momentum=0.9): momentum is for 'sgd'; Adam has its own",
        ),
        ({"momentum": 1.0}, "SGD(momentum=1.0): momentum is inside [0, 1)"),
        ({"momentum": math.nan}, "SGD(momentum=nan): momentum is inside [0, 1)"),
        ({"lr": -1, "optimizer": "adam"}, "Adam: lr=-1; a learning rate is finite and not negative"),
    ],
)
def test_an_argument_that_cannot_be_is_refused_by_name(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError) as caught:
        MLP(**{"sizes": (5, 3), **arguments})
    assert str(caught.value) == told


X = np.zeros((4, 5))


@pytest.mark.parametrize(
    "loss, batch, told",
    [
        ("mse", (np.zeros(5), X), "MLP: x has shape (5,); it needs (n, 5)"),
        ("mse", (np.zeros((4, 6)), X), "MLP: x has shape (4, 6); it needs (n, 5)"),
        ("mse", (np.zeros((4, 5, 1)), X), "MLP: x has shape (4, 5, 1); it needs (n, 5)"),
        ("mse", (X, np.zeros(4)), "MLP: y has shape (4,); 'mse' needs (4, 3)"),
        ("mse", (X[:0], X[:0]), "MLP: the batch has no rows; a mean needs one or more"),
        (
            "cross_entropy",
            (X, np.zeros(4)),
            "MLP: y has shape (4,) and dtype float64; 'cross_entropy' needs integer labels of shape (4,)",
        ),
        (
            "cross_entropy",
            (X, np.zeros((4, 1), np.int64)),
            "MLP: y has shape (4, 1) and dtype int64; 'cross_entropy' needs integer labels of shape (4,)",
        ),
        ("cross_entropy", (X, [0, 1, 2, 3]), "MLP: y holds labels from 0 to 3; it needs 0 to 2"),
        ("cross_entropy", (X, [-1, 1, 2, 2]), "MLP: y holds labels from -1 to 2; it needs 0 to 2"),
    ],
)
def test_a_batch_that_does_not_fit_is_refused_and_changes_nothing(loss: Any, batch: Batch, told: str) -> None:
    model = MLP((5, 3), loss=loss, momentum=0.9)
    before = model.state_dict()
    for step in (model.train_step, model.test_step):
        with pytest.raises(ValueError) as caught:
            step(batch)
        assert str(caught.value) == told
    assert same(model.state_dict(), before)
