"""History: the metrics of each epoch, as lists, live."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainhooks import Callback, Run, evaluate, fit
from trainhooks.callbacks.history import History
from trainhooks.events import EVENTS
from trainhooks.testing import Constant, Do, RaiseAt, StopAt, batches, play


def shown(history: History) -> tuple[list[int], dict[str, list[Any]]]:
    return history.epoch, history.history


def test_each_metric_is_a_list_over_the_epochs() -> None:
    history = History()
    fit(Constant(0.5, accuracy=1.0), batches(2), batches(1), epochs=2, callbacks=[history])
    assert shown(history) == (
        [0, 1],
        {"loss": [0.5, 0.5], "accuracy": [1.0, 1.0], "val_loss": [0.5, 0.5], "val_accuracy": [1.0, 1.0]},
    )


def test_where_an_epoch_lacks_a_metric_its_list_is_shorter() -> None:
    history = History()
    play([{"loss": 1.0}, {"loss": 2.0, "val_loss": 3.0}], [history])
    assert shown(history) == ([0, 1], {"loss": [1.0, 2.0], "val_loss": [3.0]})


def test_it_is_empty_before_any_run() -> None:
    assert shown(History()) == ([], {})


def test_it_is_live_and_has_the_epoch_that_ends() -> None:
    history, seen = History(), []

    class Look(Callback):
        phase = "save"  # after History; a metric that is written in between is seen too

        def on_epoch_begin(self) -> None:
            seen.append(shown(history))

        def on_epoch_end(self, logs: dict[str, float]) -> None:
            logs["lr"] = 0.1
            seen.append(shown(history))

    play([{"loss": 1.0}, {"loss": 2.0}], [Look(), history])
    assert seen == [
        ([], {}),
        ([0], {"loss": [1.0], "lr": [0.1]}),
        ([0], {"loss": [1.0], "lr": [0.1]}),
        ([0, 1], {"loss": [1.0, 2.0], "lr": [0.1, 0.1]}),
    ]


def test_a_new_run_starts_anew_and_an_evaluation_changes_nothing() -> None:
    history = History()
    play([{"loss": 1.0}, {"loss": 2.0}], [history])
    evaluate(Constant(9.0), batches(1), callbacks=[history])
    before = shown(history)
    play([{"other": 3.0}], [history])
    assert (before, shown(history)) == (([0, 1], {"loss": [1.0, 2.0]}), ([0], {"other": [3.0]}))


def test_a_new_run_that_ends_no_epoch_has_none() -> None:
    history = History()
    play([{"loss": 1.0}], [history])
    with pytest.raises(RuntimeError, match="asked for"):
        play([{"loss": 2.0}], [history, RaiseAt("epoch_begin")])
    assert shown(history) == ([], {})


def test_a_resumed_run_goes_on_from_the_epochs_of_its_state() -> None:
    states: list[dict[str, Any]] = []
    play([{"loss": 1.0}, {"loss": 2.0}], [Do("epoch_end", lambda run: states.append(run.state_dict())), History()])
    history = History()
    play([{}, {"loss": 5.0}], [Do("setup", id), history], resume=states[0])
    assert shown(history) == ([0, 1], {"loss": [1.0, 5.0]})


def test_one_that_joins_late_shows_the_whole_run() -> None:
    history = History()

    def join(run: Run) -> None:
        run.add(history)

    play([{"loss": 1.0}, {"loss": 2.0}], [Do("epoch_begin", join, nth=1)])
    assert shown(history) == ([0, 1], {"loss": [1.0, 2.0]})


def test_two_runs_at_once_keep_to_their_own() -> None:
    outer, inner = History(), History()
    within = Do("epoch_end", lambda run: play([{"in": 1.0}], [inner]))
    play([{"out": 2.0}, {"out": 3.0}], [within, outer])
    assert (shown(outer), shown(inner)) == (([0, 1], {"out": [2.0, 3.0]}), ([0], {"in": [1.0]}))


def test_changing_what_it_shows_changes_nothing() -> None:
    history = History()
    play([{"loss": 1.0}], [history])
    history.history["loss"].append(2.0)
    history.epoch.clear()
    assert shown(history) == ([0], {"loss": [1.0]})


@pytest.mark.parametrize("event", [name for name in EVENTS if "optimizer" not in name and "predict" not in name])
def test_after_an_exception_at_any_event_it_holds_the_epochs_that_ended(event: str) -> None:
    history, ended = History(), Do("epoch_end", lambda run: None, nth=None)
    checkpoint = Do("epoch_end", lambda run: run.emit("checkpoint", path="x", logs={}), nth=None)
    cause = [Do("train_begin", lambda run: 1 // 0)] if event == "exception" else []
    script = [{"loss": 1.0, "val_loss": 2.0}] * 3
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a second exception is told beside the first
        with pytest.raises((RuntimeError, ZeroDivisionError)):
            play(script, [ended, history, checkpoint, StopAt("epoch_end", 1), *cause, RaiseAt(event)])
    assert history.epoch == list(range(ended.fired))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.floats(allow_nan=False), min_size=1), max_size=4))
def test_it_shows_what_the_run_recorded(script: list[dict[str, float]]) -> None:
    history = History()
    run = play(script, [history])
    columns = {name: [logs[name] for logs in script if name in logs] for logs in script for name in logs}
    assert shown(history) == (list(range(len(script))), columns)
    assert run.history == [(epoch, logs) for epoch, logs in enumerate(script)]


def test_a_pause_leaves_nothing_in_the_state_and_a_decision_says_in_which_epoch() -> None:
    kept = []
    for kind in ("pause", "decision"):
        history = History()
        play([{"loss": 1.0}] * 3, [history, StopAt("epoch_begin", 1, kind=kind)])  # type: ignore[arg-type]
        kept.append((history.state_dict(), history._ending.epoch))
    assert kept == [({"stopped_in": None}, 1), ({"stopped_in": 1}, 1)]
