"""schedules.make: a config's schedule is the function's, nested ones too; and what it cannot be is told where."""

from __future__ import annotations

import json
import types
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainhooks import schedules
from trainhooks.callbacks import LearningRateScheduler
from trainhooks.errors import listing
from trainhooks.schedules import make

FUNCTIONS = [name for name in schedules.__all__ if name not in ("Schedule", "make", "preview")]
THERE = f"There are {listing(FUNCTIONS)}."
NEEDS = "A config names schedules by 'name', as {'name': 'cosine', 'lr': 0.1, 'decay_steps': 100}."

COSINE = {"name": "cosine", "lr": 0.1, "decay_steps": 9}
CASES: list[tuple[dict[str, Any], Callable[[], Any]]] = [
    ({"name": "constant", "lr": 0.1}, lambda: schedules.constant(0.1)),
    (COSINE, lambda: schedules.cosine(0.1, 9)),
    (
        {"name": "cosine_restarts", "lr": 0.1, "first_decay_steps": 3, "t_mul": 1},
        lambda: schedules.cosine_restarts(0.1, 3, 1),
    ),
    (
        {"name": "exponential", "lr": 0.1, "decay_steps": 3, "decay_rate": 0.5, "staircase": True},
        lambda: schedules.exponential(0.1, 3, 0.5, True),
    ),
    ({"name": "linear", "lr": 0.1, "decay_steps": 3, "end": 1}, lambda: schedules.linear(0.1, 3, 1)),
    ({"name": "multi_step", "lr": 0.1, "milestones": [3, 5]}, lambda: schedules.multi_step(0.1, [3, 5])),
    (
        {"name": "one_cycle", "max_lr": 0.1, "total_steps": 9, "anneal_strategy": "linear"},
        lambda: schedules.one_cycle(0.1, 9, anneal_strategy="linear"),
    ),
    ({"name": "piecewise", "milestones": [3], "values": [1, 2]}, lambda: schedules.piecewise([3], [1, 2])),
    (
        {"name": "polynomial", "lr": 0.1, "decay_steps": 3, "power": 2},
        lambda: schedules.polynomial(0.1, 3, power=2),
    ),
    (
        {"name": "sequence", "milestones": [3], "schedules": [{"name": "warmup", "steps": 2, "then": COSINE}, COSINE]},
        lambda: schedules.sequence([schedules.warmup(2, schedules.cosine(0.1, 9)), schedules.cosine(0.1, 9)], [3]),
    ),
    ({"name": "step", "lr": 0.1, "step_size": 3}, lambda: schedules.step(0.1, 3)),
    (
        {"name": "warmup", "steps": 2, "start": 0.01, "then": COSINE},
        lambda: schedules.warmup(2, schedules.cosine(0.1, 9), 0.01),
    ),
]


def refused(config: Any) -> str:
    with pytest.raises((TypeError, ValueError)) as caught:
        make(config)
    return f"{type(caught.value).__name__}: {caught.value}"


def test_each_function_is_tried() -> None:
    assert [config["name"] for config, _ in CASES] == FUNCTIONS


@pytest.mark.parametrize("config, function", CASES, ids=FUNCTIONS)
def test_a_config_makes_what_the_function_makes_and_is_not_changed(
    config: dict[str, Any], function: Callable[[], Any]
) -> None:
    text = json.dumps(config)
    assert repr(make(types.MappingProxyType(config))) == repr(make(json.loads(text))) == repr(function())
    assert json.dumps(config) == text


def test_a_name_takes_its_arguments_beside_it_functions_among_them() -> None:
    assert repr(make("cosine", lr=0.1, decay_steps=9)) == "cosine(lr=0.1, decay_steps=9, end=0.0)"
    assert make("warmup", steps=0, then=abs) is abs
    with pytest.raises(TypeError) as caught:
        make({"name": "constant"}, lr=0.2)
    assert str(caught.value) == "make({'name': 'constant'}, lr=...): arguments stand in the config"


