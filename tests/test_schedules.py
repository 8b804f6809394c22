"""Schedules: plain functions of a step, which compose, show their arguments, and can be looked at beforehand."""

from __future__ import annotations

import copy
import inspect
import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainhooks import schedules
from trainhooks.callbacks.learning_rate_scheduler import LearningRateScheduler
from trainhooks.schedules import (
    Schedule,
    constant,
    cosine,
    cosine_restarts,
    exponential,
    linear,
    multi_step,
    one_cycle,
    piecewise,
    polynomial,
    preview,
    sequence,
    step,
    warmup,
)
from trainhooks.testing import Do, play
from trainhooks.testing.play import Dial

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    "schedule, wanted",
    [
        (constant(8), [8, 8, 8]),
        (linear(8, 4), [8, 6, 4, 2, 0, 0]),
        (linear(0, 4, end=8), [0, 2, 4, 6, 8, 8]),
        (polynomial(8, 2, power=3), [8, 1, 0, 0]),
        (polynomial(9, 4, end=1, power=2), [9, 5.5, 3, 1.5, 1, 1]),
        (exponential(8, 1, 0.5), [8, 4, 2, 1]),
        (exponential(8, 2, 0.25), [8, 4, 2, 1]),
        (exponential(8, 2, 0.5, staircase=True), [8, 8, 4, 4, 2]),
        (exponential(8, 1, 0), [8, 0, 0]),
        (step(8, 2, 0.5), [8, 8, 4, 4, 2]),
        (step(8, 1), [8, 0.8, 0.08]),
        (multi_step(8, [1, 3], 0.5), [8, 4, 4, 2, 2]),
        (multi_step(8, [], 0.5), [8, 8]),
        (piecewise([1, 3], [5, 7, 6]), [5, 7, 7, 6, 6]),
        (cosine(8, 2), [8, 4, 0, 0]),
        (cosine(8, 4, end=2), [8, 5 + 3 * math.sqrt(0.5), 5, 5 - 3 * math.sqrt(0.5), 2, 2]),
        (cosine_restarts(8, 2), [8, 4, 8, 4 + 4 * math.sqrt(0.5), 4, 4 - 4 * math.sqrt(0.5), 8]),
        (cosine_restarts(8, 2, t_mul=1, m_mul=0.5), [8, 4, 4, 2, 2, 1]),
        (one_cycle(8, 5, 0.6, "linear", 4, 2), [2, 5, 8, 4.5, 1, 1]),
        (one_cycle(8, 7, 3 / 7, "linear", 4, 2, three_phase=True), [2, 5, 8, 5, 2, 1.5, 1, 1]),
        (one_cycle(8, 1), [8 / 25 / 1e4]),
        (one_cycle(8, 3, pct_start=1, anneal_strategy="linear", div_factor=2), [4, 6, 8, 8 / 2 / 1e4]),
        (one_cycle(8, 2, pct_start=0, final_div_factor=25, div_factor=1), [4.16, 0.32]),
        (warmup(4, constant(8)), [0, 2, 4, 6, 8, 8]),
        (warmup(2, linear(8, 2), start=4), [4, 6, 8, 4, 0, 0]),
        (warmup(2, lambda step: 1 / (1 + step)), [0, 0.5, 1, 0.5]),
        (sequence([constant(5), linear(8, 2), constant(1)], [2, 4]), [5, 5, 8, 4, 1, 1]),
        (sequence([linear(8, 4)], []), [8, 6]),
        (sequence([warmup(2, constant(8)), warmup(2, constant(4))], [3]), [0, 4, 8, 0, 2, 4]),
    ],
)
def test_the_rates_of_the_first_steps(schedule: Callable[[int], float], wanted: list[float]) -> None:
    assert preview(schedule, len(wanted)).tolist() == pytest.approx(wanted, rel=1e-12, abs=1e-15)


def test_what_grows_beyond_a_float_is_infinite_and_nothing_stays_nothing() -> None:
    assert (exponential(1, 1, 10)(999), step(1, 1, 10)(999), exponential(0, 1, 10)(999)) == (INF, INF, 0)


def test_between_two_steps_there_are_rates_too() -> None:
    assert (linear(8, 4)(0.5), step(8, 2, 0.5)(1.5), warmup(2, constant(8))(0.5)) == (7, 8, 2)


# All of them

ALL = [
    constant(0.1),
    linear(0.1, 7, end=0.01),
    polynomial(0.1, 7, power=2),
    exponential(0.1, 3, 0.9),
    exponential(0.1, 3, 0.9, staircase=True),
    step(0.1, 3),
    multi_step(0.1, [2, 5]),
    piecewise([2, 5], [0.1, 0.2, 0.05]),
    cosine(0.1, 7, end=0.01),
    cosine_restarts(0.1, 3),
    one_cycle(0.1, 9),
    one_cycle(0.1, 9, three_phase=True),
    warmup(3, cosine(0.1, 5)),
    sequence([constant(0.1), warmup(2, step(0.2, 3))], [4]),
]
SCHEDULES = st.sampled_from(ALL)

