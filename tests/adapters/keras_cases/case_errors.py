"""Exceptions: from our callbacks, from native ones, from training; and what the next fit finds."""

from __future__ import annotations

from typing import Any

import keras
import pytest
from tiny import BACKEND, fit, plain, rows
from trainhooks_adapters.keras import bridge

import trainhooks
from trainhooks.testing import RaiseAt, Trace

ERRORS = {"error": RuntimeError("asked for"), "Ctrl-C": KeyboardInterrupt()}
FIT = "setup train[ epoch0[ batch0[] batch1[] test[ batch0[] ] ] ] teardown"
UNTIL = {
    "setup": "setup",
    "train_begin": "setup train[",
    "epoch_begin": "setup train[ epoch0[",
    "train_batch_begin": "setup train[ epoch0[ batch0[",
    "train_batch_end": "setup train[ epoch0[ batch0[]",
    "test_begin": "setup train[ epoch0[ batch0[] batch1[] test[",
    "test_batch_begin": "setup train[ epoch0[ batch0[] batch1[] test[ batch0[",
    "test_batch_end": "setup train[ epoch0[ batch0[] batch1[] test[ batch0[]",
    "test_end": "setup train[ epoch0[ batch0[] batch1[] test[ batch0[] ]",
    "epoch_end": "setup train[ epoch0[ batch0[] batch1[] test[ batch0[] ] ]",
    "train_end": "setup train[ epoch0[ batch0[] batch1[] test[ batch0[] ] ] ]",
}


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)
@pytest.mark.parametrize("event", UNTIL)
@pytest.mark.parametrize("wrapped", [True, False], ids=["wrap", "bridge"])
def test_what_a_callback_of_ours_raises_ends_the_run_and_is_raised_on(
    event: str, error: BaseException, wrapped: bool
) -> None:
    """After it nothing is attached, and the same objects serve the next fit."""
    model, first, raiser, trace = plain(), Trace(), RaiseAt(event, error=error), Trace()
    first.phase = "observe"  # before the one that raises: it sees the event itself
    callbacks = [first, raiser, trace]
    made = trainhooks.wrap(model, callbacks=callbacks) if wrapped else bridge(callbacks)
    target, given = (made, {}) if wrapped else (model, {"callbacks": [made]})
    with pytest.raises(type(error)) as raised:
        fit(target, batches=2, validate=1, **given)
    assert raised.value is error
    kind = type(error).__name__
    assert first.outline() == f"{UNTIL[event]} exception({kind}) teardown"
    assert made.run.outcome == ("failed" if isinstance(error, Exception) else "interrupted")
    assert [one.run for one in callbacks] == [None] * 3
    first.events.clear()
    fit(target, batches=2, validate=1, **given)
    first.check_grammar()
    trace.check_grammar()
    assert (first.outline(), made.run.outcome) == (FIT, "completed")


@pytest.mark.parametrize("wrapped", [True, False], ids=["wrap", "bridge"])
def test_what_a_teardown_raises_is_raised_on_and_reaches_no_exception_hook(wrapped: bool) -> None:
    model, trace, raiser = plain(), Trace(), RaiseAt("teardown")
    made = trainhooks.wrap(model, callbacks=[raiser, trace]) if wrapped else bridge([raiser, trace])
    with pytest.raises(RuntimeError) as raised:
        fit(made if wrapped else model, batches=2, validate=1, **({} if wrapped else {"callbacks": [made]}))
    assert (raised.value, made.run.outcome, trace.outline()) == (raiser.error, "failed", FIT)


class Native(keras.callbacks.Callback):
    """A native callback that raises ``error`` in one of its hooks, once."""

    def __init__(self, hook: str, error: BaseException) -> None:
        super().__init__()
        self.error: BaseException | None = error

        def act(*arguments: Any, **options: Any) -> None:
            error, self.error = self.error, None
            if error is not None:
                raise error

        setattr(self, hook, act)


HOOKS = {
    "on_train_begin": "",
    "on_epoch_begin": "setup train[",
    "on_train_batch_begin": "setup train[ epoch0[",
    "on_train_batch_end": "setup train[ epoch0[ batch0[",
    "on_test_begin": "setup train[ epoch0[ batch0[] batch1[]",
    "on_epoch_end": "setup train[ epoch0[ batch0[] batch1[] test[ batch0[] ]",
    "on_train_end": "setup train[ epoch0[ batch0[] batch1[] test[ batch0[] ] ]",
}


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)
@pytest.mark.parametrize("hook", HOOKS)
def test_what_a_native_callback_raises_is_told_to_a_wrapped_models(hook: str, error: BaseException) -> None:
    """It comes before ours in the list, so that they do not see the event in which it raises."""
    trace = Trace()
    wrapped = trainhooks.wrap(plain(), callbacks=[trace])
    native = Native(hook, error)
    with pytest.raises(type(error)) as raised:
        fit(wrapped, batches=2, validate=1, callbacks=[native])
    assert raised.value is error
    told = HOOKS[hook]
    assert trace.outline() == (f"{told} exception({type(error).__name__}) teardown" if told else "")
    trace.events.clear()
    fit(wrapped, batches=2, validate=1, callbacks=[native])
    trace.check_grammar()
    assert trace.outline() == FIT


