"""XGBoost: runs that go on, and estimators."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("xgboost", reason="xgboost is not installed")

import xgboost
from boosting import lived
from trainhooks_adapters.xgboost import bridge, wrap

import trainhooks
from trainhooks import Callback, Run
from trainhooks.callbacks import BackupAndRestore, EarlyStopping, ReduceLROnPlateau
from trainhooks.errors import WeightsError
from trainhooks.testing import Do, StopAt, Trace

ROWS = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
LABELS = (ROWS[:, 0] + ROWS[:, 1] ** 2 > 0.5).astype(int)
PARAMS: dict[str, Any] = {"nthread": 1, "max_depth": 2, "objective": "binary:logistic", "eta": 0.5}
TRAIN = xgboost.DMatrix(ROWS[:40], LABELS[:40], nthread=1)
VAL = xgboost.DMatrix(ROWS[40:], LABELS[40:], nthread=1)


class Keeps(Callback):
    """Keeps the state at the end of each epoch."""

    phase = "save"

    def __init__(self) -> None:
        self.states: list[Any] = []

    def on_epoch_end(self, run: Run) -> None:
        self.states.append(run.state_dict())


def train(*callbacks: Callback, rounds: int = 12, params: Any = None, resume: Any = None, **given: Any) -> Any:
    """The booster and the run of a training with ``callbacks``."""
    made = trainhooks.wrap(xgboost.train, callbacks=callbacks, resume=resume, plugins="none")
    evals = [(given.get("dtrain", TRAIN), "train"), (VAL, "held_out")]
    given = {"dtrain": TRAIN, "evals": evals, "verbose_eval": False, **given}
    return made({**PARAMS, **(params or {})}, num_boost_round=rounds, **given), made.run


def deciding() -> list[Callback]:
    return [EarlyStopping("val_logloss", patience=5), ReduceLROnPlateau("val_logloss", patience=2, factor=0.5)]


def test_to_go_on_after_any_round_is_as_if_there_had_been_no_stop() -> None:
    keeps = Keeps()
    booster, whole = train(*deciding(), keeps, rounds=40)
    assert 8 < whole.epochs_done < 40 and len({one.logs["learning_rate"] for one in whole.history}) > 1
    for state in keeps.states[1::4]:
        other, run = train(*deciding(), Keeps(), rounds=40, resume=state)
        assert (run.epochs_done, run.step, run.stop_reason) == (whole.epochs_done, whole.step, whole.stop_reason)
        assert run.history == whole.history
        assert other.get_dump() == booster.get_dump() and other.best_iteration == booster.best_iteration


def test_the_params_of_the_new_script_hold() -> None:
    keeps = Keeps()
    train(keeps, rounds=2)
    booster, run = train(rounds=3, resume=keeps.states[-1], params={"max_depth": 1})
    leaves = [tree.count("leaf") for tree in booster.get_dump()]
    assert min(leaves[:2]) > 2 and leaves[2:] == [2]
    assert (run.epochs_done, run.max_epochs, run.resumed) == (3, 3, True)


def test_the_rounds_of_xgb_model_are_counted_and_added_to() -> None:
    base, _ = train(rounds=3)
    numbers: list[int] = []
    booster, run = train(Do("epoch_begin", lambda run: numbers.append(run.epoch), nth=None), rounds=2, xgb_model=base)
    assert (numbers, run.max_epochs, run.outcome) == ([3, 4], 5, "completed")
    assert booster.num_boosted_rounds() == 5


def test_a_stopped_run_stays_stopped_and_one_with_no_rounds_left_says_so() -> None:
    keeps = Keeps()
    train(StopAt("train_batch_end", reason="enough"), keeps)
    with pytest.warns(UserWarning, match="stays stopped"):
        booster, run = train(Keeps(), resume=keeps.states[0])
    assert (booster.num_boosted_rounds(), run.outcome, run.stop_reason) == (1, "stopped", "enough")
    train(keeps, rounds=2)
    with pytest.warns(UserWarning, match=r"num_boost_round=2: the run that goes on has 2 rounds behind it"):
        booster, run = train(Keeps(), rounds=2, resume=keeps.states[-1])
    assert (booster.num_boosted_rounds(), run.outcome) == (2, "completed")


def test_the_state_of_another_model_is_refused_and_nothing_is_written() -> None:
    keeps = Keeps()
    train(keeps, rounds=1)
    narrow = xgboost.DMatrix(ROWS[:40, :2], LABELS[:40], nthread=1)
    with pytest.raises(WeightsError, match=r"the booster is of 3 features, .* this training is of 2 features"):
        train(resume=keeps.states[0], dtrain=narrow, evals=())
    classes = {"objective": "multi:softprob", "num_class": 2}
    with pytest.raises(WeightsError, match=r"this training is of 3 features, 2 classes"):
        train(resume=keeps.states[0], params=classes)


def test_a_bridge_goes_on_too_and_counts_up_to_its_total() -> None:
    keeps = Keeps()
    expected, _ = train(keeps, rounds=5)
    for state in keeps.states[:4]:
        carrying = bridge([Keeps()], num_boost_round=5, resume=state, plugins="none")
        booster = xgboost.train(PARAMS, TRAIN, 5, callbacks=[carrying])
        assert booster.get_dump() == expected.get_dump() and carrying.run.outcome == "completed"
    assert xgboost.train(PARAMS, TRAIN, 2, callbacks=[carrying]).num_boosted_rounds() == 2  # the next run is a new one


LIFE = """
import os
import numpy as np, xgboost, trainhooks
from trainhooks.callbacks import *
from trainhooks.testing import Do
rows = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
labels = (rows[:, 0] + rows[:, 1] ** 2 > 0.5).astype(int)
data, val = (xgboost.DMatrix(rows[part], labels[part], nthread=1) for part in (slice(40), slice(40, None)))
callbacks = [EarlyStopping("val_logloss", patience=5), ReduceLROnPlateau("val_logloss", patience=2, factor=0.5),
             CSVLogger("log.csv", append=True), BackupAndRestore("backup")]
