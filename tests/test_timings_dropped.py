"""Batches that are not what was to be timed do not count; and timing changes nothing of a run."""

from __future__ import annotations

import gc
import warnings
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from clocks import Clock, Takes, figures, is_put_back, loop_run, told, train
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import batches as rows
from small_models import same

from trainhooks import MLP, Callback, Driver, LoopRun, fit
from trainhooks.testing import Do, RaiseAt, Trace, batches
from trainhooks.testing.strategies import Program, execute, meddlers, programs


def test_a_batch_that_is_left_does_not_count_nor_do_the_lines_after_it() -> None:
    clock = Clock()
    with loop_run(clock, Takes(clock, 1, 2)) as run:
        for _epoch in run.epochs(2):
            for batch in run.train(batches(4)):
                clock.take(5)
                if batch == 2:
                    break
            clock.take(1000)
    assert figures(run)["training step"] == (6, 4, 30)
    assert figures(run)["Takes.on_train_batch_begin"] == (6, 4, 6)
    assert is_put_back(run)


def test_a_validation_inside_a_batch_is_no_part_of_a_training_step() -> None:
    clock = Clock()
    with loop_run(clock, Takes(clock, 0, 2)) as run:
        for _epoch in run.epochs(1):
            for batch in run.train(batches(6)):
                clock.take(5)
                if batch == 3:
                    for _ in run.test(batches(10)):
                        clock.take(100)
    assert figures(run) == {
        "validation step": (10, 10, 1000),
        "training step": (6, 5, 30),
        "Takes.on_test_batch_end": (10, 10, 20),
        "Takes.on_train_batch_end": (6, 5, 12),
        "Takes.on_train_batch_begin": (6, 5, 0),
        "training: waiting for data": (5, 4, 0),
        "validation: waiting for data": (9, 9, 0),
    }


@pytest.mark.parametrize("event", ["train_batch_begin", "train_batch_end"])
def test_a_batch_in_which_a_listener_raises_does_not_count(event: str) -> None:
    clock = Clock()
    with loop_run(clock, Takes(clock, 1, 2), RaiseAt(event, 2)) as run:
        for _epoch in run.epochs(2):
            try:
                for _ in run.train(batches(4)):
                    clock.take(5)
            except RuntimeError:
                clock.take(1000)
    assert figures(run)["training step"] == (7, 6, 35)
    assert figures(run)["Takes.on_train_batch_begin"] == (7, 6, 7)
    assert is_put_back(run)


def changing(event: str, where: str, each: int) -> tuple[LoopRun, list[int], int]:
    """A run in which, in batch 4, one who listens to ``event`` comes and one goes; what the two of them heard."""
    clock, model, heard = Clock(), MLP((5, 3)), list[int]()
    goes = Do(event, lambda run: None, nth=None)
    run = loop_run(clock, Takes(clock, 1, 2), Optimizing(clock), goes, each=each, trainable=model)

    def change(place: str, number: int) -> None:
        if (place, number) == (where, 4):
            run.on(event)(lambda: heard.append(run.step))
            run.bus.remove(goes)

    def loader() -> Iterator[Any]:
        for number, batch in enumerate(rows(6)):
            change("loader", number)
            yield batch

    run.on("train_batch_begin")(lambda batch: change("train_batch_begin", batch))
    run.on("train_batch_end")(lambda batch: change("train_batch_end", batch))
    with run:
        for _epoch in run.epochs(1):
            for number, batch in enumerate(run.train(loader())):
                clock.take(5)
                model.train_step(batch)
                change("step", number)
    return run, heard, goes.fired


class Optimizing(Callback):
    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def on_optimizer_step(self) -> None:
        self.clock.take(4)


@pytest.mark.parametrize("event", ["train_batch_begin", "train_batch_end", "optimizer_step", "epoch_end"])
@pytest.mark.parametrize("where", ["train_batch_begin", "step", "train_batch_end", "loader"])
def test_a_batch_in_which_listeners_come_or_go_does_not_count(event: str, where: str) -> None:
    run, *heard = changing(event, where, each=1)
    found, timed = figures(run), 6 if where == "train_batch_end" else 5
    assert found["training step"] == (6, timed, 30)
    assert found["Optimizing.on_optimizer_step"] == (6, timed, 24)
    assert found["Takes.on_train_batch_begin"] == (6, timed, 6)
    assert is_put_back(run)
    assert heard == [*changing(event, where, each=10**9)[1:]]


