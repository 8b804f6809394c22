"""Runs under Hugging Face's Trainer that go on: from its checkpoints, and from states of ours."""

from __future__ import annotations

import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers", reason="transformers is not installed")

import torch
import transformers.trainer
import transformers_run
from bench_transformers import DATA, TransformersBench
from trainhooks_adapters.transformers import bridge
from transformers_run import HISTORY, seen, train

import trainhooks
from trainhooks import errors
from trainhooks.callbacks import BackupAndRestore
from trainhooks.testing import Do, StopAt, Trace

needs_native_resume = pytest.mark.skipif(
    not hasattr(transformers.trainer, "safe_globals"),
    reason="transformers 4.45 cannot read its own checkpoints with PyTorch 2.6 and later",
)


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a process left that was killed in the second batch of the fourth epoch."""
    folder = tmp_path_factory.mktemp("killed")
    ended = subprocess.run(
        [sys.executable, transformers_run.__file__], cwd=folder, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 9, ended.stderr[-2_000:]
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What the same run ends with that nobody kills."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("whole"))
        found = seen(train())
    assert found[2] == 6
    return found


def left_by(killed: Path) -> None:
    shutil.copytree(killed, Path(), dirs_exist_ok=True)


@needs_native_resume
@pytest.mark.filterwarnings("ignore:run.lr was set")
def test_after_a_kill_the_trainers_own_checkpoint_takes_the_callbacks_along(killed: Path, whole: Any) -> None:
    left_by(killed)
    assert sorted(path.name for path in Path("native").iterdir()) == ["checkpoint-2", "checkpoint-4", "checkpoint-6"]
    assert seen(train(resume_from_checkpoint=True, save_strategy="epoch")) == whole


@pytest.mark.filterwarnings("ignore:run.lr was set")
def test_after_a_kill_a_backup_of_ours_is_gone_on_from(killed: Path, whole: Any) -> None:
    left_by(killed)
    shutil.rmtree("native")
    assert seen(train(BackupAndRestore("backup"))) == whole


@needs_native_resume
@pytest.mark.filterwarnings("ignore:run.lr was set")
def test_inside_an_epoch_the_batches_and_the_means_go_on(whole: Any) -> None:
    die = Do("train_batch_begin", lambda run: (_ for _ in ()).throw(KeyboardInterrupt), nth=9)
    with pytest.raises(KeyboardInterrupt):
        train(die, save_strategy="steps", save_steps=1)
    assert Path("native/checkpoint-9/trainhooks.pt").is_file()  # the last was in the midst of epoch 4
    begun: list[Any] = []
    note = Do("train_batch_begin", lambda run: begun.append((run.epoch, run.batch, run.step, dict(run.logs))), None)
    trace = Trace(batches=False)
    wrapped = train(note, trace, resume_from_checkpoint="native/checkpoint-9", save_strategy="steps", save_steps=1)
    assert begun[0] == (4, 1, 9, {"loss": 1.0})
    assert trace.names.count("epoch_begin") == 2
    assert seen(wrapped)[:-1] == whole[:-1]  # all but the CSV file, whose callback appends


@needs_native_resume
@pytest.mark.filterwarnings("ignore:run.lr was set")
def test_an_epoch_whose_checkpoint_is_of_its_last_step_ends_before_the_next_one(whole: Any) -> None:
    by_steps = {"eval_strategy": "steps", "eval_steps": 2, "save_strategy": "steps", "save_steps": 2}
    die = Do("train_batch_begin", lambda run: (_ for _ in ()).throw(KeyboardInterrupt), nth=8)
    with pytest.raises(KeyboardInterrupt):
        train(die, **by_steps)
    trace = Trace(batches=False)
    wrapped = train(trace, resume_from_checkpoint="native/checkpoint-8", **by_steps)
    assert trace.names[2:4] == ["epoch_begin", "epoch_end"]
    assert seen(wrapped)[:-1] == whole[:-1]


@needs_native_resume
def test_of_an_epoch_that_a_stop_cut_the_rest_is_one_more() -> None:
    train(StopAt(event="train_batch_end", nth=2), save_strategy="epoch", num_train_epochs=3)
    wrapped = train(resume_from_checkpoint=True, resume_stopped=True, num_train_epochs=3)
    run = wrapped.run
    assert (run.outcome, run.step, run.epochs_done, run.max_epochs) == ("completed", 6, 4, 4)


@needs_native_resume
def test_a_checkpoint_without_our_file_is_told_and_counted_from() -> None:
    train(save_strategy="epoch", num_train_epochs=2)
    Path("native/checkpoint-2/trainhooks.pt").unlink()
    with pytest.warns(UserWarning, match="after 2 steps, and there is no 'trainhooks.pt' in .*: the callbacks begin"):
        wrapped = train(resume_from_checkpoint="native/checkpoint-2", num_train_epochs=2)
    assert [record.epoch for record in wrapped.run.history] == [1]
    assert (wrapped.run.outcome, wrapped.run.step, wrapped.run.epochs_done) == ("completed", 4, 2)


def test_one_goes_on_from_one_place() -> None:
    states: list[Any] = []
    train(Do("epoch_end", lambda run: states.append(run.state_dict())), num_train_epochs=2)
    with pytest.raises(TypeError, match="wrap was given resume"):
        train(resume=states[0], resume_from_checkpoint=True, num_train_epochs=2)


def test_a_state_is_gone_on_from_with_micro_batches_and_the_trainer_saves_on() -> None:
    given = {
        "num_train_epochs": 3,
        "gradient_accumulation_steps": 2,
        "per_device_train_batch_size": 1,
        "save_strategy": "epoch",
    }
    states: list[Any] = []
    keep = Do("epoch_end", lambda run: states.append(run.state_dict()), nth=1)
    keep.phase = "save"
    expected = seen(train(keep, **given))
    wrapped = train(resume=states[0], **given)
    assert seen(wrapped)[:-1] == expected[:-1]
    assert wrapped.state.global_step == 9 and Path("native/checkpoint-9/trainhooks.pt").is_file()


class Stream(torch.utils.data.IterableDataset):  # type: ignore[type-arg]
    def __iter__(self) -> Any:
        yield from DATA


def test_of_data_without_a_length_a_state_has_no_batch_dropped() -> None:
    def run(resume: Any = None, *callbacks: Any) -> Any:
        bench = TransformersBench()
        bench.model.script.history = HISTORY
        trainer = bench.make(data=Stream(), max_steps=6)
        wrapped = trainhooks.wrap(trainer, callbacks=callbacks, resume=resume, plugins="none")
        wrapped.train()
        return wrapped

    states: list[Any] = []
    whole = run(None, Do("epoch_end", lambda run: states.append(run.state_dict()), nth=None))
    rest = run(states[1])
    assert (rest.run.step, rest.run.epochs_done, rest.run.outcome) == (6, 3, "completed")
    assert [record.epoch for record in rest.run.history] == [0, 1, 2]
    assert all(torch.equal(*pair) for pair in zip(whole.model.parameters(), rest.model.parameters(), strict=True))
    assert run(states[2]).run.step == 6  # nothing is left to train
    assert not rest.args.ignore_data_skip


def test_a_stopped_run_trains_nothing_more_unless_it_is_asked_to() -> None:
    states: list[Any] = []
    keep = Do("epoch_end", lambda run: states.append(run.state_dict()))
    keep.phase = "save"
    train(StopAt("epoch_end"), keep)
    with pytest.warns(UserWarning, match="It stays stopped"):
        wrapped = train(resume=states[0])
    assert (wrapped.run.step, wrapped.run.outcome, wrapped.state.global_step) == (2, "stopped", 2)


@needs_native_resume
@pytest.mark.filterwarnings("ignore:bridge")
def test_a_bridge_goes_on_with_the_trainer_and_cannot_tell_it_where_to_begin() -> None:
    def native(made: Any, **given: Any) -> Any:
        bench = TransformersBench()
        bench.model.script.history = HISTORY
        trainer = bench.make([made], num_train_epochs=3, save_strategy="epoch", output_dir="native")
        trainer.train(**given)
        return made.run

    states: list[Any] = []
    first = bridge([Do("epoch_end", lambda run: states.append(run.state_dict()))], plugins="none")
    native(first)
    run = native(bridge([], plugins="none"), resume_from_checkpoint="native/checkpoint-4")
    assert ([record.epoch for record in run.history], run.resumed, run.step) == ([0, 1, 2], True, 6)
    with pytest.raises(errors.LoopError, match=r"1 epochs behind it, and the Trainer begins after 0: .* Use wrap"):
        native(bridge([], resume=states[0], plugins="none"))


def test_a_backup_is_of_no_use_to_an_evaluation() -> None:
    train(BackupAndRestore("backup", delete_checkpoint=False), num_train_epochs=2)
    bench = TransformersBench()
    bench.model.script.history = HISTORY
    before = [value.clone() for value in bench.model.parameters()]
    wrapped = trainhooks.wrap(bench.trainer, callbacks=[BackupAndRestore("backup")], plugins="none")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        wrapped.evaluate()
    assert all(torch.equal(*pair) for pair in zip(before, bench.model.parameters(), strict=True))
    assert not wrapped.run.resumed
