"""What the logs hold, and that Keras's batch hooks are paid for only where somebody listens to batches."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras.src.utils import is_default
from tiny import BACKEND, build, fit, plain, rows
from trainhooks_adapters.keras import bridge

import trainhooks
from trainhooks.callbacks.learning_rate_scheduler import LearningRateScheduler
from trainhooks.errors import CapabilityError, LoopError
from trainhooks.testing import Do, Trace


class Keep(keras.callbacks.Callback):
    """A native callback that keeps the logs of each of its epochs' ends."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[dict[str, Any]] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.kept.append(dict(logs))


class Add(trainhooks.Callback):
    def on_epoch_end(self, epoch: int, logs: Any) -> None:
        logs["added"] = epoch + 0.5


def kept(trace: Trace, event: str) -> list[dict[str, Any]]:
    return [arguments["logs"] for name, arguments in trace.events if name == event]


# Logs


def test_the_logs_of_epoch_ends_are_those_of_native_callbacks() -> None:
    trace, model = Trace(values=True), plain()
    made = bridge([Add(), trace])
    native = Keep()
    history = fit(model, validate=1, epochs=2, callbacks=[made, native]).history
    ours = kept(trace, "epoch_end")
    assert ours == native.kept == [dict(record.logs) for record in made.run.history]
    assert ours == [{name: column[epoch] for name, column in history.items()} for epoch in range(2)]
    assert list(ours[0]) == ["loss", "val_loss", "added"] and [one["added"] for one in ours] == [0.5, 1.5]
    assert {type(value) for one in ours for value in one.values()} == {float}


def test_what_a_wrapped_models_callbacks_add_is_in_its_history_and_they_see_what_native_ones_added() -> None:
    seen: list[Any] = []
    look = Do("epoch_end", lambda run: seen.append(list(run.logs)))
    look.phase = "report"
    native = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(theirs=1.0))
    wrapped = trainhooks.wrap(plain(), callbacks=[LearningRateScheduler(lambda epoch, lr: lr / 2), look])
    history = fit(wrapped, callbacks=[native]).history
    assert seen == [["loss", "theirs", "learning_rate"]] and list(history) == seen[0]


HISTORIES = {
    "alone": lambda: keras.callbacks.History(),
    "in a list": lambda: [keras.callbacks.History()],
    "in a tuple": lambda: (keras.callbacks.History(),),
    "in a CallbackList": lambda: keras.callbacks.CallbackList([], add_history=True),
}


@pytest.mark.parametrize("make", HISTORIES.values(), ids=HISTORIES)
def test_a_native_history_that_is_given_comes_after_ours_too(make: Any) -> None:
    wrapped = trainhooks.wrap(plain(), callbacks=[Add()])
    assert fit(wrapped, callbacks=make()).history["added"] == [0.5]
    assert wrapped.run.outcome == "completed"


def test_the_logs_of_batch_ends_are_running_means() -> None:
    trace, model = Trace(values=True), plain()
    model.optimizer.learning_rate = 0.0
    fit(trainhooks.wrap(model, callbacks=[trace]))
    losses = [float(one["loss"]) for one in kept(trace, "train_batch_end")]
    _, y = rows()
    each = [float((y[at : at + 2] ** 2).mean()) for at in range(0, 6, 2)]
    assert np.allclose(losses, [np.mean(each[:n]) for n in (1, 2, 3)], rtol=1e-5)
    assert kept(trace, "epoch_end") == [{"loss": losses[-1]}]


def test_the_logs_of_the_validations_batches_and_end_have_no_prefix() -> None:
    trace = Trace(values=True)
    fit(trainhooks.wrap(plain(), callbacks=[trace]), validate=2)
    loss = kept(trace, "epoch_end")[0]["val_loss"]
    assert kept(trace, "test_end") == [{"loss": loss}] == kept(trace, "test_batch_end")[-1:]


def test_sample_weights_weigh_the_loss_and_not_the_metrics() -> None:
    trace, model = Trace(values=True), build(metrics=["mse"], optimizer=keras.optimizers.SGD(0.0))
    weight = np.array([1, 0, 1, 0, 1, 0], dtype="float32")
    fit(trainhooks.wrap(model, callbacks=[trace]), sample_weight=weight)
    (logs,) = kept(trace, "epoch_end")
    _, y = rows()
    assert np.isclose(logs["mse"], (y**2).mean(), rtol=1e-5)
    assert not np.isclose(logs["loss"], logs["mse"], rtol=0.1)


