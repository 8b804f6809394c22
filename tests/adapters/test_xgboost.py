"""XGBoost: metrics, stops and exceptions under ``xgboost.train`` itself."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

pytest.importorskip("xgboost", reason="xgboost is not installed")

import xgboost
from trainhooks_adapters.xgboost import bridge
from trainhooks_adapters.xgboost._in_turn import in_turn

import trainhooks
from trainhooks import Callback
from trainhooks.callbacks import EarlyStopping, LearningRateScheduler, TerminateOnNaN
from trainhooks.errors import CapabilityError
from trainhooks.testing import Do, RaiseAt, StopAt, Trace

ROWS = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
LABELS = (ROWS[:, 0] + ROWS[:, 1] ** 2 > 0.5).astype(int)
PARAMS: dict[str, Any] = {"nthread": 1, "max_depth": 2, "objective": "binary:logistic", "eta": 0.5}
TRAIN = xgboost.DMatrix(ROWS[:40], LABELS[:40], nthread=1)
VAL = xgboost.DMatrix(ROWS[40:], LABELS[40:], nthread=1)
BOTH = [(TRAIN, "train"), (VAL, "held_out")]


def wrapped(*callbacks: Callback, **given: Any) -> Any:
    return trainhooks.wrap(xgboost.train, callbacks=callbacks, plugins="none", **given)


def train(*callbacks: Callback, rounds: int = 4, params: Any = None, **given: Any) -> tuple[Any, Any]:
    """The booster and the run of a training with ``callbacks``."""
    made = wrapped(*callbacks, **{name: given.pop(name) for name in ("names", "resume") if name in given})
    given = {"evals": BOTH, "verbose_eval": False, **given}
    booster = made({**PARAMS, **(params or {})}, TRAIN, rounds, **given)
    return booster, made.run


# Metrics


def test_the_training_set_is_known_by_itself_and_one_other_set_is_the_validation() -> None:
    evals = [(VAL, "train"), (TRAIN, "mine")]  # whatever they are called
    found: dict[str, Any] = {}
    _, run = train(evals=evals, params={"eval_metric": ["logloss", "auc"]}, evals_result=found)
    assert [sorted(one.logs) for one in run.history] == [["auc", "logloss", "val_auc", "val_logloss"]] * 4
    assert [one.logs["logloss"] for one in run.history] == found["mine"]["logloss"]
    assert [one.logs["val_auc"] for one in run.history] == found["train"]["auc"]


def test_several_other_sets_are_validations_of_their_own_names() -> None:
    trace = Trace()
    _, run = train(trace, rounds=1, evals=[(VAL, "first"), (VAL, "second")])
    assert list(run.history[0].logs) == ["first_logloss", "second_logloss"]
    assert trace.outline() == "setup train[ epoch0[ batch0[] test[ batch0[] ] test[ batch0[] ] ] ] teardown"


def test_names_rename_the_metrics() -> None:
    names = {"logloss": "loss", "val_logloss": "val_loss"}
    _, run = train(names=names, rounds=2)
    assert [list(one.logs) for one in run.history] == [["loss", "val_loss"]] * 2


def test_a_name_without_its_place_is_refused() -> None:
    with pytest.raises(ValueError, match=r"names=\{'val_logloss': 'loss'\}: .* both begin with 'val_'"):
        wrapped(names={"val_logloss": "loss"})
    with pytest.raises(trainhooks.errors.LoopError, match=r"begins with 'one_', as 'one_loss'"):
        train(names={"one_logloss": "loss"}, evals=[(VAL, "one"), (VAL, "two")])


@pytest.mark.parametrize("metric, better", [("auc", max), ("logloss", min), ("ndcg@2-", max), ("rmse", min)])
def test_the_direction_of_its_own_metrics_is_known(metric: str, better: Any) -> None:
    stopping = EarlyStopping("val_score", patience=9)
    _, run = train(stopping, names={f"val_{metric}": "val_score"}, params={"eval_metric": metric})
    assert stopping.best == better(one.logs["val_score"] for one in run.history)


def test_without_evals_there_are_no_metrics_and_no_validation() -> None:
    trace = Trace()
    _, run = train(trace, rounds=2, evals=())
    assert trace.outline() == "setup train[ epoch0[ batch0[] ] epoch1[ batch0[] ] ] teardown"
    assert [one.logs for one in run.history] == [{}, {}]


# Stops


@pytest.mark.parametrize(
    "event, rounds",
    [("setup", 0), ("train_begin", 0), ("epoch_begin", 1), ("train_batch_end", 1), ("test_end", 1), ("epoch_end", 1)],
)
def test_after_a_stop_no_further_round_is_trained(event: str, rounds: int) -> None:
    booster, run = train(StopAt(event))
    assert (booster.num_boosted_rounds(), run.epochs_done, run.outcome) == (rounds, rounds, "stopped")


class Sees(xgboost.callback.TrainingCallback):
    """A native callback that counts what it is told, and may end training."""

    def __init__(self, last: int = 99, event: str = "after") -> None:
        super().__init__()
        self.begun, self.ended, self.last, self.event = 0, 0, last, event

    def before_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        self.begun += 1
        return self.event == "before" and epoch == self.last

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        self.ended += 1
        return self.event == "after" and epoch == self.last


def test_a_callback_later_in_the_list_misses_no_event_of_a_round() -> None:
    later = Sees()
    xgboost.train(PARAMS, TRAIN, 4, callbacks=[bridge([StopAt("epoch_end", 1)], plugins="none"), later])
    assert later.ended == 2


@pytest.mark.parametrize("event, rounds", [("before", 2), ("after", 3)])
def test_where_its_own_callback_ends_training_every_round_was_told(event: str, rounds: int) -> None:
    trace = Trace()
    booster, run = train(trace, callbacks=[Sees(2, event)])  # the bridge comes after it, and misses that event
    assert (booster.num_boosted_rounds(), run.epochs_done, run.step) == (rounds, rounds, rounds)
    assert (run.outcome, run.stop_source) == ("stopped", "xgboost")
    assert len(run.history[-1].logs) == 2
    trace.check_grammar()


def test_a_bridge_drops_a_round_that_a_later_callback_ends_before_it_is_trained() -> None:
    trace = Trace()
    own, carrying = Sees(1, "before"), bridge([trace], num_boost_round=4, plugins="none")
    booster = xgboost.train(PARAMS, TRAIN, 4, callbacks=[in_turn([carrying, own])])
    assert booster.num_boosted_rounds() == trace.names.count("train_batch_end") == 1
    assert (carrying.run.outcome, carrying.run.stop_source) == ("stopped", "xgboost")
    trace.check_grammar(drops_batches=True)


def test_what_is_no_callback_at_all_is_left_to_xgboost() -> None:
    with pytest.raises(TypeError, match="TrainingCallback"):
        train(callbacks=[print])


def test_its_own_early_stopping_stops_the_run() -> None:
    _, run = train(rounds=200, early_stopping_rounds=2)
    assert (run.outcome, run.stop_source) == ("stopped", "xgboost")


def test_after_early_stopping_the_booster_knows_its_best_round() -> None:
    stopping = EarlyStopping("val_logloss", patience=2)
    booster, run = train(stopping, rounds=200)
    assert run.stop_source == "EarlyStopping" and run.epochs_done == stopping.best_epoch + 3
    assert (booster.best_iteration, booster.best_score) == (stopping.best_epoch, stopping.best)
    assert booster.num_boosted_rounds() == run.epochs_done
    native = xgboost.train(PARAMS, TRAIN, 200, evals=BOTH, verbose_eval=False, early_stopping_rounds=2)
    assert (native.best_iteration, native.num_boosted_rounds()) == (booster.best_iteration, run.epochs_done)


def test_without_early_stopping_there_is_no_best_round() -> None:
    booster, _ = train()
    with pytest.raises(AttributeError):
        _ = booster.best_iteration


# Learning rates


def test_a_round_with_learning_rate_zero_changes_no_prediction() -> None:
    seen: list[Any] = []
    look = Do("epoch_end", lambda run: seen.append(run.model.predict(VAL)), nth=None)
    train(LearningRateScheduler(lambda epoch, lr: 0.0 if epoch == 1 else 0.25), look)
    assert np.array_equal(seen[0], seen[1]) and not np.array_equal(seen[1], seen[2])


def test_the_learning_rate_is_that_of_the_params_until_it_is_set() -> None:
    rates: list[float] = []
    train(Do("train_begin", lambda run: rates.append(run.lr)), params={"eta": 0.3})
    train(Do("train_begin", lambda run: rates.append(run.lr)), params={"booster": "dart", "eta": 0.7})
    assert rates == [0.3, 0.7]


def test_the_last_to_set_the_learning_rate_wins() -> None:
    rates: list[float] = []
    native = xgboost.callback.LearningRateScheduler(lambda epoch: 0.1 * (epoch + 2))  # after each round
    train(Do("epoch_begin", lambda run: rates.append(run.lr), nth=None), rounds=3, callbacks=[native])
    assert rates == [0.5, 0.2, 0.3]
    ours = Do("epoch_end", lambda run: setattr(run, "lr", 0.25), nth=None)
    rates.clear()
    train(ours, Do("epoch_begin", lambda run: rates.append(run.lr), nth=None), rounds=3, callbacks=[native])
    assert rates == [0.5, 0.25, 0.25]


# Exceptions


def test_what_its_own_code_raises_comes_out_and_ends_the_run() -> None:
    for error in (ValueError("no"), KeyboardInterrupt()):

        def objective(predictions: Any, data: Any, error: BaseException = error) -> Any:
            raise error

        trace = Trace()
        with pytest.raises(type(error)) as caught:
            train(trace, obj=objective)
        assert caught.value is error
        assert trace.outline() == f"setup train[ epoch0[ batch0[ exception({type(error).__name__}) teardown"


def test_a_bridge_ends_a_run_that_was_left_when_it_is_used_next() -> None:
    trace = Trace()
    carrying = bridge([trace], plugins="none")

    def objective(predictions: Any, data: Any) -> Any:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        xgboost.train(PARAMS, TRAIN, 1, obj=objective, callbacks=[carrying])
    assert trace.names[-1] == "train_batch_begin"
    xgboost.train(PARAMS, TRAIN, 1, callbacks=[carrying])
    assert trace.names.count("setup") == trace.names.count("teardown") == 2
    assert carrying.run.outcome == "completed"


def test_a_bridge_tells_of_what_our_callbacks_raise() -> None:
    trace, error = Trace(), ValueError("no")
    with pytest.raises(ValueError) as caught:
        xgboost.train(PARAMS, TRAIN, 2, callbacks=[bridge([trace, RaiseAt("epoch_end", error=error)], plugins="none")])
    assert caught.value is error and trace.names[-2:] == ["exception", "teardown"]


def test_a_fault_in_the_metrics_stops() -> None:
    def metric(predictions: Any, data: Any) -> list[tuple[str, float]]:
        return [("loss", float("nan"))]

    _, run = train(TerminateOnNaN(), custom_metric=metric, params={"disable_default_eval_metric": 1})
    assert (run.epochs_done, run.stop_kind) == (1, "fault")


# Around it


def test_the_wrapped_function_has_the_signature_of_its_own() -> None:
    made = wrapped()
    assert inspect.signature(made) == inspect.signature(xgboost.train)
    assert made.__name__ == "train" and made.run is None


def test_cv_is_refused_in_words() -> None:
    with pytest.raises(TypeError, match=r"several boosters at once"):
        trainhooks.wrap(xgboost.cv, callbacks=[])
    with pytest.raises(TypeError, match=r"several boosters at once"):
        xgboost.cv(PARAMS, TRAIN, 1, nfold=2, callbacks=[bridge([])])


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
    trace = Trace()
    made = wrapped(trace, Do("epoch_end", lambda run: made(PARAMS, TRAIN, 3)))
    made(PARAMS, TRAIN, 2)
    assert trace.outline() == "setup train[ epoch0[ batch0[] ] epoch1[ batch0[] ] ] teardown"
    carrying = bridge([trace, Do("epoch_end", lambda run: xgboost.train(PARAMS, TRAIN, 3, callbacks=[carrying]))])
    trace.events.clear()
    xgboost.train(PARAMS, TRAIN, 2, callbacks=[carrying])
    assert trace.outline() == "setup train[ epoch0[ batch0[] ] epoch1[ batch0[] ] ] teardown"
