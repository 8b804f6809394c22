"""EMA: an exponential moving average of the weights, which leaves the model alone."""

from __future__ import annotations

import copy
import json
import math
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainhooks import MLP, Callback, LoopRun, Run, fit
from trainhooks.callbacks.ema import EMA
from trainhooks.errors import CapabilityError, LoopError
from trainhooks.testing import Do, RaiseAt, StopAt
from trainhooks.testing.play import Dial

RNG = np.random.default_rng(0)
DATA = [(RNG.normal(size=(8, 5)).astype(np.float32), RNG.integers(3, size=8)) for _ in range(4)]


def trained(*callbacks: Callback, epochs: int = 2, resume: Any = None) -> tuple[MLP, Any]:
    model = MLP((5, 4, 3), lr=0.5)
    return model, fit(model, DATA, epochs=epochs, callbacks=callbacks, resume=resume)


def same(a: Any, b: Any) -> bool:
    return list(a) == list(b) and all(np.array_equal(a[name], b[name]) for name in a)


class Line(MLP):
    """Its one weight goes up by 1 at each update."""

    def __init__(self) -> None:
        super().__init__((1, 1), loss="mse", lr=1.0)
        self.weights["layer0/kernel"][...] = 0.0

    def update(self) -> None:
        self.optimizer.step({name: np.full_like(array, -1) for name, array in self.weights.items()})


def averages(ema: EMA, batches: int, per_batch: int = 1) -> list[float | None]:
    """What the average of a ``Line`` is at the end of each batch."""
    model, seen = Line(), []
    with LoopRun(model, [ema]) as run:
        for _ in run.epochs(1):
            for _ in run.train(range(batches)):
                for _ in range(per_batch):
                    model.update()
                seen.append(None if ema.average is None else float(ema.average["layer0/kernel"].item()))
    return seen


# The average


def test_it_begins_with_the_weights_after_the_first_update_and_moves_at_each() -> None:
    assert averages(EMA(0.5), 4) == [1, 1.5, 2.25, 3.125]
    assert averages(EMA(0.5), 2, per_batch=2) == [1.5, 3.125]
    assert averages(EMA(0), 3) == [1, 2, 3]


def test_every_takes_each_so_many_updates() -> None:
    assert averages(EMA(0.5, every=2), 5) == [None, 2, 2, 3, 3]
    assert averages(EMA(0.5, every=2), 3, per_batch=3) == [2, 4.5, 6.25]  # of 2; 4, 6; 8


def test_start_from_step_leaves_out_the_updates_before_it() -> None:
    assert averages(EMA(0.5, start_from_step=3), 4) == [None, None, 3, 3.5]
    assert averages(EMA(0.5, start_from_step=1), 2) == averages(EMA(0.5), 2)
    assert averages(EMA(0.5, start_from_step=3, every=2), 6) == [None, None, None, 4, 4, 5]


def test_warm_up_begins_with_a_small_decay() -> None:
    wanted, average = [], 0.0
    for n, weight in enumerate(range(1, 21)):
        decay = min(0.5, (1 + n) / (10 + n)) if n else 0.0
        average = decay * average + (1 - decay) * weight
        wanted.append(average)
    assert averages(EMA(0.5, warm_up=True), 20) == pytest.approx(wanted, rel=1e-6)
    assert averages(EMA(0.5), 20) != pytest.approx(wanted, rel=1e-3)