def test_the_same_exception_object_is_told_to_the_callbacks() -> None:
    trace, error = Trace(), OSError("disk")
    with pytest.raises(OSError):
        fit(trainhooks.wrap(plain(), callbacks=[trace]), callbacks=[Native("on_epoch_end", error)])
    assert dict(trace.events)["exception"]["exception"] is error


@pytest.mark.parametrize("then", ["fit", "evaluate", "predict"])
def test_a_bare_bridge_ends_the_run_that_a_native_callback_left_when_it_is_used_next(then: str) -> None:
    model, trace = plain(), Trace(batches=False)
    made = bridge([trace])
    native = Native("on_train_batch_end", OSError("disk"))
    with pytest.raises(OSError):
        fit(model, callbacks=[made, native])
    assert (trace.outline(), made.run.outcome) == ("setup train[ epoch0[", None)
    x, y = rows(1)
    given = {"callbacks": [made, native], "verbose": 0}
    {
        "fit": lambda: model.fit(x, y, **given),
        "evaluate": lambda: model.evaluate(x, y, **given),
        "predict": lambda: model.predict(x, **given),
    }[then]()
    trace.check_grammar()
    new = {"fit": "train[ epoch0[] ]", "evaluate": "test[]", "predict": "predict[]"}[then]
    assert trace.outline() == f"setup train[ epoch0[ exception(LoopError) teardown setup {new} teardown"
    assert made.run.outcome == "completed"


def test_so_it_does_inside_a_native_list_that_sets_the_model_once() -> None:
    model, trace = plain(), Trace(batches=False)
    native = Native("on_epoch_end", OSError("disk"))
    listed = keras.callbacks.CallbackList([bridge([trace]), native], add_history=True, model=model, epochs=1, steps=3)
    with pytest.raises(OSError):
        fit(model, callbacks=listed)
    fit(model, callbacks=listed)
    trace.check_grammar()
    assert trace.outline() == "setup train[ epoch0[] exception(LoopError) teardown setup train[ epoch0[] ] teardown"


class Broken(keras.Sequential):
    """A model whose training step raises while it is traced, or at its first batch."""

    error: BaseException = ZeroDivisionError("in train_step")

    def train_step(self, *arguments: Any, **options: Any) -> Any:
        raise self.error


def test_what_a_training_step_raises_is_raised_on() -> None:
    trace = Trace()
    model = Broken([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", loss="mse")
    wrapped = trainhooks.wrap(model, callbacks=[trace])
    with pytest.raises(ZeroDivisionError) as raised:
        fit(wrapped)
    trace.check_grammar()
    assert raised.value is model.error or BACKEND == "tensorflow"  # whose tracing raises another of the same type
    assert trace.outline() == "setup train[ epoch0[ batch0[ exception(ZeroDivisionError) teardown"


@pytest.mark.parametrize("method", ["evaluate", "predict"])
def test_an_exception_ends_an_evaluation_and_a_prediction_too(method: str) -> None:
    kind = {"evaluate": "test", "predict": "predict"}[method]
    trace, raiser = Trace(), RaiseAt(f"{kind}_batch_end")
    wrapped = trainhooks.wrap(plain(), callbacks=[raiser, trace])
    x, y = rows(1)
    given = (x,) if method == "predict" else (x, y)
    with pytest.raises(RuntimeError) as raised:
        getattr(wrapped, method)(*given, verbose=0)
    trace.check_grammar()
    assert raised.value is raiser.error
    assert trace.outline() == f"setup {kind}[ batch0[ exception(RuntimeError) teardown"


def test_arguments_that_keras_refuses_begin_no_run() -> None:
    trace = Trace()
    wrapped = trainhooks.wrap(plain(), callbacks=[trace])
    with pytest.raises(TypeError):
        wrapped.fit(*rows(), epoch=2)
    with pytest.raises(ValueError):
        wrapped.fit(rows(2)[0], rows(1)[1])
    assert (trace.events, wrapped.run) == ([], None)
