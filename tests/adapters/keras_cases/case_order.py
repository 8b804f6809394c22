"""The order of events under Keras: what a fit, an evaluation and a prediction tell."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from tiny import bare, fit, plain, rows, story
from trainhooks_adapters.keras import bridge

import trainhooks
from trainhooks.testing import Do, Trace

EPOCH = "batch0[] batch1[] batch2[]"


def test_a_fit_with_a_validation_tells_it_inside_each_epoch() -> None:
    assert story(validate=1, epochs=2) == (
        f"setup train[ epoch0[ {EPOCH} test[ batch0[] ] ] epoch1[ {EPOCH} test[ batch0[] ] ] ] teardown completed"
    )


def test_a_fit_without_a_validation_tells_none() -> None:
    assert story(epochs=2) == f"setup train[ epoch0[ {EPOCH} ] epoch1[ {EPOCH} ] ] teardown completed"


def test_a_bare_bridge_tells_the_same() -> None:
    assert bare(validate=2, epochs=1) == (
        f"setup train[ epoch0[ {EPOCH} test[ batch0[] batch1[] ] ] ] teardown completed"
    )


def test_a_validation_at_each_second_epoch_is_told_in_those() -> None:
    assert story(validate=1, batches=1, epochs=4, validation_freq=2) == (
        "setup train[ epoch0[ batch0[] ] epoch1[ batch0[] test[ batch0[] ] ] "
        "epoch2[ batch0[] ] epoch3[ batch0[] test[ batch0[] ] ] ] teardown completed"
    )


def test_epochs_are_numbered_from_initial_epoch_and_all_before_it_count_as_done() -> None:
    done: list[Any] = []
    look = Do("epoch_end", lambda run: done.append((run.epoch, run.epochs_done, run.max_epochs)), nth=None)
    assert story(look, batches=1, epochs=5, initial_epoch=3) == (
        "setup train[ epoch3[ batch0[] ] epoch4[ batch0[] ] ] teardown completed"
    )
    assert done == [(3, 4, 5), (4, 5, 5)]


def test_a_fit_without_an_epoch_left_begins_and_ends() -> None:
    assert story(epochs=2, initial_epoch=2).startswith("setup train[] teardown")


def test_an_evaluation_alone_is_a_run() -> None:
    trace = Trace()
    wrapped = trainhooks.wrap(plain(), callbacks=[trace])
    wrapped.evaluate(*rows(2), batch_size=2, verbose=0)
    trace.check_grammar()
    assert (trace.outline(), wrapped.run.outcome, wrapped.run.step) == (
        "setup test[ batch0[] batch1[] ] teardown",
        "completed",
        0,
    )


def test_the_logs_of_an_evaluation_are_what_it_returns() -> None:
    trace = Trace(values=True)
    wrapped = trainhooks.wrap(plain(), callbacks=[trace])
    result = wrapped.evaluate(*rows(2), batch_size=2, verbose=0, return_dict=True)
    assert dict(trace.events)["test_end"]["logs"] == dict(wrapped.run.logs) == result


def test_the_outputs_of_a_prediction_reach_its_batch_ends_and_are_joined_what_it_returns() -> None:
    trace = Trace()
    outputs: list[Any] = []

    class Keep(trainhooks.Callback):
        def on_predict_batch_end(self, outputs: Any, batch: int) -> None:
            kept.append((batch, outputs))

    kept: list[Any] = []
    wrapped = trainhooks.wrap(plain(), callbacks=[Keep(), trace])
    wrapped.set_weights([np.ones((2, 1)), np.ones(1)])
    outputs = wrapped.predict(rows(3)[0], batch_size=2, verbose=0)
    trace.check_grammar()
    assert trace.outline() == "setup predict[ batch0[] batch1[] batch2[] ] teardown"
    assert [batch for batch, _ in kept] == [0, 1, 2]
    assert np.array_equal(np.concatenate([one for _, one in kept]), outputs)


@pytest.mark.parametrize("make", [trainhooks.wrap, None], ids=["wrap", "bridge"])
def test_one_object_serves_fits_an_evaluation_and_a_prediction_in_turn(make: Any) -> None:
    trace, runs = Trace(batches=False), []
    model = plain()
    made = bridge([trace])
    wrapped = model if make is None else make(model, callbacks=[trace])
    given = {"callbacks": [made]} if make is None else {}
    for go in (
        lambda: fit(wrapped, epochs=2, **given),
        lambda: wrapped.evaluate(*rows(1), verbose=0, **given),
        lambda: wrapped.predict(rows(1)[0], verbose=0, **given),
        lambda: fit(wrapped, validate=1, **given),
    ):
        go()
        runs.append((made if make is None else wrapped).run)
    trace.check_grammar()
    assert trace.outline() == (
        "setup train[ epoch0[] epoch1[] ] teardown setup test[] teardown setup predict[] teardown "
        "setup train[ epoch0[ test[] ] ] teardown"
    )
    assert len(set(map(id, runs))) == 4
    assert [run.step for run in runs] == [6, 0, 0, 3]
    assert [run.outcome for run in runs] == ["completed"] * 4


def test_a_callback_sees_the_native_model_the_framework_and_the_phase() -> None:
    model, seen = plain(), set()
    events = ("train_begin", "epoch_begin", "train_batch_end", "test_batch_end", "epoch_end")
    looks = [
        Do(one, lambda run, one=one: seen.add((one, run.phase, run.model is model, run.framework))) for one in events
    ]
    story(*looks, model=model, validate=1)
    assert seen == {
        ("train_begin", None, True, "keras"),
        ("epoch_begin", None, True, "keras"),
        ("train_batch_end", "train", True, "keras"),
        ("test_batch_end", "test", True, "keras"),
        ("epoch_end", None, True, "keras"),
    }


def test_a_users_evaluation_in_a_callback_is_no_part_of_the_run() -> None:
    model = plain()
    nested = Do("epoch_end", lambda run: run.model.evaluate(*rows(1), verbose=0))
    assert story(nested, model=model, validate=1) == (
        f"setup train[ epoch0[ {EPOCH} test[ batch0[] ] ] ] teardown completed"
    )


def test_nor_is_one_of_the_wrapped_model_or_with_the_same_bridge() -> None:
    model, trace = plain(), Trace()
    x, y = rows(1)
    nested = Do("epoch_end", lambda run: wrapped.evaluate(x, y, verbose=0))
    wrapped = trainhooks.wrap(model, callbacks=[nested, trace])
    fit(wrapped)
    again = Do("epoch_end", lambda run: model.evaluate(x, y, verbose=0, callbacks=[made]))
    made = bridge([again, trace])
    fit(model, callbacks=[made])
    trace.check_grammar()
    assert trace.outline() == " ".join([f"setup train[ epoch0[ {EPOCH} ] ] teardown"] * 2)


def test_nor_is_one_of_the_wrapped_model_by_a_native_callback_even_if_it_fails() -> None:
    def nested(epoch: int, logs: object) -> None:
        wrapped.evaluate(*rows(1), verbose=0)
        with pytest.raises(ValueError):
            wrapped.evaluate(rows(2)[0], rows(1)[1], verbose=0)

    trace = Trace()
    wrapped = trainhooks.wrap(plain(), callbacks=[trace])
    fit(wrapped, epochs=2, callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=nested)])
    trace.check_grammar()
    assert trace.outline() == f"setup train[ epoch0[ {EPOCH} ] epoch1[ {EPOCH} ] ] teardown"
