"""EarlyStopping: the best weights come back however training ended, and all it knows survives a resume."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainhooks import MLP, Callback, LoopRun, Run, evaluate, fit
from trainhooks.callbacks.early_stopping import EarlyStopping
from trainhooks.errors import CapabilityError
from trainhooks.testing import Do, RaiseAt, StopAt, play
from trainhooks.testing.play import Dial

INF, NAN = math.inf, math.nan


def losses(*values: float | None) -> list[dict[str, float]]:
    """A history of ``val_loss``; where it is None the epoch does not validate."""
    return [{"loss": 0.0} if value is None else {"loss": 0.0, "val_loss": value} for value in values]


# Best weights: the weight of a Dial is the number of the epoch


def ending_weight(values: list[float | None], *callbacks: Callback, **settings: Any) -> int:
    dial = Dial()
    play(losses(*values), [EarlyStopping(restore_best_weights=True, **settings), *callbacks], trainable=dial)
    return dial.weight


@pytest.mark.parametrize(
    "settings, values, wanted",
    [
        ({}, [2, 1, 3], 1),
        ({"patience": 9}, [2, 1, 3, 4], 1),
        ({"patience": 9}, [2, 1, 3, 0], 3),
        ({"patience": 9}, [NAN, 2, NAN, NAN], 1),
        ({"patience": 9}, [NAN, NAN, NAN], 2),  # there is no best
        ({"patience": 9, "start_from_epoch": 2}, [0, 1, 3, 2, 4], 3),
        ({"patience": 9, "baseline": 0.0}, [2, 1, 3], 1),  # the best, though it never reached the baseline
        ({"patience": 9, "mode": "max"}, [2, 5, 3], 1),
        ({"patience": 9, "restore_best_weights": False}, [2, 1, 3], 2),
    ],
)
def test_the_best_weights_come_back(settings: dict[str, Any], values: list[float | None], wanted: int) -> None:
    dial = Dial()
    play(losses(*values), [EarlyStopping(**{"restore_best_weights": True, **settings})], trainable=dial)
    assert dial.weight == wanted


@pytest.mark.parametrize("event", ["epoch_begin", "train_batch_end", "test_batch_end", "epoch_end"])
@pytest.mark.parametrize("error", [RuntimeError("mine"), KeyboardInterrupt()])
def test_the_best_weights_come_back_after_an_exception(event: str, error: BaseException) -> None:
    dial = Dial()
    with pytest.raises(type(error)):
        play(
            losses(2, 1, 3, 4),
            [EarlyStopping(patience=9, restore_best_weights=True), RaiseAt(event, 3, error)],
            trainable=dial,
        )
    assert dial.weight == 1


def test_the_best_weights_come_back_after_a_break() -> None:
    dial, stopping = Dial(), EarlyStopping("loss", patience=9, restore_best_weights=True)
    with LoopRun(dial, [stopping]) as run:
        for epoch in run.epochs(9):
            dial.weight = epoch
            run.log(loss=[2.0, 1.0, 3.0][epoch])
            if epoch == 2:
                break
    assert (dial.weight, run.outcome) == (1, "stopped")


@pytest.mark.parametrize("kind, wanted", [("decision", 1), ("fault", 1), ("pause", 3)])
def test_the_best_weights_come_back_after_a_stop_but_not_after_a_pause(kind: Any, wanted: int) -> None:
    assert ending_weight([2, 1, 3, 4, 5], StopAt("train_batch_end", 3, kind=kind), patience=9) == wanted


def test_the_best_of_an_earlier_run_does_not_come_back() -> None:
    dial, stopping = Dial(), EarlyStopping(patience=9, restore_best_weights=True)
    play(losses(2, 1, 3), [stopping], trainable=dial)
    play(losses(NAN, NAN), [stopping], trainable=dial)
    assert dial.weight == 1  # of the second run, whose epochs were never a number


def another(error_at: str) -> tuple[MLP, dict[str, Any]]:
    """A model evaluated, or set up for a training, which fails: beside a callback that has served a training before."""
    x, y = np.ones((4, 2), np.float32), np.zeros(4, int)
    stopping = EarlyStopping("loss", patience=9, restore_best_weights=True)
    fit(MLP((2, 2)), (x, y), callbacks=[stopping])
    model = MLP((2, 2), seed=1)
    before = model.get_weights()
    do = fit if error_at == "setup" else evaluate
    with pytest.raises(RuntimeError, match="asked for"):
        do(model, (x, y), callbacks=[stopping, RaiseAt(error_at)])
    return model, before


@pytest.mark.parametrize("event", ["setup", "test_begin", "test_batch_end"])
def test_an_exception_outside_training_brings_back_no_weights(event: str) -> None:
    model, before = another(event)
    assert same(model.get_weights(), before)


def test_one_that_joined_a_running_training_restores_too() -> None:
    dial, stopping = Dial(), EarlyStopping(patience=9, restore_best_weights=True)
    join = Do("epoch_begin", lambda run: run.add(stopping), nth=1)
    with pytest.raises(RuntimeError, match="asked for"):
        play(losses(0, 1, 3, 4), [join, RaiseAt("epoch_begin", 3)], trainable=dial)
    assert dial.weight == 1


def test_restoring_needs_a_trainer_that_has_snapshots() -> None:
    with pytest.raises(CapabilityError, match="EarlyStopping needs 'snapshot'"):
        LoopRun(callbacks=[EarlyStopping(restore_best_weights=True)])
    LoopRun(callbacks=[EarlyStopping()])


# State


class Weighted(MLP):
    """A real model whose one weight is what a test says."""

    def __init__(self) -> None:
        super().__init__((1, 1), loss="mse")

    def set(self, epoch: int) -> None:
        self.weights["layer0/kernel"][...] = epoch

    @property
    def weight(self) -> float:
        return float(self.weights["layer0/kernel"][0, 0])


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def trained(history: list[dict[str, float]], stopping: EarlyStopping, *others: Callback, **more: Any) -> Weighted:
    model = Weighted()
    write = Do("train_batch_end", lambda run: model.set(run.epoch), nth=None)
    play(history, [write, stopping, *others], trainable=model, **more)
    return model


def told(stopping: EarlyStopping, model: Weighted) -> tuple[Any, ...]:
    return stopping.wait, stopping.best, stopping.best_epoch, stopping.stopped_epoch, model.weight


def through_json(state: dict[str, Any]) -> dict[str, Any]:
    """A state as a file would give it back: what is not of numpy goes through JSON."""
    if isinstance(state, dict):
        return {name: through_json(value) for name, value in state.items()}
    return state if isinstance(state, np.ndarray) else json.loads(json.dumps(state))


NUMBERS = st.one_of(st.integers(-4, 4).map(float), st.sampled_from([INF, -INF, NAN]))
HISTORIES = st.lists(st.one_of(NUMBERS, NUMBERS, st.none()), min_size=2, max_size=10).map(
    lambda values: losses(*values)
)


@pytest.mark.filterwarnings("ignore:EarlyStopping")
@settings(max_examples=60, deadline=None)
@given(
    HISTORIES,
    st.fixed_dictionaries(
        {
            "patience": st.integers(0, 4),
            "baseline": st.sampled_from([None, 0.0, 2.0]),
            "min_delta": st.sampled_from([0, 1]),
            "mode": st.sampled_from(["min", "max"]),
            "start_from_epoch": st.integers(0, 3),
        }
    ),
    st.integers(0, 6),
)
def test_resuming_after_any_epoch_equals_never_having_stopped(
    history: list[dict[str, float]], settings: dict[str, Any], min_epochs: int
) -> None:
    def make() -> EarlyStopping:
        return EarlyStopping(restore_best_weights=True, strict=False, **settings)

    states: list[dict[str, Any]] = []
    keep = Do("epoch_end", lambda run: states.append(run.state_dict()), nth=None)
    keep.phase = "save"
    whole = make()
    wanted = told(whole, trained(history, whole, keep, min_epochs=min_epochs))
    for state in states:
        resumed = make()
        model = trained(history, resumed, Do("epoch_end", id), resume=through_json(state), min_epochs=min_epochs)
        assert told(resumed, model) == wanted


def test_the_best_weights_of_a_run_that_is_over_are_in_its_state() -> None:
    first, second = (EarlyStopping(patience=9, restore_best_weights=True) for _ in range(2))
    with pytest.raises(RuntimeError, match="asked for"):
        trained(losses(2, 1, 3, 4), first, RaiseAt("epoch_end", 3))
    second.load_state_dict(through_json(first.state_dict()))
    assert first.state_dict()["best_weights"]["weights"]["layer0/kernel"].item() == 1
    assert second.state_dict()["best_weights"]["weights"]["layer0/kernel"].item() == 1


def test_a_paused_run_that_is_resumed_has_its_best_weights() -> None:
    first, second = (EarlyStopping(patience=9, restore_best_weights=True) for _ in range(2))
    runs: list[Run] = []
    trained(losses(2, 1, 3, 4), first, StopAt("epoch_end", 2, kind="pause"), Do("setup", runs.append))
    state = runs[0].state_dict()
    model = trained(losses(2, 1, 3, 4), second, Do("setup", id), resume=state)
    assert (model.weight, second.best_epoch) == (1, 1)


def test_a_resumed_run_that_fails_in_its_first_epoch_has_the_best_weights_of_before() -> None:
    states: list[dict[str, Any]] = []
    last = Do("epoch_end", lambda run: states.append(run.state_dict()), nth=1)
    last.phase = "save"
    trained(losses(1, 2), EarlyStopping(patience=9, restore_best_weights=True), last)
    model = Weighted()
    write = Do("epoch_begin", lambda run: model.set(7))
    again = EarlyStopping(patience=9, restore_best_weights=True)
    with pytest.raises(RuntimeError, match="asked for"):
        play(losses(1, 2, 3), [write, again, RaiseAt("train_batch_end")], trainable=model, resume=states[0])
    assert model.weight == 0


def test_taking_the_state_leaves_the_model_as_it_was() -> None:
    stopping, seen = EarlyStopping(patience=9, restore_best_weights=True), []
    model = Weighted()

    def look(run: Run) -> None:
        best = run.state_dict()["callbacks"]["EarlyStopping"]["best_weights"]["weights"]
        seen.append((model.weight, float(best["layer0/kernel"][0, 0])))

    write = Do("train_batch_end", lambda run: model.set(run.epoch), nth=None)
    last = Do("epoch_end", look, nth=None)
    last.phase = "save"
    play(losses(2, 1, 3), [write, stopping, last], trainable=model)
    assert seen == [(0, 0), (1, 1), (2, 1)]


def test_settings_are_the_constructor_s_and_a_difference_is_told() -> None:
    old, new = EarlyStopping(patience=2), EarlyStopping(patience=3)
    play(losses(2, 1, 3), [old])
    with pytest.warns(UserWarning, match="saved with patience=2; the constructor's patience=3 hold") as caught:
        new.load_state_dict(old.state_dict())
    assert (len(caught), new.patience, new.best, new.wait) == (1, 3, 1.0, 1)


def test_the_state_of_another_metric_is_dropped() -> None:
    old, new = EarlyStopping("loss", patience=2), EarlyStopping("val_loss", patience=2)
    play([{"loss": 1.0}, {"loss": 1.0}], [old])
    play(losses(2, 3), [new])
    with pytest.warns(UserWarning, match="begins anew"):
        new.load_state_dict(old.state_dict())
    assert (new.wait, new.best) == (0, None)


def test_best_weights_of_another_framework_are_told_of_and_left() -> None:
    class Other(MLP):
        framework = "other"

    losses = [{"val_loss": value, "loss": 1.0} for value in (1.0, 2.0, 2.0)]
    state = play(losses[:2], [EarlyStopping(patience=9, restore_best_weights=True)], trainable=MLP((1, 1))).state_dict()
    other = Other((1, 1), seed=5)
    before = other.get_weights()
    stopping = EarlyStopping(patience=9, restore_best_weights=True)
    with pytest.warns(UserWarning, match="the best weights, of epoch 1, were numpy's and do not go into other"):
        run = play(losses, [stopping], trainable=other, resume=state)
    assert (run.outcome, stopping.best, stopping.wait) == ("completed", 1.0, 2)
    assert all(np.array_equal(before[name], after) for name, after in other.get_weights().items())


def test_a_stop_that_was_held_to_the_end_is_none() -> None:
    stopping = EarlyStopping("loss")
    play([{"loss": 1.0}, {"loss": 2.0}, {"loss": 2.0}], [stopping], min_epochs=9)
    assert stopping.stopped_epoch == 0


def test_a_state_is_json_able_whatever_numbers_the_settings_were() -> None:
    stopping = EarlyStopping("loss", patience=np.int64(2), baseline=np.float32(0.5), min_delta=np.float64(0.1))
    assert json.loads(json.dumps(stopping.state_dict()))["settings"]["patience"] == 2