dies = Do("train_batch_end", lambda run: run.epoch == kill and os._exit(9), nth=None)
train = trainhooks.wrap(xgboost.train, callbacks=[*callbacks, dies])
params = {"nthread": 1, "max_depth": 2, "objective": "binary:logistic", "eta": 0.5}
train(params, data, 40, evals=[(data, "train"), (val, "val")], verbose_eval=False).save_model("booster.json")
print(train.run.epochs_done, train.run.stop_reason)
"""


def test_a_killed_process_goes_on_where_it_was(tmp_path: Path) -> None:
    lived(LIFE, tmp_path / "killed", kill=7)
    assert lived(LIFE, tmp_path / "killed") == lived(LIFE, tmp_path / "whole") != ""
    for file in ("log.csv", "booster.json"):
        assert (tmp_path / "killed" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()


def test_the_booster_is_saved_in_each_format(tmp_path: Path) -> None:
    for suffix in (".ubj", ".json"):
        path = tmp_path / f"booster{suffix}"
        booster, _ = train(Do("epoch_end", lambda run, path=path: run.trainable.save(path)), rounds=1)
        assert np.array_equal(xgboost.Booster(model_file=path).predict(VAL), booster.predict(VAL))


# Estimators


def fitted(estimator: Any, *callbacks: Callback, **given: Any) -> Any:
    made = wrap(estimator, callbacks=callbacks, plugins="none", **given)
    x, y = ROWS[:40], LABELS[:40]
    assert made.fit(x, y, eval_set=[(x, y), (ROWS[40:], LABELS[40:])], verbose=False) is made
    return made


def classifier(**given: Any) -> Any:
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    return xgboost.XGBClassifier(n_jobs=1, max_depth=2, learning_rate=0.5, **given)


def test_an_estimator_carries_callbacks_and_predicts_with_its_best_rounds() -> None:
    estimator, stopping = classifier(n_estimators=200), EarlyStopping("val_loss", patience=2)
    made = fitted(estimator, stopping, names={"val_logloss": "val_loss"})
    assert [*made.run.history[0].logs] == ["logloss", "val_loss"]  # eval_set[0] is the training set
    assert made.run.max_epochs == 200 and made.run.stop_source == "EarlyStopping"
    assert estimator.best_iteration == stopping.best_epoch
    best = (0, stopping.best_epoch + 1)
    assert np.array_equal(made.predict_proba(ROWS), estimator.predict_proba(ROWS, iteration_range=best))
    every = (0, made.run.epochs_done)
    assert not np.array_equal(made.predict_proba(ROWS), estimator.predict_proba(ROWS, iteration_range=every))


def test_an_estimator_is_as_it_was_afterwards_however_its_fit_ended() -> None:
    native = [xgboost.callback.LearningRateScheduler(lambda epoch: 0.25)]
    estimator = classifier(n_estimators=2, callbacks=native)
    fitted(estimator)
    assert estimator.callbacks is native
    with pytest.raises(KeyboardInterrupt):
        fitted(estimator, Do("epoch_end", lambda run: exec("raise KeyboardInterrupt")))
    assert estimator.callbacks is native


def test_an_estimator_goes_on() -> None:
    keeps = Keeps()
    whole = fitted(classifier(n_estimators=6), keeps)
    rest = fitted(classifier(n_estimators=6), Keeps(), resume=keeps.states[2])
    assert rest.get_booster().get_dump() == whole.get_booster().get_dump()
    assert rest.run.history == whole.run.history


def test_a_bridge_in_an_estimator_takes_its_training_set_by_name() -> None:
    trace = Trace()
    carrying = bridge([trace], training="validation_0", plugins="none")
    x, y = ROWS[:40], LABELS[:40]
    estimator = classifier(n_estimators=2, callbacks=[carrying])
    estimator.fit(x, y, eval_set=[(x, y), (ROWS[40:], LABELS[40:])], verbose=False)
    assert [*carrying.run.history[0].logs] == ["logloss", "val_logloss"]
    assert carrying.run.outcome == "completed"


def test_what_is_no_trainer_is_refused() -> None:
    with pytest.raises(TypeError, match=r"neither xgboost\.train nor an estimator"):
        wrap(TRAIN)
    with pytest.raises(TypeError, match="no optimizer"):
        trainhooks.wrap(xgboost.train, callbacks=[], optimizer="sgd")
    with pytest.raises(TypeError, match=r"no argument 'name'. Did you mean 'names'\?"):
        trainhooks.wrap(xgboost.train, callbacks=[], name={})


def test_backups_are_gone_after_a_run_that_ended_well(tmp_path: Path) -> None:
    train(BackupAndRestore(tmp_path / "backup"), rounds=2)
    assert not list((tmp_path / "backup").glob("*"))


@pytest.mark.parametrize("save_best", [False, True])
def test_where_its_own_early_stopping_ended_training_the_best_is_that_of_it(save_best: bool) -> None:
    def native() -> Any:
        return xgboost.callback.EarlyStopping(rounds=2, metric_name="error", data_name="held_out", save_best=save_best)

    params = {"eval_metric": ["error", "logloss"]}
    alone = {"verbose_eval": False, "evals": [(VAL, "held_out")]}
    wanted = xgboost.train({**PARAMS, **params}, TRAIN, 12, callbacks=[native()], **alone)
    stopping = EarlyStopping("val_logloss", patience=9)
    booster, run = train(stopping, params=params, callbacks=[native()])
    assert run.stop_source == "xgboost" and stopping.best_epoch != wanted.best_iteration
    assert (booster.best_iteration, booster.best_score) == (wanted.best_iteration, wanted.best_score)
    assert booster.predict(VAL, iteration_range=(0, booster.best_iteration + 1)).shape == (20,)


def test_rounds_that_its_own_early_stopping_took_away_are_no_best() -> None:
    native = xgboost.callback.EarlyStopping(rounds=9, metric_name="error", data_name="held_out", save_best=True)
    stopping = EarlyStopping("val_logloss", patience=1)
    booster, run = train(stopping, params={"eval_metric": ["logloss", "error"]}, callbacks=[native])
    assert run.stop_source == "EarlyStopping" and booster.best_iteration < booster.num_boosted_rounds()
    assert stopping.best_epoch >= booster.num_boosted_rounds()


def test_which_way_its_own_metrics_are_better_is_known_before_any_is_told() -> None:
    with (
        pytest.warns(UserWarning, match="no validation has run yet"),
        pytest.raises(trainhooks.errors.MissingMetricError, match="no validation ever ran"),
    ):
        train(EarlyStopping("val_logloss"), evals=[(TRAIN, "train")], rounds=2)


def test_a_clone_carries_callbacks_of_its_own_and_stays_wrapped() -> None:
    sklearn = pytest.importorskip("sklearn.base", reason="scikit-learn is not installed")
    keeps = Keeps()
    made = fitted(classifier(n_estimators=3), keeps)
    for other in (sklearn.clone(made), pickle.loads(pickle.dumps(made))):
        other.set_params(n_estimators=2).fit(ROWS, LABELS)
        assert (other.run.epochs_done, made.run.epochs_done, len(keeps.states)) == (2, 3, 3)
    assert made.n_estimators == 3


def test_an_estimator_with_a_bridge_is_pickled() -> None:
    estimator = classifier(n_estimators=2, callbacks=[bridge([Keeps()], plugins="none")]).fit(ROWS, LABELS)
    other = pickle.loads(pickle.dumps(estimator)).fit(ROWS, LABELS)
    assert other.callbacks[0].run.epochs_done == 2 and other.callbacks[0].run is not estimator.callbacks[0].run