@pytest.mark.parametrize(
    "config, text",
    [
        ("cosin", f"ValueError: make(): there is no schedule 'cosin'. Did you mean 'cosine'? {THERE}"),
        ("preview", f"ValueError: make(): there is no schedule 'preview'. {THERE}"),
        (
            {"name": "cosine", "lr": 0.1, "decay_step": 9},
            "TypeError: cosine(decay_step=...): no such argument. Did you mean 'decay_steps'? "
            "There are 'lr', 'decay_steps', 'end'.",
        ),
        (
            "cosine",
            "TypeError: cosine(...): it needs 'lr', 'decay_steps' too. Its arguments are 'lr', 'decay_steps', 'end'.",
        ),
        ({"name": "constant", "lr": -1}, "ValueError: constant(lr=-1): a finite number, at least 0"),
        (
            {"name": "warmup", "steps": 3, "then": {"name": "constant", "lr": "1"}},
            "ValueError: then: constant(lr='1'): a finite number, at least 0",
        ),
        (
            {"name": "warmup", "steps": 3, "then": {"name": "sequence", "milestones": [1], "schedules": [COSINE, "x"]}},
            f"ValueError: then: schedules[1]: there is no schedule 'x'. {THERE}",
        ),
        (
            {"name": "warmup", "steps": 3, "then": {"lr": 3}},
            f"ValueError: then: it has 'lr' and no 'name'. {NEEDS}",
        ),
        (
            {"name": "warmup", "steps": 3, "then": 0.1},
            "TypeError: warmup(then=0.1): a schedule is a function of (step). constant(0.1) is one that stays at 0.1.",
        ),
        (
            {"name": "sequence", "milestones": [], "schedules": COSINE},
            f"TypeError: sequence(schedules={COSINE!r}): a list, of one more than there are milestones",
        ),
        (
            {"name": "piecewise", "milestones": [], "values": 0.1},
            "TypeError: piecewise(values=0.1): a list, of one more than there are milestones",
        ),
        ({"lr": 3}, f"ValueError: make(): it has 'lr' and no 'name'. {NEEDS}"),
        ({"name": 3}, f"TypeError: make(): name=3: a name is a string. {NEEDS}"),
        (3, f"TypeError: make(): 3 is neither a name nor a mapping. {NEEDS}"),
    ],
)
def test_what_is_no_schedule_is_told_where_and_what_there_is(config: Any, text: str) -> None:
    assert refused(config) == text


class TestLearningRateScheduler:
    def test_it_takes_a_config_for_its_schedule(self) -> None:
        made = LearningRateScheduler({"name": "warmup", "steps": 3, "then": COSINE}, unit="step")
        assert repr(made.schedule) == repr(schedules.warmup(3, schedules.cosine(0.1, 9)))

    def test_what_is_no_schedule_is_told_with_its_name(self) -> None:
        with pytest.raises(ValueError) as caught:
            LearningRateScheduler({"name": "warmup", "steps": 3, "then": "cosin"})
        assert str(caught.value) == (
            f"LearningRateScheduler(schedule=...): then: there is no schedule 'cosin'. Did you mean 'cosine'? {THERE}"
        )


data = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats() | st.sampled_from([*FUNCTIONS, "", "x"]),
    lambda part: (
        st.lists(part, max_size=3)
        | st.fixed_dictionaries(
            {"name": st.sampled_from(FUNCTIONS)},
            optional=dict.fromkeys(("lr", "then", "schedules", "steps", "milestones", "values", "decay_steps"), part),
        )
    ),
    max_leaves=8,
)


def refusal(config: Any) -> str | None:
    """Why it is refused; None where it is made."""
    try:
        make(config)
    except (TypeError, ValueError) as error:
        return str(error)
    return None


@given(data)
@settings(max_examples=400, deadline=None)
def test_any_data_is_made_or_refused_in_a_sentence_of_ours(config: Any) -> None:
    told = refusal(config)
    whose = [f"{name}(" for name in FUNCTIONS]
    assert told is None or any(words in told for words in ["make(", "there is no schedule", *whose])
