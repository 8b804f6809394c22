"""The numpy model, in the shortest loop a user could write."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainhooks.datasets import digits
from trainhooks.errors import WeightsError
from trainhooks.numpy_model import MLP, SGD, Adam
from trainhooks.trainable import CAPABILITIES

OPTIMIZERS: list[dict[str, Any]] = [
    {"optimizer": "sgd", "lr": 0.1},
    {"optimizer": "sgd", "lr": 0.1, "momentum": 0.9},
    {"optimizer": "adam", "lr": 0.01},
]
Batch = tuple[np.ndarray, np.ndarray]


def test_a_plain_loop_learns_the_digits() -> None:
    (x, y), validation = digits()
    model = MLP((64, 32, 10), lr=0.05, momentum=0.9)
    rng = np.random.default_rng(0)
    for _ in range(10):
        for rows in np.split(rng.permutation(len(x)), range(32, len(x), 32)):
            model.train_step((x[rows], y[rows]))
    assert model.test_step(validation)["accuracy"] > 0.95


def batches(count: int, *, loss: str = "cross_entropy", seed: int = 0) -> list[Batch]:
    """Batches of 8 rows for a model of sizes (5, ..., 3)."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 8, 5)).astype(np.float32)
    y = rng.integers(3, size=(count, 8)) if loss == "cross_entropy" else rng.normal(size=(count, 8, 3))
    return list(zip(x, y, strict=True))


def train(model: MLP, data: list[Batch]) -> list[dict[str, float]]:
    return [model.train_step(batch) for batch in data]


