"""Weights by name, snapshots, and the best epoch's weights."""

from __future__ import annotations

from typing import Any

import keras
import ml_dtypes
import numpy as np
import pytest
from tiny import build, fit, plain
from trainhooks_adapters.keras import bridge

import trainhooks
from trainhooks.callbacks.early_stopping import EarlyStopping
from trainhooks.errors import WeightsError
from trainhooks.testing import Do, RaiseAt


def within(model: Any, action: Any, event: str = "train_begin", **options: Any) -> None:
    """Call ``action(run)`` once, in an event of a fit."""
    fit(trainhooks.wrap(model, callbacks=[Do(event, action)]), **options)


def same(ours: Any, theirs: Any) -> bool:
    return len(ours) == len(theirs) and all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


EVENTS = ["train_begin", "epoch_begin", "train_batch_begin", "train_batch_end", "test_batch_end", "epoch_end"]

# By name


@pytest.mark.parametrize("event", EVENTS)
def test_weights_are_current_owned_copies_in_every_event(event: str) -> None:
    def act(run: trainhooks.Run) -> None:
        weights = run.get_weights()
        kept.append((weights, {name: array.copy() for name, array in weights.items()}, run.model.get_weights()))

    kept: list[Any] = []
    within(plain(), act, event, epochs=2, validate=1)
    ((weights, then, native),) = kept
    assert same(list(weights.values()), native) and same(list(weights.values()), list(then.values()))
    assert [name.partition(".")[0] for name in weights] == ["0", "1"]
    assert [name.rpartition("/")[2] for name in weights] == ["kernel", "bias"]


@pytest.mark.parametrize("event", EVENTS)
def test_weights_that_are_set_hold_for_the_next_step_in_every_event(event: str) -> None:
    model, given, seen = plain(), [np.full((2, 1), 7.0), np.full(1, 8.0)], []
    model.optimizer.learning_rate = 0.0

    def act(run: trainhooks.Run) -> None:
        run.set_weights(dict(zip(run.get_weights(), given, strict=True)))

    look = Do("train_batch_end", lambda run: seen.append(run.model.get_weights()), nth=None)
    fit(trainhooks.wrap(model, callbacks=[Do(event, act), look]), epochs=2, validate=1)
    assert same(seen[-1], given) and same(model.get_weights(), given)


def test_weights_make_a_round_trip_with_state_that_is_not_trained() -> None:
    def make() -> Any:
        return build(keras.layers.Dense(3), keras.layers.BatchNormalization(), keras.layers.Dense(1))

    model, other, kept = make(), make(), {}
    within(model, lambda run: kept.update(run.get_weights()), "train_end", epochs=2)
    assert [name.rpartition("/")[2] for name in kept][2:6] == ["gamma", "beta", "moving_mean", "moving_variance"]
    within(other, lambda run: run.set_weights(kept), "train_end")
    assert same(other.get_weights(), model.get_weights())


