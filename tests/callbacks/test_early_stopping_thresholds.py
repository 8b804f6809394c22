"""EarlyStopping: a goal that is reached, a metric that diverges, a metric that is no finite number."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainhooks import Callback, LoopRun, Run
from trainhooks.callbacks.early_stopping import EarlyStopping
from trainhooks.testing import Do, StopAt, play
from trainhooks.testing.play import Dial

INF, NAN = math.inf, math.nan


def losses(*values: float | None) -> list[dict[str, float]]:
    """A history of ``val_loss``; where it is None the epoch does not validate."""
    return [{"loss": 0.0} if value is None else {"loss": 0.0, "val_loss": value} for value in values]


def told(values: list[Any], *others: Callback, min_epochs: int = 0, **made: Any) -> tuple[Any, ...]:
    """After how many epochs it stopped, of which kind and why; None when it did not."""
    stopping = EarlyStopping(**{"patience": 9, **made})
    run = play(losses(*values), [stopping, *others], min_epochs=min_epochs)
    return (len(run.history), run.stop_kind, run.stop_reason) if run.should_stop else (None, None, None)


BETTER = "val_loss is 0.5, better than 1"
WORSE = "val_loss is 12, worse than 10"
PATIENCE = "val_loss has not improved on 3 of epoch 1 for 1 checks"


@pytest.mark.parametrize(
    "made, values, wanted",
    [
        # a goal that is reached is a decision
        ({"stopping_threshold": 1}, [3, 2, 0.5, 0], (3, "decision", BETTER)),
        ({"stopping_threshold": 1}, [0.5, 2], (1, "decision", BETTER)),  # the first epoch too
        ({"stopping_threshold": 1}, [3, 1, 1, 1], (None, None, None)),  # strictly
        ({"stopping_threshold": 1, "min_delta": 5}, [3, 0.5], (2, "decision", BETTER)),  # without min_delta
        ({"stopping_threshold": 1}, [-INF], (1, "decision", "val_loss is -inf, better than 1")),
        ({"stopping_threshold": 1}, [NAN, INF, 2], (None, None, None)),
        ({"stopping_threshold": 1, "mode": "max"}, [0, 1, 3], (3, "decision", "val_loss is 3, better than 1")),
        # what diverges is a fault
        ({"divergence_threshold": 10}, [3, 12, 0], (2, "fault", WORSE)),
        ({"divergence_threshold": 10}, [12], (1, "fault", WORSE)),
        ({"divergence_threshold": 10}, [10, 10], (None, None, None)),
        ({"divergence_threshold": 10}, [INF], (1, "fault", "val_loss is inf, worse than 10")),
        ({"divergence_threshold": 10}, [NAN, -INF], (None, None, None)),
        ({"divergence_threshold": 10, "mode": "max"}, [20, 5], (2, "fault", "val_loss is 5, worse than 10")),
        # what is not finite is a fault, and is asked for first
        ({"check_finite": True}, [3, NAN, 2], (2, "fault", "val_loss is nan, which is not finite")),
        ({"check_finite": True}, [NAN], (1, "fault", "val_loss is nan, which is not finite")),
        ({"check_finite": True}, [INF], (1, "fault", "val_loss is inf, which is not finite")),
        (
            {"check_finite": True, "stopping_threshold": 1, "divergence_threshold": 9},
            [3, -INF],
            (2, "fault", "val_loss is -inf, which is not finite"),
        ),
        ({}, [3, NAN, INF, -INF, 2], (None, None, None)),
        # with patience: what says more comes first
        ({"stopping_threshold": 1, "min_delta": 5, "patience": 1}, [3, 0.5], (2, "decision", BETTER)),
        ({"divergence_threshold": 10, "patience": 1}, [3, 12], (2, "fault", WORSE)),
        ({"stopping_threshold": 1, "divergence_threshold": 10, "patience": 1}, [3, 4, 0.5], (2, "decision", PATIENCE)),
        # epochs that are not looked at
        ({"stopping_threshold": 1, "start_from_epoch": 2}, [0, 0, 2, 0.5], (4, "decision", BETTER)),
        ({"divergence_threshold": 10, "start_from_epoch": 1}, [99, 12], (2, "fault", WORSE)),
        ({"check_finite": True, "start_from_epoch": 2}, [NAN, NAN, 3], (None, None, None)),
        ({"check_finite": True}, [3, None, None, 2], (None, None, None)),
        # a baseline has no say in it
        ({"stopping_threshold": 1, "baseline": 0}, [3, 0.5], (2, "decision", BETTER)),
    ],
)
def test_when_it_stops_and_why(made: dict[str, Any], values: list[Any], wanted: tuple[Any, ...]) -> None:
    assert told(values, **made) == wanted


def test_none_of_them_is_on_unless_it_is_asked_for() -> None:
    made = EarlyStopping()
    assert (made.check_finite, made.stopping_threshold, made.divergence_threshold) == (False, None, None)


# The best


def bests(values: list[Any], **made: Any) -> tuple[Any, ...]:
    """The best, its epoch, ``stopped_epoch``, ``wait``, and the weight that the model ended with: its epoch."""
    stopping, dial = EarlyStopping(**{"patience": 9, "restore_best_weights": True, **made}), Dial()
    play(losses(*values), [stopping], trainable=dial)
    return stopping.best, stopping.best_epoch, stopping.stopped_epoch, stopping.wait, dial.weight


@pytest.mark.parametrize(
    "made, values, wanted",
    [
        ({"stopping_threshold": 1}, [3, 2, 0.5], (0.5, 2, 2, 0, 2)),  # the epoch of the goal is the best
        ({"stopping_threshold": 1, "min_delta": 5}, [3, 2, 0.5], (3, 0, 2, 2, 0)),  # unless it is no improvement
        ({"divergence_threshold": 10}, [3, 2, 12], (2, 1, 2, 0, 1)),
        ({"divergence_threshold": 10}, [12, 3], (None, 0, 0, 0, 0)),  # what diverged is never the best
        ({"check_finite": True}, [3, 2, NAN], (2, 1, 2, 0, 1)),
        ({"check_finite": True}, [3, 2, -INF], (2, 1, 2, 0, 1)),  # nor what is not finite
    ],
)
def test_the_best_of_a_run_that_it_stopped(made: dict[str, Any], values: list[Any], wanted: tuple[Any, ...]) -> None:
    assert bests(values, **made) == wanted


@pytest.mark.parametrize(
    "made, values, said",
    [
        ({"stopping_threshold": 1}, [0.5], "Epoch 1: early stopping\n"),
        ({"divergence_threshold": 10}, [3, 12], "Epoch 2: early stopping\n"),
        ({"check_finite": True}, [3, 2], ""),
    ],
)
def test_verbose_prints_that_it_stopped(
    made: dict[str, Any], values: list[Any], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    told(values, verbose=1, **made)
    assert capsys.readouterr().out == said


# min_epochs, and other stops


@pytest.mark.parametrize(
    "made, values, wanted",
    [
        ({"stopping_threshold": 1}, [0.5, 2, 2, 2, 2], (4, "decision", BETTER)),  # reached is reached
        ({"stopping_threshold": 1}, [0.75, 2, 0.5, 2, 2], (4, "decision", BETTER)),
        ({"divergence_threshold": 10}, [3, 12, 2], (2, "fault", WORSE)),
        ({"check_finite": True}, [NAN, 2], (1, "fault", "val_loss is nan, which is not finite")),
        ({"stopping_threshold": 1, "divergence_threshold": 10}, [0.5, 12, 2], (2, "fault", WORSE)),
    ],
)
def test_before_min_epochs_a_goal_is_held_and_a_fault_is_not(
    made: dict[str, Any], values: list[Any], wanted: tuple[Any, ...]
) -> None:
    assert told(values, min_epochs=4, **made) == wanted


def test_a_goal_that_was_held_to_the_end_is_no_stop(capsys: pytest.CaptureFixture[str]) -> None:
    stopping = EarlyStopping(stopping_threshold=1, verbose=1)
    run = play(losses(3, 0.5, 2), [stopping], min_epochs=9)
    assert (run.outcome, stopping.stopped_epoch, capsys.readouterr().out) == ("completed", 0, "")


def test_a_stop_that_it_took_back_is_not_told_when_another_stops_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    stopping = EarlyStopping(verbose=1)
    run = play(losses(1, 2, 0, -1), [stopping, StopAt("epoch_end", 3)], min_epochs=3)
    assert (run.stop_source, stopping.stopped_epoch, capsys.readouterr().out) == ("StopAt", 0, "")


def test_a_fault_replaces_a_decision_of_the_same_epoch() -> None:
    assert told([3, 12], StopAt("epoch_end", 1, reason="enough"), divergence_threshold=10) == (2, "fault", WORSE)


# State


CHECKS = st.fixed_dictionaries(
    {
        "check_finite": st.booleans(),
        "stopping_threshold": st.sampled_from([None, -3, 0]),
        "divergence_threshold": st.sampled_from([None, 3, 5.5]),
        "patience": st.integers(0, 4),
        "min_delta": st.sampled_from([0, 1]),
    }
)
VALUES = st.lists(
    st.one_of(st.integers(-4, 6).map(float), st.sampled_from([INF, -INF, NAN]), st.none()), min_size=2, max_size=9
)


def outcome(run: LoopRun, stopping: EarlyStopping) -> tuple[Any, ...]:
    counts = stopping.wait, repr(stopping.best), stopping.best_epoch, stopping.stopped_epoch, stopping._asked
    return (*counts, run.stop_kind, run.stop_reason, len(run.history))


@pytest.mark.filterwarnings("ignore:EarlyStopping")
@settings(max_examples=60, deadline=None)
@given(VALUES, CHECKS, st.integers(0, 5))
def test_resuming_after_any_epoch_equals_never_having_stopped(
    values: list[Any], made: dict[str, Any], min_epochs: int
) -> None:
    states: list[dict[str, Any]] = []

    def take(run: Run) -> None:
        states.append(json.loads(json.dumps(run.state_dict())))

    keep = Do("epoch_end", take, nth=None)
    keep.phase = "save"
    whole = EarlyStopping(strict=False, **made)
    wanted = outcome(play(losses(*values), [whole, keep], min_epochs=min_epochs), whole)
    for state in states:
        again = EarlyStopping(strict=False, **made)
        run = play(losses(*values), [again, Do("epoch_end", id)], min_epochs=min_epochs, resume=state)
        assert outcome(run, again) == wanted


def test_the_thresholds_are_settings_that_the_constructor_decides() -> None:
    old = EarlyStopping(check_finite=True, stopping_threshold=np.float32(0.5), divergence_threshold=np.int64(9))
    play(losses(3, 2), [old])
    new = EarlyStopping(divergence_threshold=8)
    with pytest.warns(
        UserWarning,
        match=r"saved with check_finite=True, stopping_threshold=0\.5, divergence_threshold=9\.0; "
        r"the constructor's check_finite=False, stopping_threshold=None, divergence_threshold=8\.0 hold",
    ) as caught:
        new.load_state_dict(json.loads(json.dumps(old.state_dict())))
    assert (len(caught), new.best, new.divergence_threshold) == (1, 2, 8)


# Lightning's rule, written down once more


def lightning(values: list[float], made: dict[str, Any]) -> int | None:
    """After how many epochs Lightning 2's EarlyStopping would stop."""
    best, wait = INF, 0
    for epoch, value in enumerate(values):
        if made["check_finite"] and not math.isfinite(value):
            return epoch + 1
        if made["stopping_threshold"] is not None and value < made["stopping_threshold"]:
            return epoch + 1
        if made["divergence_threshold"] is not None and value > made["divergence_threshold"]:
            return epoch + 1
        if value + made["min_delta"] < best:
            best, wait = value, 0
        else:
            wait += 1
            if wait >= made["patience"]:
                return epoch + 1
    return None