def same(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Whether two states are equal to the bit, in names, dtypes and values."""
    return list(a) == list(b) and all(
        np.asarray(a[name]).dtype == np.asarray(b[name]).dtype and np.array_equal(a[name], b[name]) for name in a
    )


# The steps


def loss_in_float64(weights: Mapping[str, np.ndarray], batch: Batch, loss: str) -> float:
    """The same model written once more, in double precision and without care for overflow."""
    values, y = batch[0].astype(np.float64), batch[1]
    depth = len(weights) // 2
    for layer in range(depth):
        values = values @ weights[f"layer{layer}/kernel"] + weights[f"layer{layer}/bias"]
        values = values * (values > 0) if layer < depth - 1 else values
    if loss == "mse":
        return float(((values - y) ** 2).mean())
    chances = np.exp(values) / np.exp(values).sum(axis=1, keepdims=True)
    return float(-np.log(chances[np.arange(len(y)), y]).mean())


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
@pytest.mark.parametrize("sizes", [(5, 3), (5, 4, 3), (5, 6, 4, 3)])
def test_the_gradients_are_those_of_finite_differences(sizes: tuple[int, ...], loss: Any) -> None:
    model = MLP(sizes, loss=loss, seed=1)
    (batch,) = batches(1, loss=loss)
    metrics, gradients = model.gradients(batch)
    weights = {name: array.astype(np.float64) for name, array in model.get_weights().items()}
    assert metrics["loss"] == pytest.approx(loss_in_float64(weights, batch, loss), rel=1e-5)
    assert set(gradients) == set(weights)
    for name, array in weights.items():
        slope = np.zeros_like(array)
        for index in np.ndindex(array.shape):
            value = array[index]
            array[index] = value + 1e-6
            above = loss_in_float64(weights, batch, loss)
            array[index] = value - 1e-6
            slope[index] = (above - loss_in_float64(weights, batch, loss)) / 2e-6
            array[index] = value
        np.testing.assert_allclose(gradients[name], slope, rtol=1e-4, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_train_and_test_steps_measure_the_model_as_it_was_before_the_update(loss: Any) -> None:
    model = MLP((5, 4, 3), loss=loss)
    (batch,) = batches(1, loss=loss)
    before = model.test_step(batch)
    assert model.test_step(batch) == before
    assert model.train_step(batch) == before
    assert model.test_step(batch)["loss"] < before["loss"]
    assert list(before) == (["loss", "accuracy"] if loss == "cross_entropy" else ["loss"])
    assert {type(value) for value in before.values()} == {float}


def test_predictions_are_probabilities_for_cross_entropy_and_agree_with_the_metrics() -> None:
    model = MLP((5, 4, 3))
    ((x, y),) = batches(1)
    chances = model.predict_step(x)
    assert chances.shape == (8, 3)
    assert chances.dtype == np.float32
    np.testing.assert_allclose(chances.sum(axis=1), 1, rtol=1e-6)
    loss = -np.log(chances[np.arange(8), y]).mean()
    assert model.test_step((x, y)) == pytest.approx({"loss": loss, "accuracy": (chances.argmax(axis=1) == y).mean()})
    assert np.array_equal(model.predict_step((x, y)), chances)
    assert model.predict_step(x[:0]).shape == (0, 3)


def test_predictions_are_the_raw_outputs_for_mse() -> None:
    model = MLP((2, 1), loss="mse")
    model.set_weights({"layer0/kernel": np.array([[2.0], [-3.0]]), "layer0/bias": np.array([0.5])})
    assert model.predict_step([[1, 1], [0, 0]]).tolist() == [[-0.5], [0.5]]


def test_outputs_too_large_for_exp_give_finite_metrics() -> None:
    model = MLP((1, 2))
    model.set_weights({"layer0/kernel": np.array([[1000.0, -1000.0]]), "layer0/bias": np.zeros(2)})
    assert model.test_step(([[1.0]], [1])) == {"loss": 2000.0, "accuracy": 0.0}
    assert str(model.test_step(([[1.0]], [0]))) == "{'loss': 0.0, 'accuracy': 1.0}"  # and not -0.0
    assert model.predict_step([[1.0]]).tolist() == [[1.0, 0.0]]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e300])
@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_a_nan_or_overflow_in_the_data_reaches_the_loss_and_the_weights(kind: dict[str, Any], bad: float) -> None:
    model = MLP((5, 4, 3), **kind)
    ((x, y),) = batches(1)
    x = x.astype(np.float64)
    x[0, 0] = bad
    assert not math.isfinite(model.train_step((x, y))["loss"])
    assert not np.isfinite(model.get_weights()["layer0/kernel"]).all()
    assert math.isnan(model.train_step(batches(1)[0])["loss"])


def test_a_row_of_nan_counts_as_wrong_whatever_its_label() -> None:
    model = MLP((5, 3))
    assert [model.test_step((np.full((1, 5), np.nan), [label]))["accuracy"] for label in range(3)] == [0, 0, 0]


def test_sgd_without_momentum_recovers_from_a_nan_once_the_weights_are_restored() -> None:
    model, twin = MLP((5, 4, 3)), MLP((5, 4, 3))
    good = model.snapshot()
    ((x, y),) = batches(1)
    model.train_step((x * np.nan, y))
    model.restore(good)
    assert model.train_step((x, y)) == twin.train_step((x, y))
    assert same(model.get_weights(), twin.get_weights())


# The update rules


@pytest.mark.parametrize(
    "ours, theirs",
    [
        ({"optimizer": "sgd"}, ("SGD", {})),
        ({"optimizer": "sgd", "momentum": 0.9}, ("SGD", {"momentum": 0.9})),
        ({"optimizer": "adam"}, ("Adam", {})),
    ],
)
def test_the_optimizers_move_as_torchs_do_even_when_lr_changes(ours: dict[str, Any], theirs: tuple[str, Any]) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    model = MLP((5, 4, 3), lr=0.05, **ours)
    tensors = {name: torch.tensor(array, requires_grad=True) for name, array in model.get_weights().items()}
    optimizer = getattr(torch.optim, theirs[0])(tensors.values(), lr=0.05, **theirs[1])
    for step, batch in enumerate(batches(20)):
        if step == 10:
            model.set_lrs([0.2])
            optimizer.param_groups[0]["lr"] = 0.2
        gradients = model.gradients(batch)[1]
        for name, tensor in tensors.items():
            tensor.grad = torch.from_numpy(gradients[name].copy())
        model.optimizer.step(gradients)
        optimizer.step()
    for name, array in model.get_weights().items():
        np.testing.assert_allclose(array, tensors[name].detach().numpy(), rtol=1e-4, atol=1e-5, err_msg=name)


def test_the_model_and_its_training_stay_in_float32() -> None:
    for kind in OPTIMIZERS:
        model = MLP((5, 4, 3), **kind)
        train(model, [(x.astype(np.float64), y) for x, y in batches(2)])
        arrays = [*model.weights.values(), *model.optimizer.slots.values(), *model.gradients(batches(1)[0])[1].values()]
        assert {array.dtype for array in arrays} == {np.dtype(np.float32)}


def test_the_seed_decides_the_first_weights_and_so_the_whole_training() -> None:
    first, again, other = MLP((5, 4, 3), seed=1), MLP((5, 4, 3), seed=1), MLP((5, 4, 3), seed=2)
    assert not same(first.get_weights(), other.get_weights())
    assert train(first, batches(5)) == train(again, batches(5))
    assert same(first.state_dict(), again.state_dict())


def test_first_kernels_are_he_uniform_and_first_biases_zero() -> None:
    weights = MLP((200, 100, 10)).get_weights()
    for name, inputs in [("layer0", 200), ("layer1", 100)]:
        kernel = weights[f"{name}/kernel"]
        assert np.abs(kernel).max() <= np.float32(math.sqrt(6 / inputs))
        assert kernel.std() == pytest.approx(math.sqrt(2 / inputs), rel=0.05)
        assert not weights[f"{name}/bias"].any()


# The verbs of Trainable


def test_the_model_shows_itself_its_optimizer_and_what_it_can_do() -> None:
    model = MLP((5, 3), optimizer="adam")
    assert (model.framework, model.model, type(model.optimizer)) == ("numpy", model, Adam)
    assert type(MLP((5, 3)).optimizer) is SGD
    assert [need for need in CAPABILITIES if model.missing(need)] == ["save"]


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


# What is refused


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