def test_run_logs_are_what_the_event_carries_and_stay_after_the_run() -> None:
    seen: list[Any] = []

    class Look(trainhooks.Callback):
        def on_train_batch_end(self, run: Any, logs: Any) -> None:
            seen.append(run.logs is logs)

        def on_epoch_end(self, run: Any, logs: Any) -> None:
            seen.append(run.logs is logs)

    wrapped = trainhooks.wrap(plain(), callbacks=[Look()])
    fit(wrapped, batches=1)
    assert seen == [True, True] and dict(wrapped.run.logs) == wrapped.run.history[0].logs


def test_a_batchs_own_values_are_refused() -> None:
    wrapped = trainhooks.wrap(plain(), callbacks=[Do("train_batch_end", lambda run: run.batch_logs)])
    with pytest.raises(CapabilityError) as error:
        fit(wrapped)
    assert str(error.value) == (
        "run.batch_logs needs 'batch_logs', which this trainer lacks: Keras shows running means only: use logs."
    )


# Batch hooks

HOOKS = [f"on_{kind}_batch_{edge}" for kind in ("train", "test", "predict") for edge in ("begin", "end")]


ALWAYS = {"on_train_batch_end"} if BACKEND == "tensorflow" else set()
"""Where nothing is called aside, it costs nothing and counts exactly."""


def overridden(*callbacks: trainhooks.Callback) -> set[str]:
    made = bridge(callbacks)
    return {hook for hook in ["on_batch_begin", "on_batch_end", *HOOKS] if not is_default(getattr(made, hook))}


class Old(trainhooks.Callback):
    def on_batch_end(self) -> None: ...


def test_batch_hooks_are_overridden_only_where_somebody_listens() -> None:
    def listen(event: str) -> Do:
        return Do(event, lambda run: None)

    assert overridden(Trace(batches=False)) == ALWAYS
    assert overridden(listen("train_batch_begin")) == {"on_train_batch_begin", *ALWAYS}
    assert overridden(listen("train_batch_end")) == {"on_train_batch_begin", "on_train_batch_end"} == overridden(Old())
    assert overridden(listen("test_batch_end"), listen("predict_batch_begin")) == {
        "on_test_batch_begin",
        "on_test_batch_end",
        "on_predict_batch_begin",
        *ALWAYS,
    }
    assert overridden(Trace()) == set(HOOKS)


def test_keras_calls_batch_ends_aside_unless_somebody_listens() -> None:
    def aside(*callbacks: trainhooks.Callback) -> tuple[bool, bool, bool]:
        made = keras.callbacks.CallbackList([bridge(callbacks)])
        return made._async_train, made._async_test, made._async_predict  # what its dispatch asks

    can = BACKEND != "tensorflow"
    assert aside(Trace(batches=False)) == aside(Do("train_batch_begin", lambda run: None)) == (can, can, can)
    assert aside(Old()) == (False, can, can)
    assert aside(Trace()) == (False, False, False)


def watch(batch: int) -> None: ...


def test_a_hook_of_batches_that_comes_too_late_is_refused() -> None:
    def late(run: trainhooks.Run) -> None:
        run.on("train_batch_end")(watch)

    wrapped = trainhooks.wrap(plain(), callbacks=[Do("epoch_begin", late)])
    with pytest.raises(CapabilityError) as error:
        fit(wrapped)
    assert str(error.value) == (
        "watch needs 'train_batch_end', which this trainer lacks: Keras calls batch hooks only if they are there when "
        "fit begins: give the callback to wrap or bridge."
    )


def test_a_hook_of_batches_that_others_listen_to_may_come_late_and_any_of_epochs() -> None:
    told: list[str] = []

    def late(run: trainhooks.Run) -> None:
        run.on("train_batch_end")(lambda batch: told.append(f"batch{batch}"))
        run.on("epoch_end")(lambda epoch: told.append(f"epoch{epoch}"))

    fit(trainhooks.wrap(plain(), callbacks=[Do("epoch_begin", late), Do("train_batch_end", lambda run: None)]))
    assert told == ["batch0", "batch1", "batch2", "epoch0"]


def test_a_bridge_that_is_given_alone_and_not_in_a_list_says_what_to_write() -> None:
    made = bridge([Trace()])
    if BACKEND == "tensorflow":  # which calls nothing from another thread
        fit(plain(), callbacks=made)
        assert made.run.outcome == "completed"
        return
    with pytest.raises(LoopError) as error:
        fit(plain(), callbacks=made)
    assert str(error.value) == (
        "Keras calls this bridge from another thread and out of order: what is overridden it sees in a list of "
        "callbacks only. Write fit(callbacks=[bridge])."
    )
