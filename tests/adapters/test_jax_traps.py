"""What JAX does that one would not think of: steps compiled anew, donation, weak types."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("optax", reason="optax is not installed")
pytest.importorskip("flax", reason="flax is not installed")

import jax
import jax.numpy as jnp
import ml_dtypes
import optax
from bench_nnx import update
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from trainhooks_adapters.jax import JaxTrainable, TrainState

import trainhooks
from trainhooks.callbacks import EMA
from trainhooks.errors import CapabilityError, WeightsError

PARAMS = {"w": jnp.asarray([[0.5], [0.5]], jnp.float32), "b": jnp.zeros(1)}
X = jnp.arange(6.0).reshape(3, 2)
INJECTED = optax.inject_hyperparams(optax.sgd, static_args="momentum")(learning_rate=0.125, momentum=0.5)


class Loop:
    """An optimizer's jitted step over a ``TrainState``, which counts how often it is traced."""

    def __init__(self, optimizer: Any, params: Any = PARAMS, donate: tuple[int, ...] = (), **options: Any) -> None:
        params = jax.tree.map(jnp.copy, params)
        self.traces = 0
        self.state = TrainState(params, optimizer.init(params), **options)
        self.trainable = JaxTrainable(self.state)

        def step(params: Any, opt_state: Any, lr: Any) -> Any:
            self.traces += 1
            gradients = jax.grad(lambda p: jnp.square(X.astype(p["w"].dtype) @ p["w"] + p["b"] - 1).mean())(params)
            updates, opt_state = optimizer.update(gradients, opt_state, params)
            updates = updates if lr is None else jax.tree.map(lambda one: lr * one, updates)
            return optax.apply_updates(params, updates), opt_state

        self._step = jax.jit(step, donate_argnums=donate)

    def step(self) -> None:
        state = self.state
        state.params, state.opt_state = self._step(state.params, state.opt_state, state.lr)


def meddle(trainable: JaxTrainable, step: Callable[[], Any]) -> None:
    """Set the learning rate, weights, a snapshot, an average, a state: each followed by a step."""
    step()
    average = trainable.update_average(trainable.update_average(None, 0.5), 0.5)
    snapshot, state = trainable.snapshot(), trainable.state_dict()
    for set_again in (
        lambda: trainable.set_lrs([0.25] * len(trainable.get_lrs())),
        lambda: trainable.set_weights(
            {name: array.astype(np.float64) for name, array in trainable.get_weights().items()}
        ),
        lambda: trainable.restore(snapshot),
        lambda: trainable.restore(average),
        lambda: trainable.load_state_dict(state),
    ):
        set_again()
        step()


@pytest.mark.parametrize(
    "optimizer",
    [
        optax.chain(optax.clip(1.0), INJECTED, optax.scale(0.5)),
        optax.MultiSteps(INJECTED, 2),
        optax.multi_transform({"w": INJECTED, "b": INJECTED}, {"w": "w", "b": "b"}),
    ],
    ids=["in a chain", "accumulating", "two groups"],
)
def test_nothing_that_a_callback_sets_compiles_the_step_anew(optimizer: Any) -> None:
    loop = Loop(optimizer, donate=(0, 1))
    loop.step()
    loop.step()
    before, lrs = loop.traces, loop.trainable.get_lrs()
    meddle(loop.trainable, loop.step)
    assert (loop.traces, lrs) == (before, [0.125] * len(lrs))


@pytest.mark.parametrize(
    "lr", [0.5, 1, np.float32(0.5), np.asarray(0.5, np.float32), jnp.asarray(0.5), jnp.bfloat16(0.5)]
)
def test_a_learning_rate_that_the_step_takes_stays_of_its_kind(lr: Any) -> None:
    loop = Loop(optax.identity(), lr=lr)
    loop.step()
    loop.trainable.set_lrs([0.25])
    loop.step()
    loop.trainable.load_state_dict(loop.trainable.state_dict())
    loop.step()
    loop.state.lr = np.float64(0.75)
    loop.step()
    assert (loop.traces, loop.trainable.get_lrs()) == (1, [0.75])


def test_a_learning_rate_that_is_set_is_the_one_that_trains() -> None:
    loops = [Loop(INJECTED), Loop(optax.sgd(0.5, momentum=0.5))]
    loops[0].trainable.set_lrs([0.5])
    for loop in loops:
        loop.step()
    assert np.array_equal(*(loop.trainable.get_weights()["w"] for loop in loops))


