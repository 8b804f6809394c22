"""What a ``TrainState`` may hold, what things are called in it, and what of another model is refused."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

pytest.importorskip("optax", reason="optax is not installed")
pytest.importorskip("flax", reason="flax is not installed")

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from flax.training import train_state
from trainhooks_adapters.jax import JaxTrainable, TrainState

import trainhooks
from trainhooks.errors import WeightsError

ADAM = optax.inject_hyperparams(optax.adam)(learning_rate=0.5)


def params() -> Any:
    return {"dense": {"kernel": jnp.ones((2, 3)), "bias": jnp.zeros(3)}, "layers": [jnp.ones(2)]}


def names(state: TrainState) -> list[str]:
    return list(JaxTrainable(state).get_weights())


def test_a_weight_is_called_by_where_it_is() -> None:
    assert names(TrainState(params())) == ["dense/bias", "dense/kernel", "layers/0"]
    assert names(TrainState(jnp.ones(2))) == ["params"]
    assert names(TrainState(value={"params": params(), "batch_stats": {"mean": jnp.ones(1)}})) == [
        *("batch_stats/mean", "params/dense/bias", "params/dense/kernel", "params/layers/0")
    ]
    assert names(TrainState({"a": {"b": jnp.ones(1)}, "a/b": jnp.ones(1)})) == ["'a'/'b'", "'a/b'"]


class Pair(NamedTuple):
    params: Any
    opt_state: Any


class Kept:
    """A trainer of one's own that keeps its state as attributes."""

    def __init__(self) -> None:
        self.weights, self.moments = params(), ADAM.init(params())

    def get(self) -> Pair:
        return Pair(self.weights, self.moments)

    def set(self, pair: Pair) -> None:
        self.weights, self.moments = pair


def flax_state() -> Any:
    return train_state.TrainState.create(apply_fn=print, params=params(), tx=ADAM)


@pytest.mark.parametrize("way", ["parts", "value", "flax", "get and set"])
def test_each_way_to_hold_a_state_has_all_verbs(way: str) -> None:
    kept = Kept()
    state = {
        "parts": lambda: TrainState(params(), ADAM.init(params())),
        "value": lambda: TrainState(value=Pair(params(), ADAM.init(params()))),
        "flax": lambda: TrainState(value=flax_state()),
        "get and set": lambda: TrainState(get=kept.get, set=kept.set),
    }[way]()
    trainable = JaxTrainable(state)
    begun, snapshot = trainable.state_dict(), trainable.snapshot()
    trainable.set_lrs([0.25])
    trainable.set_weights({name: array + 1 for name, array in trainable.get_weights().items()})
    assert trainable.get_lrs() == [float(state.opt_state.hyperparams["learning_rate"])] == [0.25]
    assert state.params["layers"][0].tolist() == [2, 2]
    assert way != "get and set" or kept.weights["layers"][0].tolist() == [2, 2]
    trainable.restore(snapshot)
    assert state.params["layers"][0].tolist() == [1, 1]
    trainable.set_weights({name: array + 1 for name, array in trainable.get_weights().items()})
    trainable.load_state_dict(begun)
    assert (state.params["layers"][0].tolist(), trainable.get_lrs()) == ([1, 1], [0.5])


def test_what_is_assigned_to_a_state_that_holds_one_object_is_that_object() -> None:
    state = TrainState(value=flax_state())
    with pytest.raises(AttributeError, match="Assign it whole"):
        state.params = params()
    gradients = jax.tree.map(jnp.ones_like, state.params)
    state.value = state.value.apply_gradients(grads=gradients)
    assert JaxTrainable(state).state_dict()["leaves"]["step"] == 1


@pytest.mark.parametrize("given", [{}, {"params": 1, "value": 2}, {"get": dict}, {"value": 1, "opt_state": ()}])
def test_a_state_is_held_in_one_way(given: Any) -> None:
    with pytest.raises(TypeError, match="give params and opt_state, or value=, or both of get= and set="):
        TrainState(**given)


def test_a_learning_rate_is_one_number() -> None:
    for wrong in (optax.constant_schedule(0.5), [0.5, 0.5], jnp.ones(2)):
        with pytest.raises(TypeError, match=r"one number. A schedule is a callback: LearningRateScheduler"):
            TrainState(params(), lr=wrong)


def test_a_value_without_params_is_refused_and_a_flax_state_is_told_where_to_go() -> None:
    with pytest.raises(TypeError, match="in Kept there is no params"):
        JaxTrainable(TrainState(value=Kept()))
    with pytest.raises(TypeError, match=r"state = TrainState\(value=...\), and assign state.value = step"):
        trainhooks.wrap(flax_state())