def test_a_listener_that_is_disabled_while_it_is_timed_is_called_no_more() -> None:
    clock, calls = Clock(), []

    class Fails(Callback):
        on_error = "disable"

        def on_train_batch_begin(self, batch: int) -> None:
            calls.append(batch)
            raise RuntimeError("asked for")

        def on_train_batch_end(self, batch: int) -> None:
            calls.append(batch)

    run = loop_run(clock, Fails(), Takes(clock, 1, 2))
    ((batch, text),) = told(run, clock, train(run, 4), step=5)
    assert (batch, text) == (
        -1,
        "Fails.on_train_batch_begin raised RuntimeError: asked for (it is disabled for the rest of the run)",
    )
    assert calls == [0]
    assert figures(run)["training step"] == (4, 3, 20)
    assert figures(run)["Takes.on_train_batch_end"] == (4, 3, 8)


def test_a_callback_that_joins_is_timed_from_then_on() -> None:
    clock = Clock()
    with loop_run(clock) as run:
        for epoch in run.epochs(2):
            if epoch == 1:
                run.add(Takes(clock, 0, 2))
            for _ in run.train(batches(4)):
                clock.take(5)
    assert run.timings.spent["on_train_batch_end", "Takes.on_train_batch_end"].times == 4
    assert figures(run)["training step"] == (8, 8, 40)


def test_a_batch_that_is_begun_and_never_ended_does_not_count() -> None:
    clock = Clock()
    driver = Driver(None, [Takes(clock, 1, 2)])
    driver.timings.clock, driver.timings.every = clock, 1
    with driver.carried():
        driver.open("train")
        for epoch in range(2):
            driver.open("epoch", epoch=epoch)
            driver.open("pass")
            for batch in range(3):
                driver.batch_begin(batch)
                clock.take(5)
                driver.batch_end()
            driver.batch_begin(3)
            driver.drop_batch()
            driver.close("pass")
            driver.close("epoch")
    assert driver.timings.samplers["pass"].stepped == 30
    assert driver.timings.spent["on_train_batch_begin", "Takes.on_train_batch_begin"].seconds == 6


def test_a_callback_that_was_taken_off_is_not_kept() -> None:
    clock = Clock()
    taken = Takes(clock, 1, 1)
    gone = weakref.ref(taken)
    with loop_run(clock, taken) as run:
        for epoch in run.epochs(2):
            for _ in run.train(batches(3)):
                clock.take(5)
            if epoch == 0:
                run.bus.remove(taken)
                del taken
        gc.collect()
        assert gone() is None
    assert run.timings.spent["on_train_batch_end", "Takes.on_train_batch_end"].seconds == 3


# Timing changes nothing


def played(program: Program, meddling: list[Do], each: int) -> tuple[str, str, int, bool]:
    """What a run of ``program`` tells, what it raised, how many steps it counted, and whether all is put back."""
    trace = Trace()
    run = LoopRun(callbacks=[*meddling, trace])
    run.timings.every = each
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of second exceptions
        raised = execute(program, run).raised
    return trace.outline(), repr(raised), run.step, raised is not None or is_put_back(run)


@settings(max_examples=200, deadline=None)
@given(programs(), st.lists(meddlers(), max_size=2))
def test_a_run_that_is_timed_is_the_same_run(program: Program, meddling: list[Do]) -> None:
    found = []
    for each in (1, 2, 10**9):
        for one in meddling:
            one.fired = 0
        found.append(played(program, meddling, each))
    assert found[0] == found[1] == found[2]
    assert found[0][3]


def test_a_model_that_is_timed_learns_the_same() -> None:
    states = []
    for each in (1, 10**9):
        model = MLP((5, 4, 3), optimizer="adam", seed=0)
        trace, share = Trace(), Do("setup", lambda run, each=each: setattr(run.timings, "every", each))
        fit(model, rows(6), epochs=2, validation_data=rows(2, seed=1), callbacks=[share, trace])
        states.append((trace.outline(), model.get_weights()))
    assert states[0][0] == states[1][0]
    assert same(states[0][1], states[1][1])
    assert all(np.isfinite(one).all() for one in states[0][1].values())