def test_a_rate_that_is_code_and_one_of_a_schedule_are_refused_in_words() -> None:
    plain = JaxTrainable(TrainState(PARAMS, optax.sgd(0.1).init(PARAMS)))
    with pytest.raises(CapabilityError, match=r"optax.inject_hyperparams\(optax.adam\)\(learning_rate=1e-3\)"):
        plain.set_lrs([0.5])
    with pytest.raises(CapabilityError, match=r"write TrainState\(..., lr=1e-3\)"):
        plain.get_lrs()
    scheduled = Loop(optax.inject_hyperparams(optax.sgd)(learning_rate=optax.linear_schedule(1.0, 0.0, 4)))
    scheduled.step()
    scheduled.step()
    assert scheduled.trainable.get_lrs() == [0.75]
    with pytest.raises(CapabilityError, match=r"a schedule in optax\.inject_hyperparams overwrites what is set"):
        scheduled.trainable.set_lrs([0.5])
    assert TrainState(PARAMS).lr is None
    with pytest.raises(AttributeError, match=r"TrainState\(..., lr=0.1\)"):
        TrainState(PARAMS).lr = 0.5


def test_several_rates_are_groups_in_the_order_of_the_pytree() -> None:
    rates = {"b": 0.25, "w": 0.5}
    made = {name: optax.inject_hyperparams(optax.sgd)(learning_rate=rate) for name, rate in rates.items()}
    loop = Loop(optax.multi_transform(made, {"w": "w", "b": "b"}))
    assert loop.trainable.get_lrs() == [0.25, 0.5]
    loop.trainable.set_lrs([0.0, 0.5])
    before = loop.trainable.get_weights()
    loop.step()
    after = loop.trainable.get_weights()
    assert [bool((before[name] != after[name]).any()) for name in ("b", "w")] == [False, True]


# Donation


def is_shared(loop: Loop) -> bool:
    snapshot = loop.trainable.snapshot()
    return all(snapshot[name] is loop.state.params[name] for name in snapshot)


def test_a_snapshot_is_the_arrays_themselves_unless_the_step_donates_them() -> None:
    plain, donating, told = Loop(INJECTED), Loop(INJECTED, donate=(0,)), Loop(INJECTED, donates=True)
    assert not is_shared(plain)  # nobody knows yet
    for loop in (plain, donating, told):
        loop.step()
    assert [is_shared(loop) for loop in (plain, plain, donating, told)] == [True, True, False, False]
    assert is_shared(Loop(INJECTED, donates=False))


@pytest.mark.parametrize("donate", [(0,), (1,), (0, 1)])
@pytest.mark.parametrize("steps", [0, 1])
def test_what_is_kept_survives_a_step_that_donates(donate: tuple[int, ...], steps: int) -> None:
    loop = Loop(INJECTED, donate=donate)
    for _ in range(steps):
        loop.step()
    kept, state = loop.trainable.get_weights(), loop.trainable.state_dict()["leaves"]
    snapshot, average = loop.trainable.snapshot(), loop.trainable.update_average(None, 0.5)
    late = loop.trainable.state_snapshot()["leaves"]
    for _ in range(2):
        loop.step()
        assert {name: np.asarray(leaf).tobytes() for name, leaf in late.items()} == {
            name: np.asarray(leaf).tobytes() for name, leaf in state.items()
        }
        for one in (snapshot, average):  # each is good for another time
            loop.trainable.restore(one)
            assert np.array_equal(loop.trainable.get_weights()["w"], kept["w"])


def test_a_step_that_begins_to_donate_late_is_told_what_to_write() -> None:
    loop, donating = Loop(INJECTED), Loop(INJECTED, donate=(0, 1))
    loop.step()
    snapshot, late = loop.trainable.snapshot(), loop.trainable.state_snapshot()
    loop._step = donating._step
    loop.step()
    before = loop.trainable.get_weights()
    with pytest.raises(WeightsError, match=r"'b', 'w' was deleted.*TrainState\(..., donates=True\)"):
        loop.trainable.restore(snapshot)
    with pytest.raises(RuntimeError, match="deleted"):
        np.asarray(late["leaves"]["params/w"])
    assert np.array_equal(loop.trainable.get_weights()["w"], before["w"])


