"""What stands in the logs under Lightning: under which names, and of which batches."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("lightning", reason="lightning is not installed")

import torch
from bench_lightning import Line, rows, wrapped
from trainhooks_adapters.lightning._metrics import plain_names
from trainhooks_adapters.torch import rows_of

from trainhooks import Run
from trainhooks.testing import Do

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")


class Told(Line):
    """Logs the numbers of its batches, from 1 over the whole training."""

    def __init__(self, name: str = "loss", **log: Any) -> None:
        super().__init__(**log)
        self.name, self.count = name, 0

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.count += 1
        self.log(self.name, torch.tensor(float(self.count)), **self.how)
        return self.loss(batch)


def logs_of(module: Any, size: int = 2, *, validates: bool = False, **trainer: Any) -> list[dict[str, Any]]:
    """The logs that the epochs ended with."""
    it = wrapped(**{"max_epochs": 1, **trainer})
    it.fit(module, rows(size), rows(size) if validates else None)
    return [record.logs for record in it.run.history]


def each(event: str, *read: str) -> tuple[Do, list[Any]]:
    kept: list[Any] = []
    return Do(event, lambda run: kept.append(tuple(run.logs.get(name) for name in read)), nth=None), kept


@pytest.mark.parametrize(
    "how", [{}, {"on_epoch": True}, {"on_step": False, "on_epoch": True}, {"on_step": True}], ids=str
)
def test_the_loss_of_an_epoch_is_its_mean_however_it_is_logged(how: dict[str, Any]) -> None:
    assert logs_of(Told(**how), max_epochs=2) == [{"loss": 2.0}, {"loss": 5.0}]


@pytest.mark.parametrize("how", [{}, {"on_epoch": True}], ids=str)
def test_a_mean_is_weighted_by_the_rows_of_each_batch(how: dict[str, Any]) -> None:
    assert logs_of(Told(**how), size=4) == [{"loss": pytest.approx(4 / 3, rel=1e-6)}]  # four rows of 1, two of 2


def test_the_ends_of_batches_have_this_epochs_means_and_the_batchs_own_values_apart() -> None:
    means, kept = each("train_batch_end", "loss", "val_loss")
    own: list[Any] = []
    it = wrapped(means, Do("train_batch_end", lambda run: own.append(run.batch_logs["loss"]), nth=None), max_epochs=2)
    it.fit(Told(on_epoch=True), rows(), rows())
    assert kept == [(mean, None) for mean in (1.0, 1.5, 2.0, 4.0, 4.5, 5.0)]
    assert own == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]


def test_an_epoch_ends_with_what_lightning_reduces_to() -> None:
    assert logs_of(Told("most", on_epoch=True, reduce_fx="max"))[0]["most"] == 3.0


def test_a_metric_that_some_batches_log_counts_in_those_alone() -> None:
    class Sometimes(Told):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            if batch_idx != 1:
                return super().training_step(batch, batch_idx)
            self.count += 1
            return self.loss(batch)

    assert logs_of(Sometimes("now"))[0]["now"] == 2.0  # of 1 and 3


def test_a_metric_of_the_last_epoch_alone_is_not_in_this_one() -> None:
    class Once(Told):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return super().training_step(batch, batch_idx) if self.current_epoch == 0 else self.loss(batch)

    first, second = logs_of(Once("now", on_epoch=True), max_epochs=2)
    assert (first["now"], "now" in second) == (2.0, False)


def test_where_no_loss_is_logged_it_is_what_training_step_returned() -> None:
    class Silent(Line):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            loss = self.loss(batch)
            told.append(loss.item())
            return {"loss": loss, "more": 1.0}

    for accumulated in (1, 2, 3):
        told: list[float] = []
        (logs,) = logs_of(Silent(), accumulate_grad_batches=accumulated)
        assert logs == {"loss": pytest.approx(sum(told) / 3, rel=1e-6)}  # not divided by what is accumulated


def test_a_loss_under_another_name_is_not_logged_twice() -> None:
    assert logs_of(Told("train_loss")) == [{"loss": 2.0}]
    assert logs_of(Told("train/loss", on_step=False, on_epoch=True)) == [{"loss": 2.0}]


def test_a_validation_that_is_not_of_this_epoch_leaves_nothing() -> None:
    first, second, third = logs_of(Line(), validates=True, max_epochs=3, check_val_every_n_epoch=2)
    assert ["val_loss" in logs for logs in (first, second, third)] == [False, True, False]


def test_running_means_of_a_validation_are_those_of_its_batches_so_far() -> None:
    class Counting(Line):
        count = 0

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.count += 1
            self.log("val_loss", torch.tensor(float(self.count)))

    batches, kept = each("test_batch_end", "loss", "val_loss")
    ends, ended = each("test_end", "loss", "val_loss")
    wrapped(batches, ends, max_epochs=1, num_sanity_val_steps=0).fit(Counting(), rows(), rows())
    assert (kept, ended) == ([(1.0, None), (1.5, None), (2.0, None)], [(2.0, None)])


@pytest.mark.parametrize("name", ["loss", "val_loss", "val/loss"])
def test_a_metric_of_a_validation_is_called_val_whatever_the_module_calls_it(name: str) -> None:
    class Named(Line):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.log("loss", torch.tensor(1.0), on_step=False, on_epoch=True)
            return self.loss(batch)

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.log(name, torch.tensor(8.0), on_step=True, on_epoch=True)

    assert logs_of(Named(), validates=True) == [{"loss": 1.0, "val_loss": 8.0}]


def test_several_validation_loaders_are_one_validation() -> None:
    class Two(Line):
        def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
            self.log("val_loss", torch.tensor(float(dataloader_idx)))

    seen: list[Any] = []
    it = wrapped(Do("test_batch_begin", lambda run: seen.append(run.batch), nth=None), max_epochs=1)
    it.fit(Two(), rows(), [rows(), rows()])
    logs = it.run.history[0].logs
    assert seen == [0, 1, 2, 3, 4, 5]
    assert {name: logs[name] for name in logs if "val" in name} == {
        "val_loss/dataloader_idx_0": 0.0,
        "val_loss/dataloader_idx_1": 1.0,
    }


def test_torchmetrics_are_computed_by_themselves() -> None:
    from torchmetrics import MaxMetric

    class Largest(Told):
        def __init__(self) -> None:
            super().__init__()
            self.largest = MaxMetric()

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.largest(float(batch_idx))
            self.log("largest", self.largest, on_step=False, on_epoch=True)
            return super().training_step(batch, batch_idx)

    assert logs_of(Largest()) == [{"loss": 2.0, "largest": 2.0}]


def test_the_sanity_check_is_not_told() -> None:
    events: list[str] = []
    names = ("setup", "train_begin", "test_begin", "test_batch_end", "test_end")

    def note(name: str) -> Do:
        def add(run: Run) -> None:
            events.append(name)

        return Do(name, add, nth=None)

    it = wrapped(*map(note, names), max_epochs=1, num_sanity_val_steps=2)
    it.fit(Line(), rows(), rows())
    assert events == ["setup", "train_begin", "test_begin", *["test_batch_end"] * 3, "test_end"]


@pytest.mark.parametrize(
    ("keys", "stage", "names"),
    [
        (("loss_step", "loss", "loss_epoch"), "train", {"loss": "loss"}),
        (("loss_step",), "train", {"loss_step": "loss_step"}),
        (("train_loss", "loss"), "train", {"train_loss": "train_loss", "loss": "loss"}),
        (("train_loss", "train/loss"), "train", {"train_loss": "train_loss", "train/loss": "train/loss"}),
        (("val_", "val_acc"), "validate", {"val_": "val_", "val_acc": "acc"}),
        (("val_a/dataloader_idx_0", "val_a_epoch/dataloader_idx_0"), "validate", None),
        (("val_loss", "test/loss"), "test", {"val_loss": "val_loss", "test/loss": "loss"}),
    ],
)
def test_no_two_metrics_get_one_name(keys: tuple[str, ...], stage: str, names: dict[str, str] | None) -> None:
    assert plain_names(keys, stage) == (names or {"val_a/dataloader_idx_0": "a/dataloader_idx_0"})


@pytest.mark.parametrize(
    ("batch", "count"),
    [
        (torch.zeros(3, 2), 3),
        ((torch.zeros(4), torch.zeros(5)), 4),
        ({"name": "x", "x": [torch.zeros(6)]}, 6),
        (torch.tensor(1.0), 1),
        (None, 1),
    ],
)
def test_the_rows_of_a_batch_are_those_of_its_first_tensor(batch: Any, count: int) -> None:
    assert rows_of(batch) == count
