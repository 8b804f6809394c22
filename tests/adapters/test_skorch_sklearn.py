"""A bridge inside a net under scikit-learn's clone and GridSearchCV, and runs that go on after a process has died."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("skorch", reason="skorch is not installed")

import torch
from bench_skorch import ROWS, TARGETS, SkorchBench
from decided import decided
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from skorch import NeuralNetRegressor
from trainhooks_adapters import skorch as adapter

import trainhooks
from trainhooks import Callback
from trainhooks.callbacks import BackupAndRestore, CSVLogger, EarlyStopping, ReduceLROnPlateau
from trainhooks.testing import Do


class Counts(Callback):
    """Writes down the fits that it, or a copy of it, was attached to."""

    outcomes: list[tuple[int, Any]]

    def on_teardown(self, run: Any) -> None:
        self.outcomes.append((id(self), run.outcome))


def net_of(*callbacks: Callback, **given: Any) -> NeuralNetRegressor:
    torch.manual_seed(0)
    return NeuralNetRegressor(
        torch.nn.Linear,
        module__in_features=2,
        module__out_features=1,
        callbacks=[("trainhooks", adapter.bridge(callbacks, plugins="none"))],
        train_split=None,
        verbose=0,
        **given,
    )


def carried(net: Any) -> Any:
    return dict(net.callbacks_)["trainhooks"]


def test_a_clone_has_a_bridge_and_callbacks_of_its_own() -> None:
    net = net_of(EarlyStopping("loss", patience=2), max_epochs=2).fit(ROWS, TARGETS)
    copied = clone(net).fit(ROWS, TARGETS)
    ours, theirs = carried(net), carried(copied)
    assert ours is not theirs and ours.callbacks[0] is not theirs.callbacks[0]
    assert theirs.callbacks[0].patience == 2 and theirs.callbacks[0].run is None
    assert ours.run is not theirs.run and theirs.run.outcome == "completed"


def test_the_settings_of_a_bridge_are_parameters_and_its_run_is_none() -> None:
    net = net_of(max_epochs=1).fit(ROWS, TARGETS)
    params = carried(net).get_params()
    assert set(params) == {"callbacks", "min_epochs", "plugins", "resume", "resume_stopped"}
    net.set_params(callbacks__trainhooks__min_epochs=3)
    assert clone(net).initialize() and carried(net).min_epochs == 3


def test_each_fit_of_a_grid_search_is_a_run_of_its_own(tmp_path: Path) -> None:
    Counts.outcomes = []
    logger = CSVLogger(tmp_path / "log.csv")
    grid = {"lr": [0.01, 0.1], "callbacks__trainhooks__min_epochs": [0]}
    net = net_of(Counts(), EarlyStopping("loss", patience=9), logger, max_epochs=2)
    net.initialize()
    search = GridSearchCV(net, grid, cv=2, scoring="r2", error_score="raise")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        search.fit(ROWS, TARGETS)
    assert [outcome for _, outcome in Counts.outcomes] == ["completed"] * 5
    assert carried(search.best_estimator_).run.epochs_done == 2
    assert len((tmp_path / "log.csv").read_text(encoding="utf-8").splitlines()) == 3


def test_a_wrapped_net_is_searched_with_its_callbacks() -> None:
    Counts.outcomes = []
    wrapped = trainhooks.wrap(net_of(max_epochs=2), callbacks=[Counts()], plugins="none")
    search = GridSearchCV(wrapped, {"lr": [0.01, 0.1]}, cv=2, scoring="r2", error_score="raise").fit(ROWS, TARGETS)
    assert [outcome for _, outcome in Counts.outcomes] == ["completed"] * 5
    assert len({number for number, _ in Counts.outcomes}) > 1 and search.best_estimator_.run.epochs_done == 2
    assert wrapped.run is None and wrapped.set_params(lr=0.5).initialize().fit(ROWS, TARGETS).run.outcome == "completed"


def test_a_net_that_goes_to_another_process_takes_its_bridge_along() -> None:
    net = net_of(EarlyStopping("loss", patience=2), max_epochs=2).fit(ROWS, TARGETS)
    there = pickle.loads(pickle.dumps(net))
    assert carried(there).run is None and carried(there).callbacks[0].patience == 2
    assert carried(there.fit(ROWS, TARGETS)).run.outcome == "completed"


# Going on

HISTORY = [{"loss": 1.0, "val_loss": value} for value in (3.0, 1.0, 2.0, 2.0, 0.5, 2.0, 2.0, 2.0, 2.0)]
BATCH_OF_DEATH = 7


def die_in_epoch_3() -> None:
    """The end of this process, in the midst of an epoch."""
    os.chdir(sys.argv[1])
    kept = [EarlyStopping("val_loss", patience=3), ReduceLROnPlateau("val_loss", patience=2), CSVLogger("log.csv")]
    end = Do("train_batch_end", lambda run: os._exit(9), nth=BATCH_OF_DEATH)
    SkorchBench().train(HISTORY, [*kept, BackupAndRestore("backup", delete_checkpoint=False), end])


def test_a_killed_run_goes_on_as_if_nothing_had_been(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def trained(folder: Path) -> dict[str, Any]:
        folder.mkdir(exist_ok=True)
        monkeypatch.chdir(folder)
        bench, lrs = SkorchBench(), list[float]()
        stopping = EarlyStopping("val_loss", patience=3)
        parts = [stopping, ReduceLROnPlateau("val_loss", patience=2), CSVLogger("log.csv")]
        backup = BackupAndRestore("backup", delete_checkpoint=False)
        bench.script.first_ = 3 if (folder / "backup").exists() else 0
        wrapped = bench.wrap([*parts, Do("epoch_end", lambda run: lrs.append(run.lr), nth=None), backup], HISTORY)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wrapped.fit(ROWS, TARGETS)
        run = wrapped.run
        return {
            "epochs": [record.epoch for record in run.history],
            "why": (run.outcome, run.stop_reason, run.step, lrs[-1]),
            "best": (stopping.best, stopping.best_epoch, stopping.wait),
            "log": Path("log.csv").read_text(encoding="utf-8"),
            "weights": [value.tolist() for value in bench.net.module_.state_dict().values()],
        }

    expected = trained(tmp_path / "whole")
    assert expected["why"][0] == "stopped" and expected["epochs"] == list(range(8))
    (tmp_path / "killed").mkdir()
    tests = Path(__file__).parent
    code = f"import sys; sys.path[:0] = [{str(tests)!r}, {str(tests.parent)!r}]\n"
    code += "import test_skorch_sklearn as script; script.die_in_epoch_3()"
    died = subprocess.run([sys.executable, "-c", code, str(tmp_path / "killed")], capture_output=True, check=False)
    assert died.returncode == 9, died.stderr
    assert trained(tmp_path / "killed") == expected


def test_decisions_go_on_from_a_state() -> None:
    states: list[Any] = []
    keep = Do("epoch_end", lambda run: states.append(run.state_dict()), nth=2)
    keep.phase = "save"
    whole = decided(SkorchBench(), HISTORY, [keep])
    rest = decided(SkorchBench(), HISTORY, resume=states[0])
    assert {name: rest[name] for name in ("epochs", "why", "best")} == {
        name: whole[name] for name in ("epochs", "why", "best")
    }
    assert rest["lrs"] == whole["lrs"][3:]


def test_with_no_epoch_left_the_warning_says_how_many_are_done() -> None:
    states: list[Any] = []
    keep = Do("train_end", lambda run: states.append(run.state_dict()))
    SkorchBench().train(HISTORY[:2], [keep])
    with pytest.warns(UserWarning, match=r"max_epochs=1: the run that goes on has 2 epochs behind it"):
        SkorchBench().train(HISTORY[:1], [], resume=states[0])
