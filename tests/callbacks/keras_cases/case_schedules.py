"""Schedules beside Keras's, and the rate that each batch of a real fit is trained with.

Run by test_schedules_against_keras.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras
import numpy as np
import pytest
from trainhooks_adapters.keras import bridge

import trainhooks
from trainhooks import Callback, Run, schedules
from trainhooks.callbacks.learning_rate_scheduler import LearningRateScheduler
from trainhooks.schedules import Schedule, preview

theirs = keras.optimizers.schedules
JOINS_STEPS = keras.backend.backend() != "torch"
"""Where steps_per_execution may be more than 1."""
BEGINS_IN_VAIN = keras.backend.backend() in ("jax", "tensorflow")
"""Where Keras begins a batch before it looks whether there is data for it."""
STEPS = 40

# The values

Pair = tuple[Callable[[int], float], Any]


def cosine(rng: np.random.Generator, lr: float) -> Pair:
    steps, alpha = int(rng.integers(1, 30)), float(rng.uniform(0, 1))
    return schedules.cosine(lr, steps, end=lr * alpha), theirs.CosineDecay(lr, steps, alpha)


def cosine_with_warmup(rng: np.random.Generator, lr: float) -> Pair:
    steps, alpha, start = int(rng.integers(1, 25)), float(rng.uniform(0, 1)), float(rng.uniform(0, lr))
    warm = int(rng.integers(1, 12))
    return (
        schedules.warmup(warm, schedules.cosine(lr, steps, end=lr * alpha), start),
        theirs.CosineDecay(start, steps, alpha, warmup_target=lr, warmup_steps=warm),
    )


def cosine_restarts(rng: np.random.Generator, lr: float) -> Pair:
    first, alpha = int(rng.integers(1, 12)), float(rng.uniform(0, 0.5))
    # Keras finds the wave by a logarithm in float32, which is exact at a restart for 1 alone: see below
    times, height = 1.0, float(rng.uniform(0.5, 1))
    return (
        schedules.cosine_restarts(lr, first, times, height, end=lr * alpha),
        theirs.CosineDecayRestarts(lr, first, times, height, alpha),
    )


def polynomial(rng: np.random.Generator, lr: float) -> Pair:
    steps, end, power = int(rng.integers(1, 30)), float(rng.uniform(0, lr)), float(rng.uniform(0.5, 3))
    return schedules.polynomial(lr, steps, end, power), theirs.PolynomialDecay(lr, steps, end, power)


def linear(rng: np.random.Generator, lr: float) -> Pair:
    steps, end = int(rng.integers(1, 30)), float(rng.uniform(0, 1))
    return schedules.linear(lr, steps, end), theirs.PolynomialDecay(lr, steps, end)


def exponential(rng: np.random.Generator, lr: float) -> Pair:
    steps, rate, staircase = int(rng.integers(1, 30)), float(rng.uniform(0.3, 1.1)), bool(rng.random() < 0.5)
    return (
        schedules.exponential(lr, steps, rate, staircase),
        theirs.ExponentialDecay(lr, steps, rate, staircase=staircase),
    )


def piecewise(rng: np.random.Generator, lr: float) -> Pair:
    milestones = [2, *(np.flatnonzero(rng.random(STEPS) < 0.1) + 3).tolist()]
    values = rng.uniform(0, 1, len(milestones) + 1).tolist()
    boundaries = [one - 1 for one in milestones]  # the last step of the old value, and not the first of the new
    return schedules.piecewise(milestones, values), theirs.PiecewiseConstantDecay(boundaries, values)


def values(schedule: Any, steps: Iterable[int]) -> list[float]:
    return [float(keras.ops.convert_to_numpy(schedule(step))) for step in steps]


@pytest.mark.parametrize(
    "kind", [cosine, cosine_with_warmup, cosine_restarts, polynomial, linear, exponential, piecewise]
)
def test_it_gives_what_keras_gives_beyond_the_end_too(kind: Any) -> None:
    for seed in range(8):
        rng = np.random.default_rng(seed)
        ours, wanted = kind(rng, float(rng.uniform(0.01, 1)))
        steps = [
            0,
            *(rng.permutation(STEPS - 2)[:6] + 1).tolist(),
            STEPS - 1,
        ]  # on JAX Keras compiles some anew for each
        np.testing.assert_allclose(preview(ours, STEPS)[steps], values(wanted, steps), atol=3e-6)


def test_longer_and_longer_waves_are_keras_s_save_where_a_wave_begins() -> None:
    ours = preview(schedules.cosine_restarts(0.5, 3, t_mul=2.0, m_mul=0.75), 45)
    steps = [0, 1, 2, 4, 7, 8, 10, 15, 20, 22, 30, 44]  # float32 may put 3, 9 and 21 at the end of the wave before
    wanted = theirs.CosineDecayRestarts(0.5, 3, 2.0, 0.75)
    np.testing.assert_allclose(ours[steps], values(wanted, steps), atol=3e-6)
    np.testing.assert_allclose(ours[[3, 9, 21]], [0.5 * 0.75, 0.5 * 0.75**2, 0.5 * 0.75**3])


def test_the_defaults_are_keras_s() -> None:
    pairs: list[tuple[Schedule, Any]] = [
        (schedules.cosine(0.5, 9), theirs.CosineDecay(0.5, 9)),
        (schedules.exponential(0.5, 9, 0.8), theirs.ExponentialDecay(0.5, 9, 0.8)),
        (schedules.polynomial(0.5, 9, end=1e-4), theirs.PolynomialDecay(0.5, 9)),
    ]
    for ours, wanted in pairs:
        np.testing.assert_allclose(preview(ours, 20), values(wanted, range(20)), atol=3e-6)


# The rate that a batch is trained with: a weight whose gradient is -1 moves by it

WARM = schedules.warmup(2, schedules.cosine(0.5, 4, end=0.125))


def rising(y: Any, outputs: Any) -> Any:
    """A loss whose gradient by the weight is -1."""
    return -keras.ops.mean(outputs)


def build(**options: Any) -> Any:
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    optimizer = keras.optimizers.SGD(8.0, **options.pop("optimizer", {}))
    model.compile(optimizer, loss=rising, **options)
    model.set_weights([np.zeros((1, 1))])
    return model


def rows(batches: int) -> tuple[Any, Any]:
    return np.ones((2 * batches, 1), "float32"), np.ones((2 * batches, 1), "float32")


class Moves(Callback):
    """By how much each batch moved the weight, as its end shows."""

    def __init__(self) -> None:
        self.weights = [0.0]

    def on_train_batch_end(self, run: Run) -> None:
        self.weights.append(float(self.model.get_weights()[0][0, 0]))

    @property
    def seen(self) -> list[float]:
        return np.diff(self.weights).tolist()


def moves(schedule: Any, batches: int = 4, epochs: int = 2, **options: Any) -> list[float]:
    look = Moves()
    model = trainhooks.wrap(build(**options), callbacks=[LearningRateScheduler(schedule, unit="step"), look])
    model.fit(*rows(batches), batch_size=2, epochs=epochs, verbose=0)
    return look.seen


@pytest.mark.parametrize("schedule", [WARM, lambda step, lr: lr / 2])
def test_each_batch_is_trained_with_the_schedule_s_rate(schedule: Any) -> None:
    np.testing.assert_allclose(moves(schedule), preview(schedule, 8, lr=8), atol=1e-5)


def fitted(*callbacks: Callback, model: Any = None) -> tuple[float, list[float]]:
    """The weight after two epochs of four batches, and the rates in the logs."""
    model, ours = build() if model is None else model, bridge(callbacks)
    model.fit(*rows(4), batch_size=2, epochs=2, verbose=0, callbacks=[ours])
    weight = float(model.get_weights()[0][0, 0])
    return weight, [record.logs["learning_rate"] for record in ours.run.history]


def test_so_it_is_where_nobody_listens_to_the_ends_of_batches() -> None:
    weight, logged = fitted(LearningRateScheduler(WARM, unit="step"))
    assert weight == pytest.approx(preview(WARM, 8).sum(), abs=1e-5)
    assert logged == pytest.approx([WARM(3), WARM(7)])


def stream() -> Iterator[Any]:
    """Batches whose number is not known beforehand."""
    for _ in range(3):
        yield np.ones((2, 1), "float32"), np.ones((2, 1), "float32")


@pytest.mark.filterwarnings("ignore:Your input ran out of data", "ignore:`shuffle=True`")
@pytest.mark.parametrize("schedule", [WARM, lambda step, lr: lr / 2])
def test_a_batch_that_is_begun_in_vain_where_data_runs_out_does_not_change_what_is_logged(schedule: Any) -> None:
    look, scheduler = Moves(), LearningRateScheduler(schedule, unit="step")
    ours = bridge([scheduler, look])
    build().fit(stream(), verbose=0, callbacks=[ours])
    wanted = preview(schedule, 3, lr=8)
    np.testing.assert_allclose(look.seen, wanted, atol=1e-5)
    assert ours.run.history[0].logs["learning_rate"] == pytest.approx(wanted[-1])
    assert scheduler.state_dict()["decided"] == (3 if BEGINS_IN_VAIN else 2)


def test_where_gradients_are_gathered_the_update_has_the_rate_of_the_last_batch() -> None:
    seen = moves(WARM, optimizer={"gradient_accumulation_steps": 2})
    np.testing.assert_allclose(seen, np.where(np.arange(8) % 2, preview(WARM, 8), 0), atol=1e-5)


def test_where_several_steps_are_one_execution_all_have_the_rate_of_the_first() -> None:
    rates, scheduler = preview(WARM, 8), LearningRateScheduler(WARM, unit="step")
    if JOINS_STEPS:
        weight, logged = fitted(scheduler, model=build(steps_per_execution=2))
        assert weight == pytest.approx(2 * rates[::2].sum(), abs=1e-5)
        assert logged == pytest.approx([rates[2], rates[6]])
    else:
        with pytest.raises(ValueError, match="steps_per_execution"):
            fitted(scheduler, model=build(steps_per_execution=2))


def test_a_schedule_of_keras_is_taken_as_it_is() -> None:
    given = theirs.CosineDecay(0.5, 6)
    np.testing.assert_allclose(moves(given), preview(schedules.cosine(0.5, 6), 8), atol=1e-5)


ALWAYS = {"on_train_batch_end"} if keras.backend.backend() == "tensorflow" else set()
"""What the bridge overrides for itself, where it costs nothing."""


def overridden(*callbacks: Callback) -> set[str]:
    made, base = type(bridge(callbacks)), keras.callbacks.Callback
    names = [name for name in dir(base) if name.startswith("on_") and "batch" in name]
    return {name for name in names if getattr(made, name) is not getattr(base, name)}


def test_by_epochs_it_costs_no_hook_of_a_batch_and_by_steps_the_one_at_its_begin() -> None:
    assert overridden(LearningRateScheduler(lambda epoch: 0.1)) == ALWAYS
    assert overridden(LearningRateScheduler(lambda step: 0.1, unit="step")) == {"on_train_batch_begin", *ALWAYS}
