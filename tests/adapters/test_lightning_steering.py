"""Stops from either side under Lightning, its limits, its ways of validating, and the learning rate."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

pytest.importorskip("lightning", reason="lightning is not installed")

import lightning.pytorch as pl
import torch
from bench_lightning import ROWS, Line, rows, wrapped
from lightning.pytorch.callbacks import EarlyStopping as NativeEarlyStopping
from torch.utils.data import DataLoader, IterableDataset

from trainhooks import Run
from trainhooks.testing import Do, StopAt, Trace

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")

EPOCH = "batch0[] batch1[] batch2[]"
VALIDATION = "test[ batch0[] batch1[] batch2[] ]"


class Endless(IterableDataset[Any]):
    """Its length is not known."""

    def __iter__(self) -> Any:
        return iter(ROWS.reshape(3, 2, 2))


def train(*callbacks: Any, module: Any = None, loader: Any = None, validates: bool = False, **trainer: Any) -> Any:
    """A fit of three batches an epoch: the outline of its events, its run, and the Trainer."""
    trace = Trace()
    it = wrapped(*callbacks, trace, **{"max_epochs": 2, **trainer})
    it.fit(module or Line(), rows() if loader is None else loader, rows() if validates else None)
    return trace.outline(), it.run, it


def test_validations_between_batches_are_inside_the_epoch() -> None:
    outline, run, _ = train(validates=True, max_epochs=1, val_check_interval=2)
    assert outline == f"setup train[ epoch0[ batch0[] batch1[] {VALIDATION} batch2[] ] ] teardown"
    assert set(run.history[0].logs) == {"loss", "val_loss"}
    assert (run.step, run.steps_per_epoch) == (3, 3)


def test_a_stop_in_a_validation_between_batches_ends_the_epoch_there() -> None:
    outline, run, _ = train(StopAt("test_end"), validates=True, val_check_interval=2)
    validation = VALIDATION.replace(" ]", " ] stop")
    assert outline == f"setup train[ epoch0[ batch0[] batch1[] {validation} ] ] teardown"
    assert run.outcome == "stopped"


def test_accumulated_batches_are_batches_and_the_optimizers_real_steps_are_steps() -> None:
    steps: list[Any] = []
    note = Do("optimizer_step", lambda run: steps.append((run.epoch, run.batch, run.optimizer_step)), nth=None)
    _, run, it = train(note, accumulate_grad_batches=2)
    assert steps == [(0, 1, 1), (0, 2, 2), (1, 1, 3), (1, 2, 4)]  # the last partial window steps too
    assert (run.step, it.global_step) == (6, 4)


def test_two_optimizers_in_manual_optimization_are_one_list_of_groups_and_each_step_counts() -> None:
    class Manual(Line):
        automatic_optimization = False

        def configure_optimizers(self) -> Any:
            return [torch.optim.SGD([one], lr) for one, lr in zip(self.layer.parameters(), (0.5, 0.25), strict=True)]

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            loss = self.loss(batch)
            self.manual_backward(loss)
            for one in self.optimizers():
                one.step()
                one.zero_grad()
            return loss

    rates: list[Any] = []

    def halve(run: Run) -> None:
        run.lr = 0.25
        rates.append(run.lrs)

    _, run, it = train(Do("train_begin", halve), module=Manual(), max_epochs=1)
    assert rates == [[0.25, 0.125]]
    assert (run.optimizer_step, it.global_step, "loss" in run.history[0].logs) == (6, 6, True)


def test_lightnings_own_stop_is_one_of_the_run() -> None:
    native = [NativeEarlyStopping("val_loss", patience=1, min_delta=100.0)]
    outline, run, _ = train(validates=True, native=native, max_epochs=9)
    assert (run.outcome, run.epochs_done, run.stop_source) == ("stopped", 2, "lightning")
    assert outline.count("stop ") == 1


def test_a_stop_of_lightnings_on_the_training_loss_comes_after_our_epoch_end_and_is_seen() -> None:
    native = [NativeEarlyStopping("loss", patience=1, min_delta=100.0)]
    _, run, _ = train(module=Line(on_epoch=True), native=native, max_epochs=9)
    assert (run.outcome, run.epochs_done, run.stop_source) == ("stopped", 2, "lightning")


@pytest.mark.parametrize("limit", [{"min_epochs": 2}, {"min_steps": 5}], ids=str)
def test_lightnings_minimum_holds_a_decision_and_no_fault(limit: dict[str, int]) -> None:
    outline, run, it = train(StopAt("train_batch_end"), max_epochs=4, **limit)
    assert (run.epochs_done, run.outcome) == (2, "stopped")
    assert outline == f"setup train[ epoch0[ {EPOCH} ] epoch1[ {EPOCH} ] stop ] teardown"
    outline, run, it = train(StopAt("train_batch_end", kind="fault"), max_epochs=4, **limit)
    assert outline == "setup train[ epoch0[ batch0[] stop ] ] teardown"
    assert (it.min_epochs or 0, it.min_steps, it.should_stop) == (*_minimum(limit), False)


def _minimum(limit: dict[str, int]) -> tuple[int, int | None]:
    return limit.get("min_epochs", 1), limit.get("min_steps")


def test_after_a_stop_before_the_first_batch_the_validation_runs_where_it_is_due() -> None:
    outline, _, _ = train(StopAt("epoch_begin", nth=1), validates=True, max_epochs=3)
    assert outline == f"setup train[ epoch0[ {EPOCH} {VALIDATION} ] epoch1[ stop {VALIDATION} ] ] teardown"
    outline, _, _ = train(StopAt("epoch_begin"), validates=True, max_epochs=3, check_val_every_n_epoch=2)
    assert outline == "setup train[ epoch0[ stop ] ] teardown"


def test_an_epoch_that_is_ended_early_is_validated_and_the_next_one_is_whole() -> None:
    outline, run, it = train(Do("train_batch_end", lambda run: run.end_epoch()), validates=True, min_epochs=2)
    assert outline == f"setup train[ epoch0[ batch0[] {VALIDATION} ] epoch1[ {EPOCH} {VALIDATION} ] ] teardown"
    assert (run.outcome, it.min_epochs, it.should_stop) == ("completed", 2, False)


def test_a_batch_that_the_module_skips_never_ends() -> None:
    class Skips(Line):
        def on_train_batch_start(self, batch: Any, batch_idx: int) -> Any:
            return -1 if batch_idx == 1 else None

    trace = Trace()
    wrapped(trace, max_epochs=2).fit(Skips(), rows())
    assert trace.names.count("train_batch_begin") == 4
    assert trace.names.count("train_batch_end") == trace.names.count("epoch_end") == 2


@pytest.mark.parametrize("interval", [1.0, 2])
def test_data_of_unknown_length_is_trained_and_validated(interval: float) -> None:
    loader = DataLoader(Endless(), batch_size=None)
    outline, run, _ = train(loader=loader, validates=True, max_epochs=1, val_check_interval=interval)
    batches = f"{EPOCH} {VALIDATION}" if interval == 1.0 else f"batch0[] batch1[] {VALIDATION} batch2[]"
    assert outline == f"setup train[ epoch0[ {batches} ] ] teardown"
    assert run.steps_per_epoch is None


@pytest.mark.parametrize("epochs", [-1, None])
def test_with_max_steps_the_run_is_open_ended_and_complete_when_they_are_done(epochs: int | None) -> None:
    totals: list[Any] = []
    _, run, _ = train(Do("train_begin", lambda run: totals.append(run.max_epochs)), max_epochs=epochs, max_steps=4)
    assert totals == [None]
    assert (run.step, run.epochs_done, run.outcome) == (4, 2, "completed")


def test_limits_and_fast_dev_run_are_those_of_the_run() -> None:
    outline, run, _ = train(validates=True, max_epochs=1, limit_train_batches=2, limit_val_batches=1)
    assert outline == "setup train[ epoch0[ batch0[] batch1[] test[ batch0[] ] ] ] teardown"
    outline, run, _ = train(validates=True, fast_dev_run=True)
    assert outline == "setup train[ epoch0[ batch0[] test[ batch0[] ] ] ] teardown"
    assert (run.max_epochs, run.steps_per_epoch, run.outcome) == (1, 1, "completed")


def test_a_training_of_no_epochs_is_one() -> None:
    outline, run, _ = train(max_epochs=0)
    assert (outline, run.outcome) == ("setup train[] teardown", "completed")


def test_a_second_fit_goes_on_at_the_next_epoch_as_a_run_of_its_own() -> None:
    trace, module = Trace(), Line()
    it = wrapped(trace, max_epochs=1)
    it.fit(module, rows())
    first, trace.events = it.run, []
    it.fit_loop.max_epochs = 2
    it.fit(module, rows())
    assert trace.outline() == f"setup train[ epoch1[ {EPOCH} ] ] teardown"
    assert it.run is not first
    assert ([one.epoch for one in it.run.history], it.run.epochs_done, it.run.outcome) == ([1], 2, "completed")


class Scheduled(Line):
    """With a scheduler that halves the learning rate after each epoch."""

    def configure_optimizers(self) -> Any:
        optimizer = super().configure_optimizers()
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)]


def test_of_a_scheduler_and_a_callback_the_later_wins_and_a_warning_says_so_once() -> None:
    rates: list[float] = []

    def put(run: Run) -> None:
        rates.append(run.lr)
        run.lr = 1.0

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        train(Do("epoch_end", put, nth=None), module=Scheduled(), max_epochs=3)
    assert rates == [0.0625, 0.5, 0.5]  # Lightning's has stepped when the epoch's end is told
    assert sum("lr_scheduler also sets it" in str(one.message) for one in caught) == 1


def test_a_scheduler_that_no_callback_meddles_with_is_lightnings_business_alone() -> None:
    rates: list[float] = []
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*lr_scheduler also sets it.*")
        train(Do("epoch_end", lambda run: rates.append(run.lr), nth=None), module=Scheduled(), max_epochs=3)
    assert rates == [0.0625, 0.03125, 0.015625]


def test_a_pause_under_lightning_ends_fit_and_leaves_nothing_set() -> None:
    outline, run, it = train(StopAt("train_batch_end", kind="pause"), validates=True)
    assert outline == "setup train[ epoch0[ batch0[] stop teardown"
    assert (run.outcome, it.should_stop) == ("paused", False)
    assert isinstance(it.lightning_module, pl.LightningModule)
