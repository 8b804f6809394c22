"""The numpy model, in the shortest loop a user could write; its steps and its update rules."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from small_models import OPTIMIZERS, Batch, batches, same, train

from trainhooks.datasets import digits
from trainhooks.numpy_model import MLP


def test_a_plain_loop_learns_the_digits() -> None:
    (x, y), validation = digits()
    model = MLP((64, 32, 10), lr=0.05, momentum=0.9)
    rng = np.random.default_rng(0)
    for _ in range(10):
        for rows in np.split(rng.permutation(len(x)), range(32, len(x), 32)):
            model.train_step((x[rows], y[rows]))
    assert model.test_step(validation)["accuracy"] > 0.95


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
