"""LightGBM: runs that go on, and estimators."""

from __future__ import annotations

import inspect
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("lightgbm", reason="lightgbm is not installed")

import lightgbm
from bench_lightgbm import QUIET, TREES
from boosting import lived
from trainhooks_adapters.lightgbm import bridge, wrap

import trainhooks
from trainhooks import Callback, Run
from trainhooks.callbacks import EarlyStopping, ReduceLROnPlateau
from trainhooks.errors import LoopError, WeightsError
from trainhooks.testing import Do, StopAt

ROWS = np.random.default_rng(0).normal(size=(60, 3))
LABELS = (ROWS[:, 0] + ROWS[:, 1] ** 2 > 0.5).astype(int)
PARAMS: dict[str, Any] = {"objective": "binary", **QUIET, **TREES, "num_leaves": 4, "learning_rate": 0.5}


class Keeps(Callback):
    """Keeps the state at the end of each epoch."""

    phase = "save"

    def __init__(self) -> None:
        self.states: list[Any] = []

    def on_epoch_end(self, run: Run) -> None:
        self.states.append(run.state_dict())


def train(*callbacks: Callback, rounds: int = 12, params: Any = None, resume: Any = None, **given: Any) -> Any:
    """The booster and the run of a training with ``callbacks``."""
    made = trainhooks.wrap(lightgbm.train, callbacks=callbacks, resume=resume, plugins="none")
    data = lightgbm.Dataset(ROWS[:40], LABELS[:40], params=PARAMS)
    val = data.create_valid(ROWS[40:], LABELS[40:])
    return made({**PARAMS, **(params or {})}, data, rounds, valid_sets=[data, val], **given), made.run


def trees(booster: Any) -> Any:
    """What it has learned, but for rounding."""
    return booster.predict(ROWS, raw_score=True, num_iteration=booster.num_trees()).round(6).tolist()


def deciding() -> list[Callback]:
    monitor = "val_binary_logloss"
    return [EarlyStopping(monitor, patience=5), ReduceLROnPlateau(monitor, patience=2, factor=0.5)]


def test_to_go_on_after_any_round_is_as_if_there_had_been_no_stop() -> None:
    keeps = Keeps()
    booster, whole = train(*deciding(), keeps, rounds=40)
    assert 6 < whole.epochs_done < 40 and len({one.logs["learning_rate"] for one in whole.history}) > 1
    for state in keeps.states[1::3]:
        other, run = train(*deciding(), Keeps(), rounds=40, resume=state)
        assert (run.epochs_done, run.step, run.max_epochs) == (whole.epochs_done, whole.step, 40)
        assert run.stop_reason == whole.stop_reason
        assert [one.logs for one in run.history] == [pytest.approx(one.logs) for one in whole.history]
        assert trees(other) == trees(booster) and other.best_iteration == booster.best_iteration


def test_the_total_is_that_of_params_where_it_is_there() -> None:
    keeps = Keeps()
    train(keeps, rounds=2)
    booster, run = train(Keeps(), resume=keeps.states[-1], params={"n_iter": 3})
    assert (booster.num_trees(), run.epochs_done, run.max_epochs) == (3, 3, 3)


def test_the_rounds_of_init_model_are_counted_and_added_to(tmp_path: Path) -> None:
    base, _ = train(rounds=3)
    base.save_model(tmp_path / "base.txt")
    for init in (base, tmp_path / "base.txt"):
        numbers, keeps = list[int](), Keeps()
        note = Do("epoch_begin", lambda run, numbers=numbers: numbers.append(run.epoch), nth=None)  # type: ignore[misc]
        booster, run = train(note, keeps, rounds=2, init_model=init)
        assert (numbers, run.max_epochs, run.outcome, booster.num_trees()) == ([3, 4], 5, "completed", 5)
        other, run = train(Keeps(), rounds=2, init_model=init, resume=keeps.states[0])
        assert (run.epochs_done, run.max_epochs, trees(other)) == (5, 5, trees(booster))


def test_a_stopped_run_stays_stopped_and_one_with_no_rounds_left_says_so() -> None:
    keeps = Keeps()
    train(StopAt("train_batch_end", reason="enough"), keeps)
    with pytest.warns(UserWarning, match="stays stopped"):
        booster, run = train(Keeps(), resume=keeps.states[0])
    assert (booster.num_trees(), run.outcome, run.stop_reason) == (1, "stopped", "enough")
    train(keeps, rounds=2)
    with pytest.warns(UserWarning, match=r"num_boost_round=2: the run that goes on has 2 rounds behind it"):
        booster, run = train(Keeps(), rounds=2, resume=keeps.states[-1])
    assert (booster.num_trees(), run.outcome) == (2, "completed")