def test_arrays_that_were_donated_and_not_replaced_are_told_of() -> None:
    loop = Loop(INJECTED, donate=(0, 1))
    loop._step(loop.state.params, loop.state.opt_state, None)
    for verb in (loop.trainable.get_weights, loop.trainable.snapshot, loop.trainable.state_dict):
        with pytest.raises(WeightsError, match=r"write state.params, state.opt_state, loss = step"):
            verb()


def test_numpy_arrays_which_a_loop_may_change_in_place_are_copied() -> None:
    params = {"w": np.ones(2, np.float32)}
    trainable = JaxTrainable(TrainState(params, donates=False))
    snapshot = trainable.snapshot()
    params["w"][:] = 0
    trainable.restore(snapshot)
    assert trainable.get_weights()["w"].tolist() == [1.0, 1.0]


# What numpy and devices make of it


def test_weights_of_half_precision_are_ml_dtypes_and_are_averaged_in_float32() -> None:
    loop = Loop(INJECTED, jax.tree.map(lambda one: one.astype(jnp.bfloat16), PARAMS))
    ema = EMA(0.999)
    with trainhooks.wrap(loop.state, callbacks=[ema]) as run:
        for _ in run.epochs(1):
            for _ in run.train(range(3)):
                loop.step()
        assert {array.dtype for array in run.get_weights().values()} == {np.dtype(ml_dtypes.bfloat16)}
        assert {leaf.dtype for leaf in ema.average.values()} == {np.dtype(np.float32)}
        traces = loop.traces
        run.restore(ema.average)
        loop.step()
        run.set_weights({name: array.astype(np.float32) for name, array in run.get_weights().items()})
        loop.step()
        assert (loop.traces, loop.state.params["w"].dtype) == (traces, jnp.bfloat16)


def test_what_is_written_keeps_its_sharding() -> None:
    over = NamedSharding(Mesh(np.array(jax.devices()[:1]), ("d",)), PartitionSpec("d"))
    state = TrainState({"w": jax.device_put(np.arange(4.0, dtype=np.float32), over)})
    trainable = JaxTrainable(state)
    for write in (
        lambda: trainable.set_weights(trainable.get_weights()),
        lambda: trainable.restore(trainable.snapshot()),
        lambda: trainable.load_state_dict(trainable.state_dict()),
        lambda: trainable.restore(trainable.update_average(trainable.snapshot(), 0.5)),
    ):
        before = state.params["w"]
        write()
        assert state.params["w"] is not before
        assert (state.params["w"].sharding, state.params["w"].committed) == (over, True)
        assert state.params["w"].tolist() == [0, 1, 2, 3]


# flax.nnx


def test_nothing_that_a_callback_sets_compiles_a_step_of_nnx_anew() -> None:
    rngs = nnx.Rngs(0)
    model = nnx.Sequential(nnx.BatchNorm(2, rngs=rngs), nnx.Dropout(0.5, rngs=rngs), nnx.Linear(2, 1, rngs=rngs))
    optimizer = nnx.Optimizer(model, optax.chain(optax.clip(1.0), INJECTED), wrt=nnx.Param)
    traces = []

    @nnx.jit
    def step(model: Any, optimizer: Any) -> None:
        traces.append(1)
        update(model, optimizer, nnx.grad(lambda model: jnp.square(model(X) - 1).mean())(model))

    with trainhooks.wrap(model, optimizer=optimizer) as run:
        meddle(run.trainable, lambda: step(model, optimizer))  # type: ignore[arg-type]
        assert (len(traces), run.lr, run.model, run.optimizer) == (1, 0.125, model, optimizer)


@pytest.mark.parametrize("donate", [False, True])
def test_a_snapshot_of_a_module_does_not_follow_it(donate: bool) -> None:
    model = nnx.Linear(2, 1, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, INJECTED, wrt=nnx.Param)

    def step(model: Any, optimizer: Any) -> None:
        update(model, optimizer, nnx.grad(lambda model: jnp.square(model(X) - 1).mean())(model))

    jitted = nnx.jit(step, donate_argnums=(0, 1)) if donate else nnx.jit(step)
    with trainhooks.wrap(model, optimizer=optimizer) as run:
        jitted(model, optimizer)
        before, snapshot = run.get_weights(), run.snapshot()
        jitted(model, optimizer)
        assert not np.array_equal(run.get_weights()["kernel"], before["kernel"])
        run.restore(snapshot)
        assert np.array_equal(run.get_weights()["kernel"], before["kernel"])
