"""Callbacks under skorch: metrics, stops, exceptions, and what is left behind."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("skorch", reason="skorch is not installed")

import skorch.callbacks
import torch
from bench_skorch import ROWS, TARGETS, bridge, net_of
from skorch import NeuralNetClassifier, NeuralNetRegressor
from skorch.callbacks import Callback as NativeCallback
from skorch.callbacks import EpochScoring, LRScheduler
from trainhooks_adapters import skorch as adapter

import trainhooks
from trainhooks import Callback, errors
from trainhooks.callbacks import EarlyStopping, ReduceLROnPlateau
from trainhooks.testing import Do, RaiseAt, StopAt, Trace


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Where other processes have the cores, threads that wait for each other make tiny steps slow."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# Metrics


def test_the_scores_of_the_history_have_our_names_wherever_they_stand_in_the_list() -> None:
    carried = bridge()
    train_r2 = EpochScoring("r2", name="train_r2", on_train=True)
    net = net_of(carried, train_r2, EpochScoring("r2", name="valid_r2"), EpochScoring("neg_mean_absolute_error"))
    net.fit(ROWS, TARGETS)
    for record, row in zip(carried.run.history, net.history, strict=True):
        assert record.logs["loss"] == pytest.approx(row["train_loss"])
        assert record.logs["val_loss"] == pytest.approx(row["valid_loss"])
        assert [record.logs[name] for name in ("r2", "val_r2", "neg_mean_absolute_error")] == [
            row[name] for name in ("train_r2", "valid_r2", "neg_mean_absolute_error")
        ]
        assert set(record.logs) == {"loss", "val_loss", "r2", "val_r2", "neg_mean_absolute_error"}


def test_without_a_split_there_is_no_validation() -> None:
    trace = Trace(batches=False)
    net = net_of(bridge(trace), train_split=None, max_epochs=1).fit(ROWS, TARGETS)
    assert "test_begin" not in trace.names and type(net) is NeuralNetRegressor


# Stops


def test_a_stop_inside_an_epoch_still_validates_and_every_native_callback_sees_the_epochs_end() -> None:
    seen: list[int] = []

    class Last(NativeCallback):  # type: ignore[misc]
        def on_epoch_end(self, net: Any, **given: Any) -> None:
            seen.append(len(net.history))

    carried = bridge(StopAt("train_batch_end", 2))
    net = net_of(carried, Last()).fit(ROWS, TARGETS)
    assert (carried.run.outcome, carried.run.step, seen) == ("stopped", 3, [1, 2])
    assert [row["train_batch_count"] for row in net.history] == [2, 1] and "valid_loss" in net.history[-1]


def test_a_stop_before_the_first_batch_trains_none() -> None:
    carried = bridge(StopAt("train_begin"))
    net = net_of(carried).fit(ROWS, TARGETS)
    assert (carried.run.outcome, carried.run.step, len(net.history)) == ("stopped", 0, 0)


def test_skorchs_early_stopping_is_a_stop_and_its_epoch_ends() -> None:
    carried, trace = bridge(trace := Trace(batches=False)), trace
    net = net_of(skorch.callbacks.EarlyStopping(patience=1, threshold=10.0), carried, max_epochs=9)
    net.fit(ROWS, TARGETS)
    assert (carried.run.outcome, carried.run.stop_source, carried.run.epochs_done) == ("stopped", "skorch", 2)
    assert trace.names[-4:] == ["stop", "epoch_end", "train_end", "teardown"]
    assert len(carried.run.history) == len(net.history) == 2


# Exceptions


class Told(Callback):
    def __init__(self) -> None:
        self.heard: list[Any] = []

    def on_exception(self, exception: BaseException) -> None:
        self.heard.append(exception)

    def on_teardown(self, run: Any) -> None:
        self.heard.append(run.outcome)


class Fails(torch.nn.Module):
    """Raises what its class was told to, in its second forward pass."""

    error: BaseException

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.passes = torch.nn.Linear(2, 1), 0

    def forward(self, x: Any) -> Any:
        self.passes += 1
        if self.passes == 2:
            raise self.error
        return self.layer(x)


def failing(*callbacks: Any) -> NeuralNetRegressor:
    return NeuralNetRegressor(Fails, callbacks=list(callbacks), batch_size=2, train_split=None, verbose=0)


@pytest.mark.parametrize("wrapped", [False, True])
def test_an_exception_anywhere_in_a_fit_is_told_and_comes_out(wrapped: bool) -> None:
    told, Fails.error = Told(), ValueError("asked for")
    net = failing() if wrapped else failing(bridge(told))
    fits = trainhooks.wrap(net, callbacks=[told], plugins="none") if wrapped else net
    with pytest.raises(ValueError, match="asked for") as raised:
        fits.fit(ROWS, TARGETS)
    assert raised.value is Fails.error and told.heard == [Fails.error, "failed"]
    assert type(net) is NeuralNetRegressor


def test_ctrl_c_is_kept_by_skorchs_own_fit_and_the_run_was_interrupted() -> None:
    told, Fails.error = Told(), KeyboardInterrupt()
    assert failing(bridge(told)).fit(ROWS, TARGETS) is not None
    assert told.heard == [Fails.error, "interrupted"]


def test_ctrl_c_comes_out_of_a_wrapped_fit() -> None:
    told, Fails.error = Told(), KeyboardInterrupt()
    wrapped = trainhooks.wrap(failing(), callbacks=[told], plugins="none")
    with pytest.raises(KeyboardInterrupt) as raised:
        wrapped.fit(ROWS, TARGETS)
    assert raised.value is Fails.error and told.heard == [Fails.error, "interrupted"]


def test_what_a_callback_of_ours_raises_comes_out_of_skorchs_own_fit() -> None:
    told, error = Told(), ValueError("asked for")
    net = net_of(bridge(told, RaiseAt("epoch_end", error=error)))
    with pytest.raises(ValueError, match="asked for"):
        net.fit(ROWS, TARGETS)
    assert told.heard == [error, "failed"] and type(net) is NeuralNetRegressor


# What is given


def test_a_callback_that_needs_what_skorch_lacks_is_refused_before_training() -> None:
    class Wants(Callback):
        requires = frozenset({"mid_epoch"})

    net = net_of(bridge(Wants()))
    with pytest.raises(errors.CapabilityError, match="begins at an epoch, never inside one"):
        net.fit(ROWS, TARGETS)
    assert len(net.history) == 0
    with pytest.raises(errors.CapabilityError, match="begins at an epoch"):
        trainhooks.wrap(net_of().initialize(), callbacks=[Wants()], plugins="none")


def test_our_callbacks_among_skorchs_own_are_refused_with_where_to_give_them() -> None:
    wrapped = trainhooks.wrap(net_of(EarlyStopping()), plugins="none")
    with pytest.raises(TypeError, match=r"give it to wrap\(net, callbacks=\[...\]\)"):
        wrapped.fit(ROWS, TARGETS)
    with pytest.raises(errors.RegistrationError):
        adapter.bridge([skorch.callbacks.EarlyStopping()])
    with pytest.raises(TypeError, match=r"NeuralNet\(optimizer=torch.optim.Adam\)"):
        trainhooks.wrap(net_of(), optimizer=torch.optim.SGD)


def test_a_scheduler_of_skorchs_and_a_callback_write_the_same_rate_and_the_later_wins() -> None:
    scheduler = LRScheduler(torch.optim.lr_scheduler.StepLR, step_size=1, gamma=0.5)
    lrs: list[float] = []

    def put(run: Any) -> None:
        lrs.append(run.lr)
        run.lr = 1.0

    net = net_of(bridge(Do("epoch_end", put, nth=None)), ("scheduler", scheduler))
    with pytest.warns(UserWarning, match="a torch.optim.lr_scheduler also sets it"):
        net.fit(ROWS, TARGETS)
    assert lrs == [0.0625, 0.5, 0.5]


def test_the_wrapped_net_is_the_net_otherwise() -> None:
    net = net_of(max_epochs=1)
    wrapped = trainhooks.wrap(net, callbacks=[ReduceLROnPlateau()], plugins="none")
    assert wrapped.run is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert wrapped.fit(ROWS, TARGETS) is wrapped
    wrapped.max_epochs = 7
    assert net.max_epochs == 7 and wrapped.predict(ROWS).shape == (6, 1)
    assert isinstance(net, NeuralNetRegressor) and not isinstance(net, NeuralNetClassifier)