@settings(deadline=None, max_examples=50)
@given(
    decay=st.floats(0, 0.999),
    weights=st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=12),
    every=st.integers(1, 4),
    start=st.integers(0, 6),
    warm_up=st.booleans(),
)
def test_the_average_is_the_sum_of_the_weights_that_it_saw(
    decay: float, weights: list[float], every: int, start: int, warm_up: bool
) -> None:
    ema, model = EMA(decay, every=every, start_from_step=start, warm_up=warm_up), Line()
    with LoopRun(model, [ema]) as run:
        for _ in run.epochs(1):
            for weight in run.train(weights):
                model.weights["layer0/kernel"][...] = weight
                model.optimizer.step({})
    seen = [weight for n, weight in enumerate(weights, 1) if n >= start and n % every == 0]
    average = None
    for n, weight in enumerate(seen):
        now = min(decay, (1 + n) / (10 + n)) if warm_up else decay
        average = weight if average is None else now * average + (1 - now) * weight
    if average is None:
        assert ema.average is None
    else:
        assert ema.get_weights()["layer0/kernel"].item() == pytest.approx(average, rel=1e-4, abs=1e-4)
    assert (ema.steps, ema.updates) == (len(weights), len(seen))


def test_the_model_is_left_alone() -> None:
    assert same(trained(EMA(0.9))[0].state_dict(), trained()[0].state_dict())


def test_a_trainer_that_shows_no_updates_is_followed_by_its_batches() -> None:
    class Blind(Line):
        def missing(self, need: str) -> str | None:
            return "it shows none." if need == "optimizer_step" else super().missing(need)

    model, ema = Blind(), EMA(0.5)
    with LoopRun(model, [ema]) as run:
        for _ in run.epochs(2):
            for _ in run.train(range(2)):
                model.update()
                model.update()
    assert (ema.steps, ema.updates, ema.average["layer0/kernel"].item()) == (4, 4, 6.25)  # of 2, 4, 6, 8


# What one takes from it


def test_the_average_and_its_arrays_are_there_during_and_after_the_run() -> None:
    ema, seen = EMA(0.9), []
    model, run = trained(ema, Do("epoch_end", lambda run: seen.append((ema.get_weights(), copy.deepcopy(ema.average)))))
    now = model.get_weights()
    assert same(*seen[0]) and same(ema.get_weights(), ema.average)
    assert not same(seen[0][0], ema.average) and same(model.get_weights(), now)
    run.restore(ema.average)
    assert same(model.get_weights(), ema.get_weights())


def test_before_the_first_update_there_is_none() -> None:
    ema = EMA()
    with pytest.raises(LoopError) as error:
        ema.get_weights()
    assert (ema.average, str(error.value)) == (None, "EMA.get_weights(): nothing has been averaged yet.")


# From when to when


def test_taken_off_in_the_midst_of_a_run_it_averages_no_more_and_put_on_it_begins() -> None:
    ema, seen, handles = EMA(0.5), [], []
    trained(
        Do("epoch_begin", lambda run: handles.append(run.add(ema)), 0),
        Do("epoch_begin", lambda run: handles.pop().remove(), 1),
        Do("train_batch_begin", lambda run: handles.append(run.add(ema)), 10),
        Do("epoch_end", lambda run: seen.append(ema.steps), None),
        epochs=4,
    )
    assert seen == [4, 4, 6, 10]


def test_one_that_is_attached_at_a_batchs_end_misses_no_update_after_it() -> None:
    ema = EMA(0.5)
    trained(Do("train_batch_end", lambda run: run.add(ema), 2), epochs=2)
    assert ema.steps == 5


def test_a_new_run_begins_anew_and_an_evaluation_does_not() -> None:
    ema, fresh = EMA(0.9), EMA(0.9)
    trained(ema)
    with LoopRun(MLP((5, 4, 3)), [ema]) as run:
        for _ in run.test(DATA[:1]):
            pass
    assert ema.updates == 8
    trained(ema)
    trained(fresh)
    assert (ema.steps, ema.updates) == (8, 8)
    assert same(ema.get_weights(), fresh.get_weights())


