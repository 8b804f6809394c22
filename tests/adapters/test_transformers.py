"""The adapter of Hugging Face's Trainer: what callbacks decide, and what the Trainer does otherwise than others."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers", reason="transformers is not installed")

import torch
import transformers
from bench_transformers import DATA, TransformersBench
from trainhooks_adapters.transformers import bridge

import trainhooks
from trainhooks import Callback, errors
from trainhooks.callbacks import EarlyStopping, ReduceLROnPlateau, TerminateOnNaN
from trainhooks.testing import Do, StopAt, Trace

HISTORY = [{"loss": 1.0, "val_loss": 0.5}, {"loss": 2.0, "val_loss": 0.25}]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def outline(trainer: Any, *callbacks: Callback, **options: Any) -> str:
    trace = Trace(optimizer_steps=True)
    trainhooks.wrap(trainer, callbacks=[*callbacks, trace], plugins="none", **options).train()
    return trace.outline()


def scripted(history: Sequence[Any], *callbacks: Any, **changed: Any) -> Any:
    """A Trainer of so many epochs whose model reports what ``history`` says."""
    bench = TransformersBench()
    bench.model.script.history = history
    return bench.make(callbacks, **({"num_train_epochs": len(history), "logging_steps": 1} | changed))


def test_by_steps_a_validation_stands_between_two_batches() -> None:
    seen: list[Any] = []
    note = Do("test_end", lambda run: seen.append((run.epoch, run.batch, run.logs["loss"])), nth=None)
    trainer = scripted(HISTORY[:1], eval_strategy="steps", eval_steps=1)
    wrapped = trainhooks.wrap(trainer, callbacks=[note, trace := Trace(batches=False)], plugins="none")
    wrapped.train()
    assert [name for name in trace.names if "test" in name or "epoch" in name] == [
        *("epoch_begin", "test_begin", "test_end", "test_begin", "test_end", "epoch_end"),
    ]
    assert [loss for _, _, loss in seen] == [0.5, 0.5]
    assert wrapped.run.history[0].logs["val_loss"] == 0.5


def test_a_batch_is_a_global_step_and_its_loss_that_of_its_micro_batches() -> None:
    history = [{"loss": 1.0, "val_loss": 0.5}]
    seen: list[Any] = []
    note = Do("train_batch_end", lambda run: seen.append((run.batch, run.optimizer_step, run.batch_logs["loss"])), None)
    trainer = scripted(history, gradient_accumulation_steps=2, per_device_train_batch_size=1)
    wrapped = trainhooks.wrap(trainer, callbacks=[note], plugins="none")
    wrapped.train()
    assert [(batch, step, float(loss)) for batch, step, loss in seen] == [(0, 1, 1.0), (1, 2, 1.0), (2, 3, 1.0)]
    assert (wrapped.run.steps_per_epoch, wrapped.run.step, trainer.state.global_step) == (3, 3, 3)


class Stream(torch.utils.data.IterableDataset):  # type: ignore[type-arg]
    def __iter__(self) -> Iterator[Any]:
        yield from DATA


def test_of_data_without_a_length_whole_epochs_are_counted() -> None:
    history = [{"loss": float(epoch), "val_loss": 1.0} for epoch in range(3)]
    trainer = scripted(history, data=Stream(), max_steps=5)
    totals: list[Any] = []
    note = Do("epoch_begin", lambda run: totals.append((run.epoch, run.max_epochs, run.steps_per_epoch)), None)
    wrapped = trainhooks.wrap(trainer, callbacks=[note], plugins="none")
    wrapped.train()
    assert totals == [(0, None, None), (1, None, None), (2, None, None)]
    assert [record.logs["loss"] for record in wrapped.run.history] == [0.0, 1.0, 2.0]
    assert (wrapped.run.outcome, wrapped.run.step, wrapped.run.epochs_done) == ("completed", 5, 3)


def test_a_stop_by_a_callback_of_the_trainers_own_is_told() -> None:
    worse = [{"loss": 1.0, "val_loss": float(epoch)} for epoch in range(5)]
    native = transformers.EarlyStoppingCallback(early_stopping_patience=2)
    trainer = scripted(worse, native, save_strategy="epoch", load_best_model_at_end=True, metric_for_best_model="loss")
    wrapped = trainhooks.wrap(trainer, callbacks=[], plugins="none")
    wrapped.train()
    assert (wrapped.run.outcome, wrapped.run.epochs_done, wrapped.run.stop_source) == ("stopped", 3, "transformers")


def test_wrap_sees_a_nan_that_the_trainer_hides() -> None:
    history = [{"loss": 1.0}, {"loss": float("nan")}, {"loss": 1.0}]
    trainer = scripted(history, logging_strategy="epoch", eval_strategy="no")
    wrapped = trainhooks.wrap(trainer, callbacks=[TerminateOnNaN()], plugins="none")
    wrapped.train()
    assert trainer.state.log_history[1]["loss"] == 0.0
    assert math.isnan(wrapped.run.history[1].logs["loss"])
    assert (wrapped.run.stop_kind, wrapped.run.step) == ("fault", 3)


def test_what_callbacks_set_outlasts_the_schedule_and_a_warning_says_so_once() -> None:
    lrs: list[float] = []
    put = Do("train_batch_end", lambda run: setattr(run, "lr", 0.5), nth=0)
    again = Do("epoch_end", lambda run: setattr(run, "lr", run.lr / 2), nth=None)
    trainer = scripted(HISTORY, lr_scheduler_type="linear", eval_strategy="no", logging_strategy="steps")
    note = Do("train_batch_begin", lambda run: lrs.append(run.lr), nth=None)
    with pytest.warns(UserWarning, match="own schedule \\('linear'\\) sets nothing more") as caught:
        trainhooks.wrap(trainer, callbacks=[put, again, note], plugins="none").train()
    assert len(caught) == 1 and caught[0].filename == __file__
    assert lrs == [0.125, 0.5, 0.25, 0.25]
    assert [row["learning_rate"] for row in trainer.state.log_history if "loss" in row] == lrs


def test_a_constant_schedule_is_no_owner_of_the_learning_rate() -> None:
    lrs: list[float] = []
    put = Do("train_batch_end", lambda run: setattr(run, "lr", 0.5), nth=0)
    note = Do("train_batch_begin", lambda run: lrs.append(run.lr), nth=None)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        outline(scripted(HISTORY, lr_scheduler_type="constant", eval_strategy="no"), put, note)
    assert lrs == [0.125, 0.5, 0.5, 0.5]


def test_until_a_callback_sets_it_the_schedule_does() -> None:
    lrs: list[float] = []
    note = Do("train_batch_begin", lambda run: lrs.append(run.lr), nth=None)
    outline(scripted(HISTORY, eval_strategy="no"), note)
    assert lrs == [0.125, 0.09375, 0.0625, 0.03125]


def test_of_several_data_sets_each_has_a_validation_and_the_epoch_ends_after_the_last() -> None:
    trainer = scripted(HISTORY[:1], eval_data={"a": DATA, "b": DATA[:3]})
    names: list[Any] = []
    note = Do("test_begin", lambda run: names.append(run.validation), nth=None)
    wrapped = trainhooks.wrap(trainer, callbacks=[note], plugins="none")
    wrapped.train()
    assert names == ["val_a", "val_b"]
    assert wrapped.run.history[0].logs == {"loss": 1.0, "val_a_loss": 0.5, "val_b_loss": 0.5}


class Chatty(transformers.TrainerCallback):
    """Logs as a Trainer that has metrics of its own does."""

    trainer: Any = None

    def on_step_end(self, args: Any, state: Any, control: Any, **native: Any) -> None:
        self.trainer.log({"reward": float(state.global_step), "grad_norm": 9.0})


def test_what_a_trainer_logs_of_its_own_is_a_metric() -> None:
    chatty = Chatty()
    chatty.trainer = scripted(HISTORY, chatty)
    wrapped = trainhooks.wrap(chatty.trainer, callbacks=[], plugins="none")
    wrapped.train()
    assert [record.logs["reward"] for record in wrapped.run.history] == [1.5, 3.5]
    assert list(wrapped.run.history[0].logs) == ["reward", "loss", "val_loss"]


def test_an_evaluation_before_the_first_epoch_is_not_told() -> None:
    trainer = scripted(HISTORY, eval_on_start=True)
    assert outline(trainer) == outline(scripted(HISTORY))


def test_a_stop_that_is_asked_for_in_an_early_validation_ends_the_epoch() -> None:
    trainer = scripted(HISTORY, eval_strategy="steps", eval_steps=1)
    wrapped = trainhooks.wrap(trainer, callbacks=[StopAt("test_end")], plugins="none")
    wrapped.train()
    assert (wrapped.run.outcome, wrapped.run.epochs_done, wrapped.run.step) == ("stopped", 1, 1)
    wrapped.train()
    assert (wrapped.run.outcome, wrapped.run.epochs_done, wrapped.run.step) == ("completed", 2, 4)


def test_an_evaluation_alone_needs_no_optimizer_and_leaves_none() -> None:
    trainer = scripted(HISTORY)
    wrapped = trainhooks.wrap(trainer, callbacks=[ReduceLROnPlateau()], plugins="none")
    metrics = wrapped.evaluate()
    assert (wrapped.run.logs["loss"], metrics["eval_loss"], trainer.optimizer) == (0.25, 0.25, None)


def test_a_callback_of_ours_is_no_callback_of_the_trainers() -> None:
    wrapped = trainhooks.wrap(scripted(HISTORY), callbacks=[], plugins="none")
    with pytest.raises(TypeError, match="it is no TrainerCallback; give it to wrap"):
        wrapped.add_callback(EarlyStopping())
    with pytest.raises(TypeError, match="optimizers="):
        trainhooks.wrap(scripted(HISTORY), callbacks=[], optimizer=object())
    with pytest.raises(TypeError, match="there is no argument 'calbacks'"):
        trainhooks.wrap(scripted(HISTORY), calbacks=[])


def test_all_else_is_the_trainers_own() -> None:
    trainer = scripted(HISTORY)
    wrapped = trainhooks.wrap(trainer, callbacks=[], plugins="none")
    wrapped.label = 1
    assert (trainer.label, wrapped.args, wrapped.model) == (1, trainer.args, trainer.model)
    assert wrapped.run is None


# A bridge alone


@pytest.mark.filterwarnings("ignore:bridge")
def test_a_bridge_alone_has_the_losses_that_are_logged() -> None:
    trace = Trace(batches=False)
    made = bridge([trace], plugins="none")
    scripted(HISTORY, made, logging_strategy="epoch").train()
    assert [record.logs for record in made.run.history] == HISTORY
    assert (made.run.outcome, made.driver) == ("completed", None)
    wrapped = Trace(batches=False)
    trainhooks.wrap(scripted(HISTORY), callbacks=[wrapped], plugins="none").train()
    assert trace.outline() == wrapped.outline()


@pytest.mark.filterwarnings("ignore:bridge")
def test_a_bridge_weights_what_is_logged_by_its_steps() -> None:
    made = bridge([], plugins="none")
    history = [{"loss": 1.0}, {"loss": 2.0}]
    scripted(history, made, logging_steps=1, logging_strategy="steps", eval_strategy="no").train()
    assert [record.logs["loss"] for record in made.run.history] == [1.0, 2.0]


def test_a_bridge_says_once_that_nan_is_hidden_from_it() -> None:
    made = bridge([TerminateOnNaN()], plugins="none")
    trainer = scripted([{"loss": float("nan")}] * 2, made, logging_strategy="epoch", eval_strategy="no")
    with pytest.warns(UserWarning, match="a NaN is hidden. Give it logging_nan_inf_filter=False"):
        trainer.train()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        trainer.train()
    assert [record.logs["loss"] for record in made.run.history] == [0.0, 0.0]
    trainer.args.logging_nan_inf_filter = False
    trainer.train()
    assert math.isnan(made.run.history[1].logs["loss"])


@pytest.mark.filterwarnings("ignore:bridge")
def test_a_bridge_ends_a_run_that_raised_when_it_is_used_next() -> None:
    told: list[Any] = []
    note = Do("teardown", lambda run: told.append(run.outcome), nth=None)
    made = bridge([note], plugins="none")
    trainer = scripted([{"loss": 1.0}, ValueError("asked for")], made, eval_strategy="no")
    with pytest.raises(ValueError, match="asked for"):
        trainer.train()
    trainer.model.script.history = [{"loss": 1.0}, {"loss": 1.0}]
    trainer.train()
    assert told == ["failed", "completed"]


@pytest.mark.filterwarnings("ignore:bridge")
def test_what_a_callback_raises_under_a_bridge_is_told_at_once() -> None:
    told: list[Any] = []
    error = ValueError("asked for")

    def fail(run: Any) -> None:
        raise error

    made = bridge([Do("epoch_end", fail), Do("teardown", lambda run: told.append(run.outcome))], plugins="none")
    with pytest.raises(ValueError, match="asked for") as caught:
        scripted(HISTORY, made).train()
    assert caught.value is error and told == ["failed"] and made.driver is None


def test_what_a_bridge_lacks_is_refused_with_what_to_do() -> None:
    asks = Do("setup", id)
    asks.requires = {"batch_logs"}
    with pytest.raises(errors.CapabilityError, match=r"use wrap\(trainer, callbacks=\[...\]\)"):
        scripted(HISTORY, bridge([asks], plugins="none")).train()
