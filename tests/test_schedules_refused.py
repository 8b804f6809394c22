"""Schedules: what has no meaning is refused when the schedule is made, in a sentence that says what is needed."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from trainhooks.schedules import (
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

NAN, INF = math.nan, math.inf


def message(error: type[Exception], make: Callable[[], object]) -> str:
    with pytest.raises(error) as caught:
        make()
    return str(caught.value)


@pytest.mark.parametrize(
    "make, wanted",
    [
        (lambda: constant(-1), "constant(lr=-1): a finite number, at least 0"),
        (lambda: constant(NAN), "constant(lr=nan): a finite number, at least 0"),
        (lambda: constant(True), "constant(lr=True): a finite number, at least 0"),
        (lambda: constant("0.1"), "constant(lr='0.1'): a finite number, at least 0"),
        (lambda: cosine(0.1, 0), "cosine(decay_steps=0): a whole number, at least 1"),
        (lambda: cosine(0.1, 1.5), "cosine(decay_steps=1.5): a whole number, at least 1"),
        (lambda: cosine(0.1, 9, -0.1), "cosine(end=-0.1): a finite number, at least 0"),
        (lambda: linear(INF, 9), "linear(lr=inf): a finite number, at least 0"),
        (lambda: polynomial(1, 9, power=0), "polynomial(power=0): a finite number, above 0"),
        (lambda: exponential(1, 9, NAN), "exponential(decay_rate=nan): a finite number, at least 0"),
        (lambda: step(1, -3), "step(step_size=-3): a whole number, at least 1"),
        (lambda: step(1, 3, -0.1), "step(gamma=-0.1): a finite number, at least 0"),
        (lambda: cosine_restarts(1, 3, t_mul=0.5), "cosine_restarts(t_mul=0.5): a finite number, at least 1"),
        (lambda: one_cycle(1, 9, 30), "one_cycle(pct_start=30): a finite number, at least 0 and at most 1"),
        (
            lambda: one_cycle(1, 9, 0.6, three_phase=True),
            "one_cycle(pct_start=0.6): a finite number, at least 0 and at most 0.5",
        ),
        (lambda: one_cycle(1, 9, div_factor=0), "one_cycle(div_factor=0): a finite number, above 0"),
        (
            lambda: one_cycle(1, 9, anneal_strategy="linea"),  # type: ignore[arg-type]
            "one_cycle(anneal_strategy='linea'): 'cos' or 'linear'. Did you mean 'linear'?",
        ),
        (
            lambda: multi_step(1, [5, 3]),
            "multi_step(milestones=[5, 3]): whole numbers that rise, the first at least 1",
        ),
        (
            lambda: multi_step(1, 5),  # type: ignore[arg-type]
            "multi_step(milestones=5): whole numbers that rise, the first at least 1",
        ),
        (
            lambda: piecewise([0], [1, 2]),
            "piecewise(milestones=[0]): whole numbers that rise, the first at least 1",
        ),
        (lambda: piecewise([3], [1, -2]), "piecewise(values[1]=-2): a finite number, at least 0"),
        (lambda: piecewise([3], [1]), "piecewise(): 1 milestones part 2 values, and 1 are given"),
        (lambda: warmup(-1, constant(1)), "warmup(steps=-1): a whole number, at least 0"),
        (lambda: warmup(3, constant(1), start=-1), "warmup(start=-1): a finite number, at least 0"),
        (
            lambda: sequence([constant(1)], [3]),
            "sequence(): 1 milestones part 2 schedules, and 1 are given",
        ),
        (lambda: preview(constant(1), -1), "preview(steps=-1): a whole number, at least 0"),
        (lambda: preview(lambda step, lr: lr, 3, lr=NAN), "preview(lr=nan): a finite number, at least 0"),
        (
            lambda: preview(lambda step: 1 - step, 3),
            "preview(): schedule gave -1 for step 2; a learning rate is a finite number, at least 0",
        ),
        (
            lambda: preview(exponential(1, 1, 1e9), 99),
            "preview(): schedule gave inf for step 35; a learning rate is a finite number, at least 0",
        ),
    ],
)
def test_a_number_out_of_its_bounds_is_refused(make: Callable[[], object], wanted: str) -> None:
    assert message(ValueError, make) == wanted


def recursive(step: int, lr: float) -> float:
    return lr


def test_what_cannot_be_called_with_a_step_is_refused() -> None:
    assert message(TypeError, lambda: warmup(3, 0.1)) == (  # type: ignore[arg-type]
        "warmup(then=0.1): a schedule is a function of (step). constant(0.1) is one that stays at 0.1."
    )
    assert message(TypeError, lambda: sequence([constant(1), recursive], [3])) == (
        f"sequence(schedules[1]={recursive!r}): it takes (step: 'int', lr: 'float') -> 'float'. "
        "What is composed is a function of (step) alone."
    )
    assert message(TypeError, lambda: preview(recursive, 3)) == (
        f"preview(schedule={recursive!r}): it takes the rate before it too. Give lr=, the one to begin with."
    )
    assert message(TypeError, lambda: preview(0.1, 3)) == (  # type: ignore[arg-type]
        "preview(schedule=0.1): its arguments cannot be read. "
        "Give a function: lambda step: ..., or lambda step, lr: ..."
    )
