"""Where a run is, and which request to stop is in force."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainhooks.progress import Progress, Stop

DECISION, OTHER = Stop("decision", "no gain", "EarlyStopping"), Stop("decision", "enough", "Other")
FAULT, OTHER_FAULT = Stop("fault", "NaN", "TerminateOnNaN"), Stop("fault", "inf", None)
PAUSE, OTHER_PAUSE = Stop("pause", "SIGTERM"), Stop("pause", "time")


@pytest.mark.parametrize(
    "asked, stop, pause",
    [
        ([DECISION], DECISION, None),
        ([DECISION, OTHER], DECISION, None),
        ([DECISION, FAULT], FAULT, None),
        ([FAULT, DECISION], FAULT, None),
        ([FAULT, OTHER_FAULT], FAULT, None),
        ([DECISION, FAULT, OTHER_FAULT, OTHER], FAULT, None),
        ([PAUSE], None, PAUSE),
        ([PAUSE, OTHER_PAUSE], None, PAUSE),
        ([DECISION, PAUSE], DECISION, PAUSE),
        ([PAUSE, FAULT, DECISION], FAULT, PAUSE),
    ],
)
def test_the_first_stands_a_fault_replaces_a_decision_and_a_pause_stands_beside(
    asked: list[Stop], stop: Stop | None, pause: Stop | None
) -> None:
    progress = Progress()
    for one in asked:
        progress.ask_stop(one)
    assert (progress.stop, progress.pause, progress.should_stop) == (stop, pause, True)
    assert (progress.halt, progress.attention) == (True, True)


def test_a_decision_is_held_until_min_epochs_are_finished() -> None:
    progress = Progress(min_epochs=2)
    progress.ask_stop(DECISION)
    progress.ask_stop(OTHER)
    story = []
    for done in (0, 1, 2):
        progress.epochs_done = done
        progress.release_held()
        story.append((progress.stop, progress.should_stop, progress.halt, list(progress.held)))
    held = ["EarlyStopping", "Other"]
    assert story == [(None, False, False, held), (None, False, False, held), (DECISION, True, True, [])]


def test_a_held_decision_that_is_taken_back_is_dropped() -> None:
    progress = Progress(min_epochs=1)
    progress.ask_stop(DECISION)
    progress.ask_stop(OTHER)
    del progress.held["EarlyStopping"]
    progress.epochs_done = 1
    progress.release_held()
    assert progress.stop == OTHER


def test_a_callback_that_asks_again_while_held_keeps_its_first_reason() -> None:
    progress = Progress(min_epochs=1)
    progress.ask_stop(DECISION)
    progress.ask_stop(Stop("decision", "later", DECISION.source))
    assert list(progress.held.values()) == [DECISION]


@pytest.mark.parametrize("asked", [FAULT, PAUSE])
def test_a_fault_and_a_pause_are_not_held(asked: Stop) -> None:
    progress = Progress(min_epochs=5)
    progress.ask_stop(DECISION)
    progress.ask_stop(asked)
    assert (progress.stop or progress.pause, progress.should_stop) == (asked, True)


def test_a_held_decision_does_not_replace_a_fault_when_it_is_released() -> None:
    progress = Progress(min_epochs=1)
    progress.ask_stop(DECISION)
    progress.ask_stop(FAULT)
    progress.epochs_done = 1
    progress.release_held()
    assert progress.stop == FAULT


def test_a_kind_that_does_not_exist_is_refused_with_the_nearest() -> None:
    with pytest.raises(ValueError) as caught:
        Progress().ask_stop(Stop("paused", "why"))  # type: ignore[arg-type]
    assert str(caught.value) == (
        "stop(kind='paused'): a kind is one of 'decision', 'fault', 'pause'. Did you mean 'pause'?"
    )


@pytest.mark.parametrize("value", [-1, 1.0, True, None, "2"])
def test_min_epochs_is_a_whole_number(value: Any) -> None:
    with pytest.raises(ValueError) as caught:
        Progress(min_epochs=value)
    assert str(caught.value) == f"min_epochs={value!r}: a whole number, at least 0"


stops = st.builds(
    Stop, st.sampled_from(["decision", "fault", "pause"]), st.text(max_size=3), st.sampled_from([None, "A", "B"])
)


@settings(max_examples=100, deadline=None)
@given(
    counts=st.lists(st.integers(0, 2**40), min_size=5, max_size=5),
    min_epochs=st.integers(0, 3),
    asked=st.lists(stops, max_size=4),
    told=st.booleans(),
    seen=st.sets(st.sampled_from(["train", "val", "test", "ood"])),
)
def test_the_state_survives_json_and_a_pause_does_not(
    counts: list[int], min_epochs: int, asked: list[Stop], told: bool, seen: set[str]
) -> None:
    names = ("epoch", "batch", "step", "optimizer_step", "epochs_done")
    first, second = Progress(min_epochs), Progress(min_epochs)
    for name, value in zip(names, counts, strict=True):
        setattr(first, name, value)
    for one in asked:
        first.ask_stop(one)
    first.passes_seen |= seen
    first.told = first.stop if told else None

    second.load_state_dict(json.loads(json.dumps(first.state_dict())))

    kept = (*names, "stop", "held", "told", "passes_seen")
    assert {name: getattr(second, name) for name in kept} == {name: getattr(first, name) for name in kept}
    assert (second.pause, second.resumed, first.resumed) == (None, True, False)


def test_a_pause_that_was_told_does_not_keep_a_later_stop_from_being_told() -> None:
    first, second = Progress(), Progress()
    first.ask_stop(PAUSE)
    first.told = PAUSE
    second.load_state_dict(first.state_dict())
    assert (second.should_stop, second.halt, second.told) == (False, False, None)


def test_no_attribute_can_be_added_by_a_misspelling() -> None:
    with pytest.raises(AttributeError):
        Progress().epocs = 3  # type: ignore[attr-defined]
