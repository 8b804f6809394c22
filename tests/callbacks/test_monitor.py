"""Monitor: which metric is watched, when it is due, and what is better."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainhooks.callbacks._monitor import Monitor, direction
from trainhooks.callbacks.early_stopping import EarlyStopping
from trainhooks.testing import play

INF, NAN = math.inf, math.nan


def bests(values: list[float], **settings: Any) -> list[float | None]:
    """The best after each of ``values``."""
    watch, seen = Monitor("Test", "loss", **settings), []
    for value in values:
        if watch.is_better(value, watch.best):
            watch.best = value
        seen.append(watch.best)
    return seen


# What is better


@pytest.mark.parametrize(
    "settings, values, wanted",
    [
        ({}, [3, 2, 2, 4, 1], [3, 2, 2, 2, 1]),
        ({"mode": "max"}, [3, 2, 3, 4, 1], [3, 3, 3, 4, 4]),
        ({"min_delta": 0.5}, [3, 2.5, 2.25, 2], [3, 3, 2.25, 2.25]),
        ({"min_delta": -0.5}, [3, 2.5, 2.25, 2], [3, 3, 2.25, 2.25]),
        ({"min_delta": 0.5, "mode": "max"}, [3, 3.5, 3.75], [3, 3, 3.75]),
        ({"min_delta": INF}, [3, -INF], [3, 3]),
        ({}, [INF, 5, NAN, -INF, 1], [INF, 5, 5, -INF, -INF]),
        ({"mode": "max"}, [-INF, 5, INF, 6], [-INF, 5, INF, INF]),
        ({}, [NAN, NAN, 2, NAN, 1], [None, None, 2, 2, 1]),
    ],
)
def test_better_is_strictly_better_by_more_than_min_delta(
    settings: dict[str, Any], values: list[float], wanted: list[float | None]
) -> None:
    assert bests(values, **settings) == wanted


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(width=16)), st.sampled_from(["min", "max"]))
def test_without_min_delta_the_best_is_the_extreme_of_the_numbers(values: list[float], mode: Any) -> None:
    numbers = [value for value in values if not math.isnan(value)]
    extreme = (min if mode == "min" else max)(numbers, default=None)
    assert bests(values, mode=mode)[-1:] == ([extreme] if values else [])


# The direction that a name tells; test_against_keras.py has all of Keras's names


@pytest.mark.parametrize(
    "name, wanted",
    [
        ("loss", "min"),
        ("val_loss", "min"),
        ("val_accuracy", "max"),
        ("acc", "max"),
        ("accuracy_loss", "min"),
        ("val/f1 macro", "max"),
        ("mAP@0.5", "max"),
        ("mean_io_u", "max"),
        ("head-2.mse", "min"),
        ("learning_rate", None),
        ("glossy", None),
        ("", None),
    ],
)
def test_the_last_telling_word_of_a_name_tells_the_direction(name: str, wanted: str | None) -> None:
    assert direction(name) == wanted


# What the constructor refuses


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"mode": "mim"}, "Test(mode='mim'): a mode is 'auto', 'min' or 'max'. Did you mean 'min'?"),
        ({"mode": None}, "Test(mode=None): a mode is 'auto', 'min' or 'max'."),
        ({"min_delta": NAN}, "Test(min_delta=nan): a number"),
    ],
)
def test_what_has_no_meaning_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        Monitor("Test", **{"name": "loss", **settings})
    assert str(caught.value) == message


@pytest.mark.parametrize("history", [[{"val_reward": 1.0}], [{"loss": 1.0}, {"val_reward": 1.0}]])
def test_a_name_that_does_not_tell_is_refused_at_the_first_epoch(history: list[dict[str, float]]) -> None:
    with pytest.raises(ValueError) as caught:
        play(history, [EarlyStopping(monitor="val_reward")])
    assert str(caught.value) == (
        "EarlyStopping(monitor='val_reward'): mode='auto' cannot tell which way it is better. "
        "Give mode='min' or mode='max'."
    )


def test_a_mode_that_is_given_needs_no_telling_name() -> None:
    stopping = EarlyStopping(monitor="val_reward", mode="max")
    play([{"val_reward": 1.0}, {"val_reward": 2.0}], [stopping])
    assert stopping.best == 2.0


# Its state


def test_reset_keeps_the_best_that_it_is_given_alone() -> None:
    watch = Monitor("Test", "loss")
    fresh = watch.state_dict()
    watch.load_state_dict({**fresh, "best": 1.0, "seen": True, "missed": True})
    watch.reset(1.0)
    assert watch.state_dict() == {**fresh, "best": 1.0}


def test_settings_that_differ_are_told_and_the_constructor_holds() -> None:
    old, new = Monitor("Test", "loss", min_delta=0.5), Monitor("Test", "loss", min_delta=0.25)
    old.best = 3.0
    with pytest.warns(UserWarning, match="saved with") as caught:
        fits = new.load_state_dict(old.state_dict(patience=2, factor=1), patience=3, factor=1)
    assert (fits, new.best, new.min_delta, [str(one.message) for one in caught]) == (
        True,
        3.0,
        0.25,
        [
            "Test(monitor='loss'): saved with min_delta=0.5, patience=2; "
            "the constructor's min_delta=0.25, patience=3 hold."
        ],
    )


@pytest.mark.parametrize(
    "new, then, now",
    [
        (Monitor("Test", "mse"), "monitor='loss'", "monitor='mse'"),
        (Monitor("Test", "loss", "max"), "mode='min'", "mode='max'"),
    ],
)
def test_the_state_of_another_metric_is_not_taken(new: Monitor, then: str, now: str) -> None:
    old = Monitor("Test", "loss")
    old.best = 3.0
    with pytest.warns(UserWarning, match="saved with") as caught:
        fits = new.load_state_dict(old.state_dict())
    assert (fits, new.best, [str(one.message) for one in caught]) == (
        False,
        None,
        [f"Test(monitor={new.name!r}): saved with {then}; the constructor's {now} hold, and it begins anew."],
    )