@pytest.mark.parametrize(
    "event, nth, seen",
    [("train_begin", 0, 0), ("optimizer_step", 1, 1), ("train_batch_end", 1, 2), ("test_begin", 0, 4)],
)
def test_after_an_exception_it_holds_what_it_saw_and_serves_the_next_run(event: str, nth: int, seen: int) -> None:
    ema, fresh = EMA(0.9), EMA(0.9)
    model = MLP((5, 4, 3), lr=0.5)
    with pytest.raises(RuntimeError, match="asked for"):
        fit(model, DATA, DATA, callbacks=[ema, RaiseAt(event, nth)])
    assert (ema.run, ema.updates) == (None, seen)
    trained(ema)
    trained(fresh)
    assert same(ema.get_weights(), fresh.get_weights()) and ema.updates == 8


def test_a_copy_made_during_a_run_follows_none() -> None:
    ema, copies = EMA(0.9), []

    def duplicate(run: Run) -> None:
        copies.extend([copy.deepcopy(ema), pickle.loads(pickle.dumps(ema))])

    trained(ema, Do("train_batch_end", duplicate, 2))
    assert [(one.run, one.steps) for one in (ema, *copies)] == [(None, 8), (None, 3), (None, 3)]
    trained(copies[1])
    assert copies[1].steps == 8


# Its state


@pytest.mark.parametrize("options", [{}, {"every": 3}, {"warm_up": True}, {"start_from_step": 6}])
def test_a_resumed_run_averages_to_the_bit_as_if_it_had_never_stopped(options: Any) -> None:
    states: list[Any] = []
    keep = Do("epoch_end", lambda run: states.append(run.state_dict()))
    keep.phase = "save"
    whole, again = EMA(0.9, **options), EMA(0.9, **options)
    trained(whole, epochs=3)
    trained(EMA(0.9, **options), keep, StopAt("epoch_end", kind="pause"), epochs=3)
    trained(again, epochs=3, resume=pickle.loads(pickle.dumps(states[0])))
    assert same(again.get_weights(), whole.get_weights())
    assert (again.steps, again.updates) == (whole.steps, whole.updates)


def test_the_state_is_plain_values_and_the_average_by_name() -> None:
    ema = EMA(0.9)
    trained(ema)
    state = ema.state_dict()
    arrays = state["average"].pop("weights")
    assert same(arrays, ema.get_weights())
    assert json.loads(json.dumps(state)) == {
        "steps": 8,
        "updates": 8,
        "settings": {"decay": 0.9, "every": 1, "warm_up": False, "start_from_step": 0},
        "average": {"framework": "numpy"},
    }


def test_a_state_of_other_settings_is_taken_with_a_warning() -> None:
    first, second = EMA(0.9, every=2), EMA(0.99, every=2)
    trained(first)
    with pytest.warns(UserWarning, match="EMA") as caught:
        second.load_state_dict(first.state_dict())
    assert [str(one.message) for one in caught] == ["EMA: saved with decay=0.9; the constructor's decay=0.99 hold."]
    assert (second.decay, second.updates) == (0.99, 4) and same(second.get_weights(), first.get_weights())


# What is refused


@pytest.mark.parametrize(
    "arguments, told",
    [
        ({"decay": 1.0}, "EMA(decay=1.0): the weight of the past, in [0, 1)"),
        ({"decay": -0.1}, "EMA(decay=-0.1): the weight of the past, in [0, 1)"),
        ({"decay": math.nan}, "EMA(decay=nan): the weight of the past, in [0, 1)"),
        ({"decay": False}, "EMA(decay=False): the weight of the past, in [0, 1)"),
        ({"decay": "0.9"}, "EMA(decay='0.9'): the weight of the past, in [0, 1)"),
        ({"every": 0}, "EMA(every=0): a whole number, at least 1"),
        ({"start_from_step": -1}, "EMA(start_from_step=-1): a whole number, at least 0"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError) as error:
        EMA(**arguments)
    assert str(error.value) == told


def test_a_trainer_that_cannot_average_is_refused_when_it_is_attached() -> None:
    with pytest.raises(CapabilityError) as error:
        LoopRun(Dial(), [EMA()])
    assert str(error.value) == ("EMA needs 'average', which this trainer lacks: the dial adapter does not offer it.")
