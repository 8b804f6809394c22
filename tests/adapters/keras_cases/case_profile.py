"""profile(...) of a wrapped model and of a bridge."""

from __future__ import annotations

from typing import Any

import pytest
from tiny import JOINS_STEPS, build, fit, plain, stream
from trainhooks_adapters.keras import bridge

import trainhooks
from trainhooks.errors import LoopError
from trainhooks.testing import Do


def watching(*events: str) -> list[Do]:
    """Callbacks of a run of which each batch is timed."""
    all_of_them = Do("setup", lambda run: setattr(run.timings, "every", 1))
    return [all_of_them, *(Do(event, lambda run: None, nth=None) for event in events)]


def lines(asked: Any) -> dict[str, tuple[int, int]]:
    found = trainhooks.profile(asked)
    assert 0 < sum(line.seconds for line in found.lines) <= found.seconds
    return {line.what: (line.times, line.timed) for line in found.lines}


BATCHES = {
    "training step, its data included": (6, 6),
    "Do.on_train_batch_end": (6, 6),
    "Do.on_epoch_end": (2, 2),
    "Do.on_setup": (1, 1),
}


def test_of_a_wrapped_model_it_is_that_of_its_last_fit() -> None:
    wrapped = trainhooks.wrap(plain(), callbacks=watching("train_batch_end", "epoch_end"))
    with pytest.raises(LoopError) as caught:
        trainhooks.profile(wrapped)
    assert str(caught.value) == "profile(...): it has not run yet. Ask when it has, or in a callback."
    fit(wrapped, epochs=2)
    assert lines(wrapped) == lines(wrapped.run) == BATCHES


def test_of_a_bridge_it_is_the_same() -> None:
    made = bridge(watching("train_batch_end", "epoch_end"))
    fit(plain(), epochs=2, callbacks=[made])
    assert lines(made) == BATCHES


def test_validation_is_timed_apart_from_training() -> None:
    wrapped = trainhooks.wrap(plain(), callbacks=watching("train_batch_end", "test_batch_end"))
    fit(wrapped, epochs=2, validate=2)
    assert lines(wrapped) == {
        "training step, its data included": (6, 6),
        "validation step, its data included": (4, 4),
        "Do.on_train_batch_end": (6, 6),
        "Do.on_test_batch_end": (4, 4),
        "Do.on_setup": (1, 1),
    }


def test_where_nobody_listens_to_batches_there_are_no_lines_about_them() -> None:
    wrapped = trainhooks.wrap(plain(), callbacks=watching("epoch_end"))
    fit(wrapped, epochs=2)
    assert lines(wrapped) == {"Do.on_epoch_end": (2, 2), "Do.on_setup": (1, 1)}


def test_several_steps_in_one_call_are_timed_together() -> None:
    joined = 4 if JOINS_STEPS else 1
    model = build(steps_per_execution=joined)
    wrapped = trainhooks.wrap(model, callbacks=watching("train_batch_end"))
    fit(wrapped, batches=8)
    assert wrapped.run.step == 8
    assert lines(wrapped)["training step, its data included"] == (8, 8)


def test_a_batch_that_keras_begins_in_vain_is_none() -> None:
    wrapped = trainhooks.wrap(plain(), callbacks=watching("train_batch_end"))
    wrapped.fit(stream(3), verbose=0)
    assert lines(wrapped)["training step, its data included"] == (3, 3)