@settings(max_examples=300, deadline=None)
@given(VALUES, CHECKS)
def test_it_stops_where_lightning_does_unless_the_first_value_is_none(values: list[Any], made: dict[str, Any]) -> None:
    numbers = [1.0] + [value for value in values if value is not None]
    assert told(numbers, mode="min", **made)[0] == lightning(numbers, made)


# What has no meaning


@pytest.mark.parametrize(
    "made, message",
    [
        ({"stopping_threshold": NAN}, "EarlyStopping(stopping_threshold=nan): a number, or None"),
        ({"divergence_threshold": True}, "EarlyStopping(divergence_threshold=True): a number, or None"),
        ({"stopping_threshold": "0.1"}, "EarlyStopping(stopping_threshold='0.1'): a number, or None"),
        (
            {"stopping_threshold": 3, "divergence_threshold": 1},
            "EarlyStopping(stopping_threshold=3.0, divergence_threshold=1.0): the second is the worse one, "
            "with mode='min' the greater",
        ),
        (
            {"stopping_threshold": 1, "divergence_threshold": 3, "mode": "max"},
            "EarlyStopping(stopping_threshold=1.0, divergence_threshold=3.0): the second is the worse one, "
            "with mode='max' the smaller",
        ),
    ],
)
def test_thresholds_without_a_meaning_are_refused(made: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        EarlyStopping(**made)
    assert str(caught.value) == message
