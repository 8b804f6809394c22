"""LightGBM: metrics, stops and exceptions under ``lightgbm.train`` itself."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

pytest.importorskip("lightgbm", reason="lightgbm is not installed")

import lightgbm
from bench_lightgbm import QUIET, TREES
from trainhooks_adapters.lightgbm import bridge

import trainhooks
from trainhooks import Callback
from trainhooks.callbacks import EarlyStopping, LearningRateScheduler, TerminateOnNaN
from trainhooks.errors import CapabilityError
from trainhooks.testing import Do, RaiseAt, StopAt, Trace

ROWS = np.random.default_rng(0).normal(size=(60, 3))
LABELS = (ROWS[:, 0] + ROWS[:, 1] ** 2 > 0.5).astype(int)
PARAMS: dict[str, Any] = {"objective": "binary", **QUIET, **TREES, "num_leaves": 4, "learning_rate": 0.5}


def sets() -> Any:
    """The training set, and one that is held out: new ones, since LightGBM lets go of the rows of those it trained."""
    data = lightgbm.Dataset(ROWS[:40], LABELS[:40], params=PARAMS)
    return data, data.create_valid(ROWS[40:], LABELS[40:])


def wrapped(*callbacks: Callback, **given: Any) -> Any:
    return trainhooks.wrap(lightgbm.train, callbacks=callbacks, plugins="none", **given)


def train(*callbacks: Callback, rounds: int = 4, params: Any = None, **given: Any) -> tuple[Any, Any]:
    """The booster and the run of a training with ``callbacks``."""
    made = wrapped(*callbacks, **{name: given.pop(name) for name in ("names", "resume") if name in given})
    data, val = sets()
    named = {"valid_sets": [data, val], "valid_names": ["mine", "held_out"], **given}
    booster = made({**PARAMS, **(params or {})}, data, rounds, **named)
    return booster, made.run


# Metrics


def test_the_training_set_is_known_by_itself_and_one_other_set_is_the_validation() -> None:
    found: dict[str, Any] = {}
    record = lightgbm.record_evaluation(found)
    _, run = train(params={"metric": ["binary_logloss", "auc"]}, callbacks=[record])
    names = ["auc", "binary_logloss", "val_auc", "val_binary_logloss"]
    assert [sorted(one.logs) for one in run.history] == [names] * 4
    assert [one.logs["auc"] for one in run.history] == found["mine"]["auc"]
    assert [one.logs["val_auc"] for one in run.history] == found["held_out"]["auc"]


def test_a_training_set_without_a_name_is_known_too() -> None:
    data, val = sets()
    made = wrapped()
    made(PARAMS, data, 2, valid_sets=[data, val])
    assert list(made.run.history[0].logs) == ["binary_logloss", "val_binary_logloss"]


def test_several_other_sets_are_validations_of_their_own_names() -> None:
    data, val = sets()
    made, trace = wrapped(trace := Trace()), trace
    made(PARAMS, data, 1, valid_sets=[val, data.create_valid(ROWS[40:], LABELS[40:])])
    assert list(made.run.history[0].logs) == ["valid_0_binary_logloss", "valid_1_binary_logloss"]
    assert trace.outline() == "setup train[ epoch0[ batch0[] test[ batch0[] ] test[ batch0[] ] ] ] teardown"


def test_names_rename_the_metrics_and_need_their_place() -> None:
    _, run = train(names={"binary_logloss": "loss", "val_binary_logloss": "val_loss"}, rounds=2)
    assert [list(one.logs) for one in run.history] == [["loss", "val_loss"]] * 2
    with pytest.raises(ValueError, match=r"both begin with 'val_'"):
        wrapped(names={"val_binary_logloss": "loss"})


@pytest.mark.parametrize("higher, better", [(True, max), (False, min)])
def test_the_direction_of_each_metric_is_told(higher: bool, better: Any) -> None:
    def gain(predictions: Any, data: Any) -> tuple[str, float, bool]:
        return "gain", float(np.sin(9 * predictions[0])), higher

    stopping = EarlyStopping("val_gain", patience=9)
    _, run = train(stopping, params={"metric": "None"}, feval=gain)
    values = [one.logs["val_gain"] for one in run.history]
    assert stopping.best == better(values) and len(set(values)) > 1


# Stops


@pytest.mark.parametrize("event", ["setup", "train_begin", "epoch_begin", "train_batch_end", "test_end", "epoch_end"])
def test_after_a_stop_no_further_round_is_trained(event: str) -> None:
    booster, run = train(StopAt(event))
    assert (booster.num_trees(), run.epochs_done, run.outcome) == (1, 1, "stopped")


def test_every_other_callback_sees_the_round_that_a_stop_ends() -> None:
    seen: list[int] = []

    def late(env: Any) -> None:
        seen.append(env.iteration)

    late.order = 1000  # type: ignore[attr-defined]
    booster, run = train(StopAt("epoch_end", 1), callbacks=[late])
    assert (seen, booster.num_trees(), run.epochs_done) == ([0, 1], 2, 2)


@pytest.mark.parametrize("order", [-5, 5])
def test_where_its_own_callback_ends_training_every_round_was_told(order: int) -> None:
    def own(env: Any) -> None:
        if env.iteration == 2:
            raise lightgbm.callback.EarlyStopException(0, env.evaluation_result_list)

    own.order = order  # type: ignore[attr-defined]
    trace = Trace()
    booster, run = train(trace, callbacks=[own])
    assert (run.epochs_done, run.outcome, run.stop_source) == (3, "stopped", "lightgbm")
    assert booster.num_trees() == booster.best_iteration == 1  # what it says is the best it keeps alone
    trace.check_grammar()


def test_its_own_early_stopping_stops_the_run() -> None:
    _, run = train(rounds=200, callbacks=[lightgbm.early_stopping(2, verbose=False)])
    assert (run.outcome, run.stop_source) == ("stopped", "lightgbm")


def test_after_early_stopping_the_booster_knows_its_best_round_and_keeps_all() -> None:
    stopping = EarlyStopping("val_binary_logloss", patience=2)
    booster, run = train(stopping, rounds=200)
    assert run.stop_source == "EarlyStopping" and run.epochs_done == stopping.best_epoch + 3
    assert (booster.best_iteration, booster.num_trees()) == (stopping.best_epoch + 1, run.epochs_done)
    best = booster.predict(ROWS, num_iteration=stopping.best_epoch + 1)
    assert np.array_equal(booster.predict(ROWS), best)
    assert not np.array_equal(best, booster.predict(ROWS, num_iteration=run.epochs_done))
    data, val = sets()
    own = lightgbm.early_stopping(2, verbose=False)
    native = lightgbm.train(PARAMS, data, 200, valid_sets=[val], callbacks=[own])
    assert native.best_iteration == booster.best_iteration


def test_without_early_stopping_or_after_a_pause_there_is_no_best_round() -> None:
    assert train()[0].best_iteration == 0
    booster, run = train(EarlyStopping("val_binary_logloss"), StopAt("train_batch_end", 2, kind="pause"))
    assert (booster.num_trees(), booster.best_iteration, run.outcome) == (3, 3, "paused")


# Learning rates


def test_the_learning_rate_that_is_set_trains_the_next_round() -> None:
    told, rates = [0.5, 0.125, 0.25], list[float]()
    read = Do("epoch_end", lambda run: rates.append(run.lr), nth=None)
    booster, _ = train(LearningRateScheduler(lambda epoch, lr: told[epoch]), read, rounds=3)
    data, _ = sets()
    native = lightgbm.train(PARAMS, data, 3, callbacks=[lightgbm.reset_parameter(learning_rate=told)])
    assert rates == told and np.array_equal(booster.predict(ROWS), native.predict(ROWS))


def test_a_learning_rate_that_is_set_before_there_is_a_booster_is_that_of_the_first_round() -> None:
    booster, _ = train(Do("setup", lambda run: setattr(run, "lr", run.lr / 4)), rounds=1)
    expected, _ = train(params={"learning_rate": 0.125}, rounds=1)
    assert np.array_equal(booster.predict(ROWS), expected.predict(ROWS))


def test_the_learning_rate_is_read_by_any_of_its_names() -> None:
    made, rates = wrapped(Do("setup", lambda run: rates.append(run.lr), nth=None)), list[float]()
    others = {name: value for name, value in PARAMS.items() if name != "learning_rate"}
    made({**others, "eta": 0.25}, sets()[0], 1)
    made(others, sets()[0], 1)
    assert rates == [0.25, 0.1]


def test_its_own_schedule_sets_the_rate_before_our_epoch_begins() -> None:
    def own() -> list[Any]:
        return [lightgbm.reset_parameter(learning_rate=lambda round_: 0.5 / (round_ + 1))]

    rates: list[float] = []
    read = Do("train_batch_end", lambda run: rates.append(run.lr), nth=None)
    train(read, Do("epoch_end", lambda run: setattr(run, "lr", 0.125), nth=None), rounds=3, callbacks=own())
    train(read, Do("epoch_begin", lambda run: setattr(run, "lr", 0.125), nth=None), rounds=3, callbacks=own())
    assert rates == [0.5, 0.25, 0.5 / 3, 0.125, 0.125, 0.125]


def test_a_learning_rate_of_zero_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match=r"run\.lr = 0: LightGBM's learning rate is above 0"):
        train(Do("epoch_begin", lambda run: setattr(run, "lr", 0.0)))


# Exceptions


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
def test_what_its_own_code_raises_comes_out_and_ends_the_run(error: BaseException) -> None:
    def objective(predictions: Any, data: Any) -> Any:
        raise error

    trace = Trace()
    with pytest.raises(type(error)) as caught:
        train(trace, params={"objective": objective})
    assert caught.value is error
    assert trace.outline() == f"setup train[ epoch0[ batch0[ exception({type(error).__name__}) teardown"


def test_a_bridge_tells_of_what_our_callbacks_raise() -> None:
    trace, error = Trace(), ValueError("no")
    with pytest.raises(ValueError) as caught:
        lightgbm.train(PARAMS, sets()[0], 2, callbacks=[*bridge([trace, RaiseAt("epoch_end", error=error)])])
    assert caught.value is error and trace.names[-2:] == ["exception", "teardown"]


def test_a_bridge_is_good_for_many_trainings_and_ends_one_that_was_left_when_it_is_used_next() -> None:
    trace = Trace()
    carrying = bridge([trace], plugins="none")
    lightgbm.train(PARAMS, sets()[0], 2, callbacks=[*carrying])
    assert (carrying.run.outcome, trace.names[-1]) == ("completed", "teardown")
    data, val = sets()
    own = lightgbm.early_stopping(2, verbose=False)
    lightgbm.train(PARAMS, data, 200, valid_sets=[val], callbacks=[*carrying, own])
    assert carrying.run.outcome is None and trace.names[-1] == "epoch_end"  # it was told of no end
    left = carrying.run
    lightgbm.train(PARAMS, sets()[0], 9, callbacks=[*bridge([StopAt("epoch_end")], plugins="none"), *carrying])
    assert left.outcome == "failed" and trace.names.count("setup") == 3


def test_a_fault_in_the_metrics_stops() -> None:
    def metric(predictions: Any, data: Any) -> tuple[str, float, bool]:
        return "loss", float("nan"), False

    _, run = train(TerminateOnNaN(), params={"metric": "None"}, feval=metric)
    assert (run.epochs_done, run.stop_kind) == (1, "fault")


# Around it


def test_the_wrapped_function_has_the_signature_of_its_own() -> None:
    made = wrapped()
    assert inspect.signature(made) == inspect.signature(lightgbm.train)
    assert made.__name__ == "train" and made.run is None


def test_a_bridge_that_is_not_spread_is_refused_with_a_hint() -> None:
    with pytest.raises(TypeError, match=r"write callbacks=\[\*bridge\(\.\.\.\)\]"):
        lightgbm.train(PARAMS, sets()[0], 1, callbacks=[bridge([])])


def test_cv_is_refused_in_words() -> None:
    with pytest.raises(TypeError, match=r"several boosters at once"):
        trainhooks.wrap(lightgbm.cv, callbacks=[])
    with pytest.raises(TypeError, match=r"several boosters at once"):
        lightgbm.cv(PARAMS, sets()[0], 1, nfold=2, callbacks=[*bridge([])])


@pytest.mark.parametrize(
    "need, words",
    [("batches", "a boosting round has no batches: use on_epoch_end."), ("snapshot", r"booster.best_iteration is set")],
)
def test_what_is_lacking_is_refused_in_words(need: str, words: str) -> None:
    callback = EarlyStopping(restore_best_weights=True) if need == "snapshot" else Do("setup", id)
    callback.requires = {need}
    with pytest.raises(CapabilityError, match=words):
        wrapped(callback)


def test_a_callback_of_ours_among_its_own_is_refused_with_a_hint() -> None:
    with pytest.raises(TypeError, match=r"give it to wrap\(\.\.\., callbacks=\[\.\.\.\]\)"):
        train(callbacks=[EarlyStopping()])


def test_a_training_inside_a_callback_is_no_part_of_the_run() -> None:
    expected = "setup train[ epoch0[ batch0[] ] epoch1[ batch0[] ] ] teardown"
    trace = Trace()
    made = wrapped(trace, Do("epoch_end", lambda run: made(PARAMS, sets()[0], 3)))
    made(PARAMS, sets()[0], 2)
    assert trace.outline() == expected
    inner = Do("epoch_end", lambda run: lightgbm.train(PARAMS, sets()[0], 3, callbacks=[*carrying]))
    carrying = bridge([trace, inner], plugins="none")
    trace.events.clear()
    lightgbm.train(PARAMS, sets()[0], 2, callbacks=[*carrying])
    assert trace.outline() == expected
