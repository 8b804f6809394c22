"""An Ignite run that goes on: from Ignite's own checkpoints, and from those of a run, after a process has died."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ignite", reason="ignite is not installed")

import torch
from bench_ignite import ROWS, IgniteBench
from ignite.engine import Engine, Events
from ignite.handlers import Checkpoint, DiskSaver
from trainhooks_adapters import ignite

import trainhooks
from trainhooks.callbacks import BackupAndRestore, EarlyStopping, ReduceLROnPlateau
from trainhooks.testing import Do

HISTORY = [{"loss": 1.0, "val_loss": value} for value in (3.0, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0)]
"""Four checks after the best one, of epoch 1, are reached in epoch 5."""


class Script:
    """What a user of Ignite writes: a trainer, an evaluator, and a checkpoint of Ignite's at each validation."""

    def __init__(self, folder: Path, *own: trainhooks.Callback) -> None:
        self.bench, self.folder = IgniteBench(), folder
        self.bench.history = HISTORY
        self.stopping = EarlyStopping("val_loss", patience=4, restore_best_weights=True)
        self.lrs: list[float] = []
        note = Do("epoch_end", lambda run: self.lrs.append(run.lr), nth=None)
        self.kept = ignite.attach(
            self.bench.trainer,
            [self.stopping, ReduceLROnPlateau("val_loss", patience=2, factor=0.5), note, *own],
            model=self.bench.model,
            optimizer=self.bench.optimizer,
            evaluator=self.bench.evaluator,
            plugins="none",
        )
        self.parts = {
            "trainer": self.bench.trainer,
            "model": self.bench.model,
            "optimizer": self.bench.optimizer,
            "callbacks": self.kept,
        }
        trainer = self.bench.trainer
        saver = Checkpoint(
            self.parts, DiskSaver(folder, require_empty=False), global_step_transform=lambda *_: trainer.state.epoch
        )
        self.bench.evaluator.add_event_handler(Events.COMPLETED, saver)

    def load(self) -> None:
        newest = max(self.folder.glob("*.pt"), key=lambda path: int(path.stem.rpartition("_")[2]))
        Checkpoint.load_objects(self.parts, torch.load(newest))  # with weights_only, as PyTorch has it by default

    def train(self) -> dict[str, Any]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.bench.trainer.run(ROWS, max_epochs=len(HISTORY))
        run = self.kept.run
        assert run is not None
        return {
            "epochs": [record.epoch for record in run.history],
            "why": (run.outcome, run.stop_reason),
            "best": (self.stopping.best, self.stopping.best_epoch, self.stopping.wait),
            "weights": [value.tolist() for value in self.bench.model.state_dict().values()],
        }


def die_in_epoch_4() -> None:
    """The end of this process, in the midst of an epoch."""
    Script(Path(sys.argv[1]), Do("train_batch_end", lambda run: os._exit(9), nth=9)).train()


def test_a_killed_run_goes_on_from_ignites_own_checkpoint_as_if_nothing_had_been(tmp_path: Path) -> None:
    whole = Script(tmp_path / "whole")
    expected = whole.train()
    assert expected["why"][0] == "stopped" and expected["epochs"] == list(range(6))
    tests = Path(__file__).parent
    code = f"import sys; sys.path[:0] = [{str(tests)!r}, {str(tests.parent)!r}]\n"
    code += "import test_ignite_checkpoints as script; script.die_in_epoch_4()"
    died = subprocess.run([sys.executable, "-c", code, str(tmp_path / "killed")], capture_output=True, check=False)
    assert died.returncode == 9, died.stderr
    rest = Script(tmp_path / "killed")
    rest.load()
    assert rest.bench.trainer.state.epoch == 4
    assert rest.train() == expected
    assert rest.lrs == whole.lrs[4:]