each = pytest.mark.parametrize("schedule", ALL, ids=repr)


def test_each_function_of_the_module_is_looked_at_here() -> None:
    made = {repr(schedule).partition("(")[0] for schedule in ALL}
    assert made | {"Schedule", "make", "preview"} == set(schedules.__all__)


@each
def test_a_schedule_shows_its_arguments_in_a_form_that_makes_it_again(schedule: Schedule) -> None:
    again = eval(repr(schedule), vars(schedules))
    assert (repr(again), preview(again, 20).tolist()) == (repr(schedule), preview(schedule, 20).tolist())


@each
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_a_schedule_can_be_copied_and_pickled(schedule: Schedule, copied: Any) -> None:
    again = copied(schedule)
    assert (type(again), repr(again)) == (Schedule, repr(schedule))
    assert preview(again, 20).tolist() == preview(schedule, 20).tolist()


@each
def test_a_rate_is_a_plain_float_whatever_number_the_step_is(schedule: Schedule) -> None:
    given = [schedule(4), schedule(np.int64(4)), schedule(4.0), schedule(np.float32(4))]
    assert ({type(one) for one in given}, len(set(given))) == ({float}, 1)


@each
def test_it_knows_no_state_so_that_steps_come_in_any_order(schedule: Schedule) -> None:
    there = [schedule(at) for at in range(30)]
    assert [schedule(at) for at in reversed(range(30))] == there[::-1]


@each
@pytest.mark.parametrize("step", [-1, NAN, INF, -INF])
def test_what_is_no_step_is_refused(schedule: Schedule, step: float) -> None:
    with pytest.raises(ValueError) as caught:
        schedule(step)
    assert str(caught.value) == f"{schedule!r}: step {step!r} is no number of at least 0"


@each
def test_its_signature_is_that_of_a_function_of_the_step_alone(schedule: Schedule) -> None:
    inspect.signature(schedule).bind(0)
    with pytest.raises(TypeError):
        inspect.signature(schedule).bind(0, 0.1)


# Composition

STEPS = st.integers(0, 40)


@given(SCHEDULES)
def test_a_warmup_of_no_steps_is_the_schedule_itself(schedule: Schedule) -> None:
    assert warmup(0, schedule, start=0.3) is schedule


@settings(deadline=None)
@given(SCHEDULES, st.integers(1, 20), st.floats(0, 1), STEPS)
def test_after_a_warmup_comes_the_schedule_from_its_first_step_on(
    schedule: Schedule, steps: int, start: float, at: int
) -> None:
    warm = warmup(steps, schedule, start)
    assert (warm(0), warm(steps + at)) == (start, schedule(at))


@settings(deadline=None)
@given(SCHEDULES, st.integers(1, 20), st.floats(0, 1), st.integers(0, 19))
def test_a_warmup_is_a_line_to_the_schedule_s_first_rate(schedule: Schedule, steps: int, start: float, at: int) -> None:
    line = linear(start, steps, end=schedule(0))
    assert warmup(steps, schedule, start)(at % steps) == line(at % steps)


@settings(deadline=None)
@given(st.lists(st.tuples(SCHEDULES, st.integers(1, 10)), min_size=1, max_size=5))
def test_a_sequence_is_its_schedules_one_after_the_other(parts: list[tuple[Schedule, int]]) -> None:
    ends = np.cumsum([steps for _, steps in parts]).tolist()
    whole = preview(sequence([one for one, _ in parts], ends[:-1]), ends[-1])
    assert whole.tolist() == [rate for one, steps in parts for rate in preview(one, steps)]


@settings(deadline=None)
@given(SCHEDULES, SCHEDULES, st.integers(1, 10), st.integers(1, 10), STEPS)
def test_sequences_nest(one: Schedule, other: Schedule, first: int, more: int, at: int) -> None:
    flat = sequence([one, other, one], [first, first + more])
    nested = sequence([one, sequence([other, one], [more])], [first])
    assert nested(at) == flat(at)


# preview


@settings(deadline=None)
@given(SCHEDULES, STEPS)
def test_a_preview_is_what_calling_gives(schedule: Schedule, steps: int) -> None:
    shown = preview(schedule, steps)
    assert (shown.dtype, shown.tolist()) == (np.float64, [schedule(at) for at in range(steps)])


@pytest.mark.parametrize(
    "schedule",
    [cosine(8, 3), lambda epoch: epoch, lambda epoch, lr: lr / 2, lambda epoch, lr=3: lr + epoch, lambda *both: 2.5],
)
@pytest.mark.parametrize("unit", ["epoch", "step"])
def test_a_preview_is_what_the_scheduler_sets(schedule: Any, unit: Any) -> None:
    seen: list[float] = []
    look = Do("train_batch_begin", lambda run: seen.append(run.lr), nth=None)
    look.phase = "save"
    play([{"loss": 1.0}] * 6, [LearningRateScheduler(schedule, unit=unit), look], trainable=Dial([8]))
    assert preview(schedule, 6, lr=8).tolist() == seen
