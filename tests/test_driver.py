"""The driver: what raises where, and that teardown reaches everyone once."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from trainhooks import Callback, LoopRun
from trainhooks.driver import Driver
from trainhooks.errors import GrammarError, LoopError
from trainhooks.events import EVENTS
from trainhooks.numpy_model import MLP
from trainhooks.testing import Do, RaiseAt, Trace, batches


class Saver(Callback):
    def save(self, run: Any) -> None:
        run.emit("checkpoint", path="k", logs=run.logs)


def everything(run: LoopRun) -> None:
    """A loop in which every event fires."""
    for _epoch in run.epochs(2):
        for batch in run.train(batches(2)):
            run.log(loss=batch)
            run.model.optimizer.step({})
        for batch in run.test(batches(1)):
            run.log(loss=batch)
        run.save()
        run.stop("enough")
    for batch in run.predict(batches(1)):
        run.log(outputs=batch)


ERRORS = [RuntimeError("asked for"), KeyboardInterrupt()]
IN_TRAINING = [name for name in EVENTS if name not in ("exception", "teardown")]
OUTCOMES = {"RuntimeError": "failed", "KeyboardInterrupt": "interrupted"}


@pytest.mark.parametrize("error", ERRORS, ids=OUTCOMES)
@pytest.mark.parametrize("event", IN_TRAINING)
def test_what_a_hook_raises_is_seen_by_all_and_raised_on(event: str, error: BaseException) -> None:
    before, after = Trace(optimizer_steps=True), Trace(optimizer_steps=True)
    before.phase = "observe"
    failing = RaiseAt(event, error=error)
    run = LoopRun(MLP((2, 1)), [before, failing, Saver(), after])
    with pytest.raises(type(error)) as raised, run:
        everything(run)
    assert raised.value is error
    assert (before.names[-3:], after.names[-2:]) == ([event, "exception", "teardown"], ["exception", "teardown"])
    assert (before.names.count("teardown"), after.names.count("teardown")) == (1, 1)
    assert before.events[-2][1] == {"exception": error}
    assert run.outcome == OUTCOMES[type(error).__name__]
    before.check_grammar()
    after.check_grammar()


@pytest.mark.parametrize("error", ERRORS, ids=OUTCOMES)
def test_a_teardown_that_raises_leaves_the_others_theirs_and_is_raised(error: BaseException) -> None:
    second = RaiseAt("teardown", error=ValueError("second"))
    trace = Trace()
    run = LoopRun(callbacks=[RaiseAt("teardown", error=error), second, trace])
    with (
        pytest.warns(RuntimeWarning) as warned,
        pytest.raises(type(error)) as raised,
        run,
    ):
        for _epoch in run.epochs(1):
            pass
    assert raised.value is error
    assert [str(one.message) for one in warned] == [
        "RaiseAt.on_teardown raised ValueError: second (the first exception is raised on)"
    ]
    assert (trace.outline(), run.outcome) == ("setup train[ epoch0[] ] teardown", OUTCOMES[type(error).__name__])
    assert (second.run, trace.run) == (None, None)


def test_what_on_exception_raises_does_not_replace_the_error() -> None:
    trace = Trace()
    error = ZeroDivisionError("the first")
    with (
        pytest.warns(RuntimeWarning) as warned,
        pytest.raises(ZeroDivisionError) as raised,
        LoopRun(callbacks=[RaiseAt("exception"), RaiseAt("teardown", error=KeyError("third")), trace]) as run,
    ):
        raise error
    assert raised.value is error
    assert [str(one.message) for one in warned] == [
        "RaiseAt.on_exception raised RuntimeError: asked for (the first exception is raised on)",
        "RaiseAt.on_teardown raised KeyError: 'third' (the first exception is raised on)",
    ]
    assert (trace.outline(), run.outcome) == ("setup exception(ZeroDivisionError) teardown", "failed")


def test_a_setup_that_fails_half_way_still_tears_everyone_down() -> None:
    first, last = Trace(), Trace()
    first.phase = "observe"
    with pytest.raises(RuntimeError), LoopRun(callbacks=[first, RaiseAt("setup"), last]):
        raise AssertionError("the body of the with must not run")
    assert (first.outline(), last.outline()) == (
        "setup exception(RuntimeError) teardown",
        "exception(RuntimeError) teardown",
    )


@pytest.mark.parametrize("event", ["train_begin", "epoch_begin", "test_begin", "predict_begin", "train_batch_begin"])
def test_a_scope_whose_begin_raised_ends_when_the_user_catches_it(event: str) -> None:
    trace = Trace()
    trace.phase = "observe"
    caught = 0
    with LoopRun(callbacks=[trace, RaiseAt(event)]) as run:
        for _ in range(2):
            try:
                for _epoch in run.epochs(1):
                    list(run.train(batches(1)))
                for verb in (run.test, run.predict):
                    list(verb(batches(1)))
            except RuntimeError:
                caught += 1
    trace.check_grammar()
    assert (caught, run.outcome) == (1, "completed")


def test_an_end_that_raised_is_not_ended_again() -> None:
    trace = Trace()
    trace.phase = "observe"
    with LoopRun(callbacks=[trace, RaiseAt("epoch_end")]) as run:
        with contextlib.suppress(RuntimeError):
            for _epoch in run.epochs(2):
                for batch in run.train(batches(1)):
                    run.log(loss=batch)
        for _epoch in run.epochs(2):
            pass
    assert trace.outline() == "setup train[ epoch0[ batch0[] ] ] train[ epoch1[] ] teardown"
    assert run.history == [(0, {"loss": 0.0}), (1, {})]


def test_an_end_that_is_owed_when_the_with_ends_may_still_fail_the_run() -> None:
    trace = Trace()
    trace.phase = "observe"
    with pytest.raises(RuntimeError), LoopRun(callbacks=[trace, RaiseAt("epoch_end")]) as run:
        next(iter(run.epochs(2)))
    assert (trace.outline(), run.outcome) == (
        "setup train[ epoch0[] exception(RuntimeError) teardown",
        "failed",
    )


class Grumbling(Callback):
    on_error = "warn"

    def on_epoch_begin(self) -> None:
        raise RuntimeError("no")

    def on_teardown(self) -> None:
        raise RuntimeError("no again")


def test_a_callback_that_warns_does_not_end_the_run_and_says_it_once() -> None:
    trace = Trace()
    with pytest.warns(RuntimeWarning) as warned, LoopRun(callbacks=[Grumbling(), trace]) as run:
        list(run.epochs(2))
    assert [str(one.message) for one in warned] == [
        "Grumbling.on_epoch_begin raised RuntimeError: no (training goes on)"
    ]
    assert (trace.outline(), run.outcome) == ("setup train[ epoch0[] epoch1[] ] teardown", "completed")


# The driver's own contract, as an adapter meets it


def test_a_scope_out_of_place_is_refused_and_nothing_is_fired() -> None:
    trace = Trace()
    driver = Driver(None, [trace])
    driver.setup()
    with pytest.raises(GrammarError) as opened:
        driver.open("epoch")
    with pytest.raises(GrammarError) as closed:
        driver.close("train")
    driver.teardown()
    assert (str(opened.value), str(closed.value)) == (
        "'epoch' cannot begin inside 'run': its place is in 'train'.",
        "'train' cannot end: open is 'run'",
    )
    assert trace.outline() == "setup teardown"


def test_a_driver_sets_up_once_and_tears_down_once() -> None:
    trace = Trace()
    driver = Driver(None, [trace])
    driver.setup()
    with pytest.raises(LoopError, match=r"^a run begins once: make a new one$"):
        driver.setup()
    driver.teardown()
    driver.teardown()
    driver.fail(RuntimeError("too late"))
    assert (trace.outline(), driver.outcome) == ("setup teardown", "completed")


def test_a_batch_that_was_dropped_has_no_end_and_does_not_count() -> None:
    trace = Trace()
    driver = Driver(None, [trace])
    driver.setup()
    driver.open("train")
    driver.open("epoch", epoch=0)
    driver.open("pass")
    driver.batch_begin(0)
    driver.batch_end()
    driver.batch_begin(1)
    driver.drop_batch()
    driver.close_down(1)
    driver.teardown()
    assert trace.names.count("train_batch_end") == 1
    assert driver.run.step == 1


def test_a_trainer_that_goes_on_after_a_pause_drives_nothing_but_the_stack() -> None:
    trace = Trace()
    driver = Driver(None, [Do("train_batch_end", lambda run: run.stop("time", kind="pause")), Saver(), trace])
    driver.setup()
    driver.open("train")
    driver.open("epoch", epoch=0)
    driver.open("pass")
    for batch in range(3):
        driver.batch_begin(batch)
        driver.batch_end()
    driver.close("pass")
    driver.open("test")
    driver.close("test")
    driver.close("epoch")
    driver.close("train")
    driver.teardown()
    assert trace.outline() == "setup train[ epoch0[ batch0[] stop checkpoint(k) teardown"
    assert (driver.outcome, driver.run.step, driver.run.epochs_done) == ("paused", 1, 0)


def test_after_an_exception_there_is_no_reason_to_stop() -> None:
    with pytest.raises(RuntimeError, match="asked for"), LoopRun(callbacks=[RaiseAt("epoch_begin", 1)]) as run:
        for _ in run.epochs(3):
            pass
    assert (run.outcome, run.stop_reason) == ("failed", None)


# What an adapter's author gets wrong, and what it is given

_WELL_PLACED = "a batch has its place in 'pass', 'test', 'predict', and open is "
_SCOPES = "There are 'train', 'epoch', 'test', 'predict', 'pass'."


@pytest.mark.parametrize(
    "opened, act, said",
    [
        ("", lambda one: one.open("trane"), f"open('trane'): there is no such scope. Did you mean 'train'? {_SCOPES}"),
        ("", lambda one: one.open("run"), f"open('run'): there is no such scope. {_SCOPES}"),
        (
            "train",
            lambda one: one.open("test"),
            "'test' cannot begin inside 'train': its place is in 'run', 'epoch', 'pass'. A validation comes before its "
            "epoch is closed; an evaluation alone has a driver of its own.",
        ),
        ("train epoch", lambda one: one.batch_begin(0), f"{_WELL_PLACED}'epoch'. Open 'pass' first."),
        ("train", lambda one: one.batch_end(), f"{_WELL_PLACED}'train'."),
        ("train", lambda one: one.log({"loss": 1.0}), "log(['loss']): 'train' is open, which has no metrics"),
    ],
)
def test_a_verb_out_of_its_place_says_what_the_place_is(opened: str, act: Any, said: str) -> None:
    driver: Any = Driver()
    driver.setup()
    for kind in opened.split():
        driver.open(kind)
    with pytest.raises(GrammarError) as caught:
        act(driver)
    assert str(caught.value) == said


def test_a_carried_run_closes_what_is_open_at_a_good_end_and_tells_of_an_exception() -> None:
    good, bad = Trace(), Trace()
    with Driver(callbacks=[good]).carried() as driver:
        driver.open("train", epochs=1, steps=1)
        driver.open("epoch")
        driver.open("pass")
        driver.batch_begin(0)
        driver.log({"loss": 2.0}, n=3)
    run = driver.run
    failing = Driver(callbacks=[RaiseAt("train_begin", error=ZeroDivisionError()), bad])
    with pytest.raises(ZeroDivisionError), failing.carried():
        failing.open("train")
    assert good.outline() == "setup train[ epoch0[ batch0[] ] ] teardown"
    assert (run.outcome, run.history[0].logs, run.steps_per_epoch) == ("completed", {"loss": 2.0}, 1)
    assert (bad.outline(), failing.run.outcome) == ("setup exception(ZeroDivisionError) teardown", "failed")


def test_log_gives_running_means_and_the_batchs_own_values() -> None:
    seen: list[Any] = []
    look = Do("train_batch_end", lambda run: seen.append((run.logs["loss"], run.batch_logs["loss"])), nth=None)
    with Driver(MLP((1, 1)), callbacks=[look]).carried() as driver:
        driver.open("train")
        driver.open("epoch")
        driver.open("pass")
        for batch, loss in enumerate((1.0, 4.0)):
            driver.batch_begin(batch)
            driver.log({"loss": loss}, n=batch + 1)
            driver.batch_end()
    assert seen == [(1.0, 1.0), (3.0, 4.0)]


def test_a_stop_of_the_trainers_own_is_told_when_it_is_attended_to() -> None:
    trace = Trace()
    with Driver(callbacks=[trace]).carried() as driver:
        driver.open("train", epochs=2)
        driver.run.stop("the trainer stopped", source="mine")
        driver.attend()
    assert trace.outline() == "setup train[ stop ] teardown"


def test_a_batch_that_a_trainer_looks_aside_in_and_ends_after_all_keeps_its_number() -> None:
    ended: list[int] = []

    class Ends(Callback):
        def on_train_batch_end(self, batch: int) -> None:
            ended.append(batch)

    driver = Driver(callbacks=[Ends()])
    with driver.carried():
        driver.open("train")
        driver.open("epoch")
        driver.open("pass")
        for batch in range(2):
            driver.batch_begin(batch)
            driver.drop_batch()  # thought never to end, since it evaluates; but a callback of its own does
            driver.open("test")
            driver.close("test")
            driver.batch_end()
    assert ended == [0, 1]