def test_a_state_that_cannot_be_read_is_refused() -> None:
    keeps = Keeps()
    train(keeps, rounds=1)
    state = keeps.states[0]
    state["trainable"] = {**state["trainable"], "booster": np.zeros(3, np.uint8), "bytes": 3}
    with pytest.raises(WeightsError, match="LightGBM cannot read the booster"):
        train(Keeps(), resume=state)


def test_a_bridge_goes_on_from_the_booster_that_training_is_given() -> None:
    keeps = Keeps()
    expected, _ = train(keeps, rounds=4)
    base = lightgbm.Booster(model_str=keeps.states[1]["trainable"]["booster"].tobytes().decode())
    carrying = bridge([Keeps()], resume=keeps.states[1], plugins="none")
    data = lightgbm.Dataset(ROWS[:40], LABELS[:40], params=PARAMS)
    booster = lightgbm.train(PARAMS, data, 2, init_model=base, callbacks=[*carrying])
    assert (trees(booster), carrying.run.epochs_done) == (trees(expected), 4)
    other = bridge([Keeps()], resume=keeps.states[1], plugins="none")
    with pytest.raises(LoopError, match=r"the state is of 2 rounds, .* has begun with 0"):
        lightgbm.train(PARAMS, lightgbm.Dataset(ROWS, LABELS, params=PARAMS), 2, callbacks=[*other])


LIFE = """
import os
import numpy as np, lightgbm, trainhooks
from trainhooks.callbacks import *
from trainhooks.testing import Do
rows = np.random.default_rng(0).normal(size=(60, 3))
labels = (rows[:, 0] + rows[:, 1] ** 2 > 0.5).astype(int)
params = {"objective": "binary", "num_threads": 1, "verbosity": -1, "min_data_in_leaf": 1, "learning_rate": 0.5}
data = lightgbm.Dataset(rows[:40], labels[:40])
val = data.create_valid(rows[40:], labels[40:])
monitor = "val_binary_logloss"
callbacks = [EarlyStopping(monitor, patience=5), ReduceLROnPlateau(monitor, patience=2, factor=0.5),
             History(), BackupAndRestore("backup")]
dies = Do("train_batch_end", lambda run: run.epoch == kill and os._exit(9), nth=None)
train = trainhooks.wrap(lightgbm.train, callbacks=[*callbacks, dies])
booster = train(params, data, 40, valid_sets=[val])
history = [{name: float(f"{value:.6g}") for name, value in one.logs.items()} for one in train.run.history]
print(train.run.epochs_done, train.run.stop_reason, booster.best_iteration, booster.num_trees(), history)
"""


def test_a_killed_process_goes_on_where_it_was(tmp_path: Path) -> None:
    lived(LIFE, tmp_path / "killed", kill=3)
    rest, whole = (lived(LIFE, tmp_path / folder).splitlines()[-1] for folder in ("killed", "whole"))
    assert rest == whole  # LightGBM prints what it likes before


def test_the_booster_is_saved_in_its_format(tmp_path: Path) -> None:
    booster, _ = train(Do("epoch_end", lambda run: run.trainable.save(tmp_path / "booster.txt")), rounds=1)
    loaded = lightgbm.Booster(model_file=tmp_path / "booster.txt")
    assert np.array_equal(loaded.predict(ROWS), booster.predict(ROWS))


# Estimators


def fitted(estimator: Any, *callbacks: Callback, **given: Any) -> Any:
    made = wrap(estimator, callbacks=callbacks, plugins="none", **given)
    x, y = ROWS[:40], LABELS[:40]
    assert made.fit(x, y, eval_set=[(x, y), (ROWS[40:], LABELS[40:])], eval_names=["mine", "held_out"]) is made
    return made


def classifier(**given: Any) -> Any:
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    return lightgbm.LGBMClassifier(n_jobs=1, verbosity=-1, min_child_samples=1, learning_rate=0.5, **given)


def test_an_estimator_carries_callbacks_and_predicts_with_its_best_rounds() -> None:
    estimator, stopping = classifier(n_estimators=200), EarlyStopping("val_loss", patience=2)
    made = fitted(estimator, stopping, names={"val_binary_logloss": "val_loss"})
    assert [*made.run.history[0].logs] == ["binary_logloss", "val_loss"]
    assert made.run.max_epochs == 200 and made.run.stop_source == "EarlyStopping"
    best = estimator.predict_proba(ROWS, num_iteration=stopping.best_epoch + 1)
    assert np.array_equal(made.predict_proba(ROWS), best)
    assert estimator.booster_.num_trees() == made.run.epochs_done > stopping.best_epoch + 1