def test_two_layers_of_one_name_keep_a_name_each() -> None:
    class Pair(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = (keras.layers.Dense(1, name="d", use_bias=False) for _ in range(2))

        def call(self, x: Any) -> Any:
            return self.one(x) + self.two(x)

    model, kept = Pair(), {}
    model.compile("sgd", loss="mse")
    fit(model)
    assert len({variable.path for variable in model.weights}) == 1

    def act(run: trainhooks.Run) -> None:
        kept.update(run.get_weights())
        run.set_weights({name: array * 0 + place for place, (name, array) in enumerate(kept.items())})

    within(model, act, "train_end")
    assert len(kept) == 2 and [one.ravel().tolist() for one in model.get_weights()] == [[0, 0], [1, 1]]


def test_weights_of_another_model_of_the_same_kind_fit_whatever_its_layers_are_called() -> None:
    first, second, kept = build(), build(), {}
    within(first, lambda run: kept.update(run.get_weights()), "train_end")
    within(second, lambda run: run.set_weights(kept), "train_end")
    assert same(first.get_weights(), second.get_weights())


def test_weights_may_be_bfloat16_or_lists() -> None:
    model = plain()

    def act(run: trainhooks.Run) -> None:
        kernel, bias = run.get_weights()
        run.set_weights({kernel: np.array([[1.5], [2]], ml_dtypes.bfloat16), bias: [3]})

    within(model, act, "train_end")
    assert same(model.get_weights(), [[[1.5], [2]], [3]])


def refused(change: Any) -> str:
    model = plain()
    names = [f"{place}.{variable.path}" for place, variable in enumerate(model.weights)]
    kernel, bias = names

    def act(run: trainhooks.Run) -> None:
        before = run.model.get_weights()
        with pytest.raises(WeightsError) as error:
            run.set_weights(change(dict(zip(names, [np.ones((2, 1)), np.ones(1)], strict=True)), *names))
        texts.append(str(error.value))
        assert same(run.model.get_weights(), before)

    texts: list[str] = []
    within(model, act, "train_batch_end")
    return texts[0].replace(kernel, "KERNEL").replace(bias, "BIAS")


def test_weights_that_do_not_fit_are_refused_in_a_sentence_and_none_is_written() -> None:
    assert refused(lambda weights, kernel, bias: {kernel: weights[kernel], "bias": 1}) == (
        "run.set_weights(): the weights do not fit (not given: 'BIAS'; unknown: 'bias'). Nothing was written."
    )
    assert refused(lambda weights, kernel, bias: weights | {kernel: np.ones((1, 2))}) == (
        "run.set_weights(): the weights do not fit (another shape: 'KERNEL' is (2, 1), given (1, 2)). "
        "Nothing was written."
    )
    assert refused(lambda weights, kernel, bias: weights | {bias: np.array(["1"])}) == (
        "run.set_weights(): 'BIAS' is given as <U1. Nothing was written."
    )


def test_a_snapshot_of_another_model_is_refused_and_nothing_is_written() -> None:
    kept: list[Any] = []
    within(build(keras.layers.Dense(2)), lambda run: kept.append(run.snapshot()))

    def act(run: trainhooks.Run) -> None:
        with pytest.raises(WeightsError) as error:
            run.restore(kept[0])
        kernel, bias = (one.path for one in run.model.weights)
        kept.append(str(error.value).replace(kernel, "KERNEL").replace(bias, "BIAS"))

    within(plain(), act)
    assert kept[1] == (
        "run.restore(): the weights do not fit (another shape: '0.KERNEL' is (2, 1), given (2, 2); "
        "'1.BIAS' is (1,), given (2,)). Nothing was written."
    )


# Snapshots


@pytest.mark.parametrize("event", EVENTS)
def test_a_snapshot_is_independent_of_training_and_restored_as_often_as_wanted(event: str) -> None:
    model, kept, restored = plain(), [], []

    def act(run: trainhooks.Run) -> None:
        if not kept:
            kept.append(run.snapshot())
        run.restore(kept[0])
        restored.append(run.model.get_weights())

    fit(trainhooks.wrap(model, callbacks=[Do(event, act, nth=None)]), epochs=3, validate=1)
    assert len(restored) >= (1 if event == "train_begin" else 3)
    assert all(same(one, restored[0]) for one in restored)
    fit(trainhooks.wrap(model, callbacks=[Do("train_end", act)]), epochs=2)
    assert same(model.get_weights(), restored[0])


# The best epoch's weights


def worsening(*more: Any, wrapped: bool = True, epochs: int = 5) -> tuple[Any, list[Any], EarlyStopping]:
    """A fit that is best in epoch 1, since from then on it runs away; the weights at each epoch's end."""
    model, each = plain(), []

    def steer(run: trainhooks.Run) -> None:
        run.lr = 0.05 if run.epoch < 2 else 3.0

    stopping = EarlyStopping("loss", patience=2, restore_best_weights=True)
    callbacks = [
        Do("epoch_begin", steer, nth=None),
        Do("epoch_end", lambda run: each.append(run.model.get_weights()), nth=None),
        stopping,
        *more,
    ]
    try:
        if wrapped:
            fit(trainhooks.wrap(model, callbacks=callbacks), epochs=epochs)
        else:
            fit(model, callbacks=[bridge(callbacks)], epochs=epochs)
    except RuntimeError:
        each.append("raised")
    return model, each, stopping


@pytest.mark.parametrize("wrapped", [True, False], ids=["wrap", "bridge"])
def test_early_stopping_gives_back_the_weights_of_the_best_epoch_bit_by_bit(wrapped: bool) -> None:
    model, each, stopping = worsening(wrapped=wrapped, epochs=9)
    best = stopping.best_epoch
    assert len(each) == best + 3 < 9
    assert same(model.get_weights(), each[best]) and not same(model.get_weights(), each[-1])


@pytest.mark.parametrize("wrapped", [True, False], ids=["wrap", "bridge"])
@pytest.mark.parametrize("event, nth", [("train_batch_end", 10), ("epoch_begin", 3), ("epoch_end", 2)])
def test_so_it_does_where_a_callback_raises(event: str, nth: int, wrapped: bool) -> None:
    model, each, stopping = worsening(RaiseAt(event, nth), wrapped=wrapped)
    assert each.pop() == "raised" and len(each) > stopping.best_epoch
    assert same(model.get_weights(), each[stopping.best_epoch])


def test_the_best_weights_are_in_the_state_as_arrays_and_come_back_in_another_model() -> None:
    model, each, stopping = plain(), [], EarlyStopping("loss", patience=1, restore_best_weights=True)
    states: list[Any] = []
    keep = Do("epoch_end", lambda run: states.append(run.state_dict()), nth=1)
    keep.phase = "save"
    look = Do("epoch_end", lambda run: each.append(run.model.get_weights()), nth=None)
    fit(trainhooks.wrap(model, callbacks=[look, stopping, keep]), epochs=2)
    other = build()
    resumed = EarlyStopping("loss", patience=1, restore_best_weights=True)
    run_away = Do("epoch_begin", lambda run: setattr(run, "lr", 9.0))
    wrapped = trainhooks.wrap(other, callbacks=[run_away, resumed], resume=states[0])
    fit(wrapped, epochs=6)
    assert (wrapped.run.outcome, wrapped.run.epochs_done, resumed.best_epoch) == ("stopped", 3, 1)
    assert same(other.get_weights(), each[1])