def test_leaves_that_are_no_arrays_stay_as_they_are() -> None:
    state = TrainState({"w": jnp.ones(2), "activation": jnp.tanh, "scale": 2.0})
    trainable = JaxTrainable(state)
    assert trainable.state_dict()["leaves"].keys() == {"params/w", "params/scale"}
    trainable.set_weights({"w": np.zeros(2), "scale": np.asarray(3.0)})
    assert (state.params["activation"], state.params["scale"]) == (jnp.tanh, 3.0)
    average = trainable.update_average(trainable.snapshot(), 0.5)
    trainable.restore(average)
    assert (type(state.params["scale"]), state.params["scale"]) == (float, 3.0)


@pytest.mark.parametrize("make", [jax.random.key, jax.random.PRNGKey])
def test_a_random_key_goes_on_where_it_was(make: Any) -> None:
    state = TrainState(params(), {"dropout": make(1)}, rng=make(0))
    trainable = JaxTrainable(state)
    taken, random = trainable.state_dict(), trainable.random_state()
    drawn = [jax.random.uniform(key).item() for key in (state.rng, state.opt_state["dropout"])]
    state.rng, state.opt_state = make(2), {"dropout": make(3)}
    trainable.load_state_dict(taken)
    trainable.load_random_state(random)
    assert [jax.random.uniform(key).item() for key in (state.rng, state.opt_state["dropout"])] == drawn
    assert state.rng.dtype == make(0).dtype


@pytest.mark.parametrize(
    "other, said",
    [
        (lambda: TrainState(params(), optax.sgd(0.5, momentum=0.5).init(params())), r"not given: 'opt_state/0/trace/"),
        (
            lambda: TrainState({**params(), "layers": [jnp.ones(3)]}, ADAM.init(params())),
            r"'params/layers/0' is \(3,\)",
        ),
        (lambda: TrainState(params(), ADAM.init(params()), lr=0.5), "not given: 'lr'"),
        (lambda: TrainState(params()), "unknown: 'opt_state/count'"),
    ],
    ids=["optimizer", "shape", "lr", "no optimizer"],
)
def test_a_state_of_something_else_is_refused_and_nothing_is_written(other: Any, said: str) -> None:
    saved = JaxTrainable(TrainState(jax.tree.map(lambda one: one + 1, params()), ADAM.init(params()))).state_dict()
    state = other()
    before = state.params
    with pytest.raises(WeightsError, match=f"{said}.*Nothing was written"):
        JaxTrainable(state).load_state_dict(saved)
    assert state.params is before


def test_values_that_an_integer_cannot_hold_are_refused() -> None:
    trainable = JaxTrainable(TrainState({"n": jnp.zeros(2, jnp.int32)}))
    trainable.set_weights({"n": np.array([1.0, 2.0])})
    for wrong in (np.array([0.5, 1.0]), np.array([1j, 1]), np.array(["1", "2"])):
        with pytest.raises(WeightsError, match=r"values that would change \('n' is int32, given"):
            trainable.set_weights({"n": wrong})
    assert trainable.get_weights()["n"].tolist() == [1, 2]


class Words(nnx.Module):
    """An embedding that keeps what it found last."""

    def __init__(self) -> None:
        self.table = nnx.Embed(3, 2, rngs=nnx.Rngs(0))

    def __call__(self, x: Any) -> Any:
        found = self.table(x)
        self.found = nnx.Intermediate(found)
        return found


def test_embeddings_are_found_by_their_name_and_intermediates_are_no_weights() -> None:
    model = Words()
    with trainhooks.wrap(model) as run:
        assert list(run.trainable.embeddings()) == ["table"]
        before = run.snapshot()
        model(jnp.array([0, 1]))
        assert list(run.get_weights()) == ["table/embedding"]
        run.restore(before)
    tables = JaxTrainable(
        TrainState({"Embed_0": {"embedding": jnp.ones((3, 2))}, "out": jnp.ones((2, 2))})
    ).embeddings()
    assert {name: table.shape for name, table in tables.items()} == {"Embed_0": (3, 2)}


def test_a_module_is_given_an_optimizer_of_nnx() -> None:
    model = Words()
    with pytest.raises(TypeError, match=r"nnx\.Optimizer is needed.*For optax by itself there is"):
        trainhooks.wrap(model, optimizer=optax.adam(0.1))
    with trainhooks.wrap(model, donates=True) as run:
        assert (run.can("lr"), run.can("snapshot"), run.model) == (False, True, model)