def test_an_estimator_goes_on_and_is_as_it_was_afterwards() -> None:
    keeps = Keeps()
    whole = fitted(classifier(n_estimators=6), keeps)
    rest = fitted(classifier(n_estimators=6), Keeps(), resume=keeps.states[2])
    assert trees(rest.booster_) == trees(whole.booster_)
    assert (rest.run.epochs_done, rest.n_estimators) == (6, 6)
    with pytest.raises(KeyboardInterrupt):
        fitted(rest._target, Do("epoch_end", lambda run: exec("raise KeyboardInterrupt")), resume=keeps.states[2])
    assert rest.n_estimators == 6
    with pytest.warns(UserWarning, match="none is left to train"):
        again = fitted(classifier(n_estimators=3), Keeps(), resume=keeps.states[2])
    assert again.run.outcome == "completed" and not hasattr(again, "fitted_")


def test_a_bridge_in_an_estimator_takes_its_training_set_by_name() -> None:
    carrying = bridge([], training="mine", plugins="none")
    x, y = ROWS[:40], LABELS[:40]
    names = ["mine", "held_out"]
    evals = [(x, y), (ROWS[40:], LABELS[40:])]
    classifier(n_estimators=2).fit(x, y, eval_set=evals, eval_names=names, callbacks=[*carrying])
    assert [*carrying.run.history[0].logs] == ["binary_logloss", "val_binary_logloss"]
    assert carrying.run.outcome == "completed"


def test_what_is_no_trainer_is_refused() -> None:
    with pytest.raises(TypeError, match=r"neither lightgbm\.train nor an estimator"):
        wrap(lightgbm.Dataset)
    with pytest.raises(TypeError, match="no optimizer"):
        trainhooks.wrap(lightgbm.train, callbacks=[], optimizer="sgd")
    with pytest.raises(TypeError, match=r"no argument 'name'. Did you mean 'names'\?"):
        trainhooks.wrap(lightgbm.train, callbacks=[], name={})


def test_the_newer_way_to_give_the_evaluated_rows_is_known() -> None:
    estimator = classifier(n_estimators=1)
    if "eval_X" not in inspect.signature(estimator.fit).parameters:
        pytest.skip("eval_X came after LightGBM 4.0: this one has eval_set alone")
    made, x, y = wrap(estimator, plugins="none"), ROWS[:40], LABELS[:40]
    made.fit(x, y, eval_X=(x, ROWS[40:]), eval_y=(y, LABELS[40:]), eval_names=["mine", "held_out"])
    assert [*made.run.history[0].logs] == ["binary_logloss", "val_binary_logloss"]


def test_a_clone_carries_callbacks_of_its_own_and_stays_wrapped() -> None:
    sklearn = pytest.importorskip("sklearn.base", reason="scikit-learn is not installed")
    keeps = Keeps()
    made = fitted(classifier(n_estimators=3), keeps)
    for other in (sklearn.clone(made), pickle.loads(pickle.dumps(made))):
        other.set_params(n_estimators=2).fit(ROWS, LABELS)
        assert (other.run.epochs_done, made.run.epochs_done, len(keeps.states)) == (2, 3, 3)
    assert made.n_estimators == 3


def test_an_estimator_without_validation_is_trained() -> None:
    made = wrap(classifier(n_estimators=2), plugins="none").fit(ROWS, LABELS)
    assert (made.run.epochs_done, made.run.history[0].logs) == (2, {})


def test_an_estimator_tells_of_its_best_rounds_as_after_lightgbms_own_early_stopping() -> None:
    def trained(estimator: Any, **given: Any) -> Any:
        estimator.fit(ROWS[:40], LABELS[:40], eval_set=[(ROWS[40:], LABELS[40:])], **given)
        return estimator.best_iteration_, estimator.best_score_, estimator.predict_proba(ROWS).tolist()

    stopping = EarlyStopping("val_binary_logloss", patience=2)
    ours = trained(wrap(classifier(n_estimators=200), callbacks=[stopping], plugins="none"))
    native = trained(classifier(n_estimators=200), callbacks=[lightgbm.early_stopping(2, verbose=False)])
    assert ours == native and ours[0] == stopping.best_epoch + 1


def test_the_training_set_is_known_where_lightgbm_calls_it_by_its_place() -> None:
    estimator = classifier(n_estimators=1)
    if "eval_X" not in inspect.signature(estimator.fit).parameters:
        pytest.skip("eval_X came after LightGBM 4.0: this one has eval_set alone")
    made, x, y = wrap(estimator, plugins="none"), ROWS[:40], LABELS[:40]
    made.fit(x, y, eval_X=(x, ROWS[40:]), eval_y=(y, LABELS[40:]))
    assert [*made.run.history[0].logs] == ["binary_logloss", "val_binary_logloss"]