def test_a_checkpoint_inside_an_epoch_goes_on_where_ignite_does() -> None:
    first, second = (IgniteBench() for _ in range(2))
    states: list[Any] = []
    first.history = second.history = [{"loss": 1.0}] * 3
    kept = ignite.attach(first.trainer, [EarlyStopping("loss", patience=5)], model=first.model, plugins="none")

    @first.trainer.on(Events.ITERATION_COMPLETED(once=3))
    def save() -> None:
        states.extend([kept.state_dict(), first.trainer.state_dict()])
        first.trainer.terminate()

    first.trainer.run(ROWS, max_epochs=3)
    stopping = EarlyStopping("loss", patience=5)
    rest = ignite.attach(second.trainer, [stopping], model=second.model, plugins="none")
    rest.load_state_dict(states[0])
    second.trainer.load_state_dict(states[1])
    second.trainer.run(ROWS, max_epochs=3)
    assert rest.run is not None
    assert (rest.run.epochs_done, rest.run.step, rest.run.outcome, stopping.wait) == (3, 5, "completed", 2)


def test_an_evaluation_after_the_checkpoint_of_its_epoch_is_no_part_of_it(tmp_path: Path) -> None:
    bench = IgniteBench()
    kept = ignite.attach(bench.trainer, [EarlyStopping("loss")], evaluator=bench.evaluator, plugins="none")
    bench.trainer.remove_event_handler(bench.validate, Events.EPOCH_COMPLETED)
    bench.history = HISTORY
    bench.trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: kept.state_dict())
    bench.trainer.add_event_handler(Events.EPOCH_COMPLETED, bench.validate)
    bench.trainer.run(ROWS, max_epochs=2)
    assert kept.run is not None
    assert [record.logs for record in kept.run.history] == [{"loss": 1.0}] * 2


def test_without_a_run_there_is_nothing_to_keep() -> None:
    kept = ignite.bridge([EarlyStopping("loss")], plugins="none").attach(IgniteBench().trainer)
    assert kept.state_dict() == {}
    kept.load_state_dict({})
    assert kept.resume is None


def backed_up(folder: Path, epochs: int) -> tuple[IgniteBench, Any]:
    bench = IgniteBench()
    bench.history = [{"loss": 1.0}] * epochs
    crash = Do("epoch_begin", _crash, nth=2 if epochs == 4 else 99)
    wrapped = bench.wrap([BackupAndRestore(folder), crash])
    return bench, wrapped


def _crash(run: Any) -> None:
    raise RuntimeError("asked for")


def test_a_backup_goes_on_at_its_epoch(tmp_path: Path) -> None:
    _, wrapped = backed_up(tmp_path / "backup", 4)
    with pytest.raises(RuntimeError, match="asked for"):
        wrapped.run(ROWS, max_epochs=4)
    bench, wrapped = backed_up(tmp_path / "backup", 5)
    wrapped.run(ROWS, max_epochs=5)
    assert (wrapped.last_run.epochs_done, wrapped.last_run.step, bench.trainer.state.iteration) == (5, 10, 10)
    assert [record.epoch for record in wrapped.last_run.history] == [0, 1, 2, 3, 4]


def test_with_no_epoch_left_the_warning_says_how_many_are_done() -> None:
    bench = IgniteBench()
    state: list[Any] = []
    bench.train([{"loss": 1.0}] * 2, [Do("epoch_end", lambda run: state.append(run.state_dict()), nth=1)])
    with pytest.warns(UserWarning, match=r"max_epochs=1\): the run that goes on has 2 epochs behind it"):
        IgniteBench().train([{"loss": 1.0}], [], resume=state[0] | {"at": "train"})


def test_data_without_a_length_goes_on_at_its_epoch() -> None:
    def trained(resume: Any, epochs: int) -> Any:
        engine = Engine(lambda engine, batch: 1.0)
        wrapped = trainhooks.wrap(engine, callbacks=[keep], resume=resume, plugins="none")
        engine.add_event_handler(Events.EPOCH_STARTED, lambda: engine.set_data(iter(range(3))))
        wrapped.run(iter(range(3)), max_epochs=epochs)
        return wrapped.last_run

    states: list[Any] = []
    keep = Do("train_end", lambda run: states.append(run.state_dict()), nth=None)
    trained(None, 1)
    run = trained(states[0], 2)
    assert ([record.epoch for record in run.history], run.step, run.outcome) == ([0, 1], 6, "completed")
