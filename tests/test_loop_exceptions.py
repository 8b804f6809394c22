"""An exception in a user's loop: raised on, caught, or on its way through a finally."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator

import pytest
from loops import Loop, tell

from trainhooks import LoopRun
from trainhooks.testing import RaiseAt, Trace, batches


def raise_in_a_batch(run: LoopRun) -> None:
    for _epoch in run.epochs(2):
        for batch in run.train(batches(2)):
            run.log(loss=1 / (1 - batch))


def raise_in_a_validation(run: LoopRun) -> None:
    for _epoch in run.epochs(2):
        for batch in run.test(batches(2)):
            run.log(loss=1 / batch)


def raise_in_an_epoch(run: LoopRun) -> None:
    for epoch in run.epochs(2):
        for batch in run.train(batches(1)):
            run.log(loss=batch)
        run.log(note=1 / (1 - epoch))


def raise_in_a_prediction(run: LoopRun) -> None:
    for batch in run.predict(batches(2)):
        run.log(outputs=1 / (1 - batch))


def raise_outside(run: LoopRun) -> None:
    for _epoch in run.epochs(1):
        pass
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    "loop, outline",
    [
        (raise_in_a_batch, "setup train[ epoch0[ batch0[] batch1[ exception(ZeroDivisionError) teardown"),
        (raise_in_a_validation, "setup train[ epoch0[ test[ batch0[ exception(ZeroDivisionError) teardown"),
        (
            raise_in_an_epoch,
            "setup train[ epoch0[ batch0[] ] epoch1[ batch0[] exception(ZeroDivisionError) teardown",
        ),
        (raise_in_a_prediction, "setup predict[ batch0[] batch1[ exception(ZeroDivisionError) teardown"),
        (raise_outside, "setup train[ epoch0[] ] exception(KeyboardInterrupt) teardown"),
    ],
)
def test_after_an_exception_what_was_open_stays_open(loop: Loop, outline: str) -> None:
    assert tell(loop, raises=(ZeroDivisionError, KeyboardInterrupt)) == outline


def test_a_caught_exception_ends_its_pass_and_the_run_goes_on() -> None:
    def loop(run: LoopRun) -> None:
        for _epoch in run.epochs(2):
            try:
                for batch in run.train(batches(3)):
                    run.log(loss=1 / (1 - batch))
            except ZeroDivisionError:
                pass
            for batch in run.test(batches(1)):
                run.log(loss=batch)

    assert tell(loop) == (
        "setup train[ epoch0[ batch0[] batch1[] test[ batch0[] ] ] "
        "epoch1[ batch0[] batch1[] test[ batch0[] ] ] ] teardown"
    )


def test_an_exception_caught_around_the_epochs_ends_them() -> None:
    def loop(run: LoopRun) -> None:
        with contextlib.suppress(ZeroDivisionError):
            raise_in_a_batch(run)
        assert run.epochs_done == 0
        for batch in run.test(batches(1)):
            run.log(loss=batch)
        assert (run.epochs_done, run.step) == (1, 1)

    assert tell(loop) == "setup train[ epoch0[ batch0[] batch1[] ] ] test[ batch0[] ] teardown"


def test_a_finally_that_logs_does_not_take_the_exception_for_a_break() -> None:
    def loop(run: LoopRun) -> None:
        for _epoch in run.epochs(2):
            try:
                for batch in run.train(batches(3)):
                    run.log(loss=1 / (1 - batch))
            finally:
                run.log(note=1)

    assert tell(loop, raises=ZeroDivisionError) == (
        "setup train[ epoch0[ batch0[] batch1[ exception(ZeroDivisionError) teardown"
    )


def test_an_except_that_logs_and_raises_does_not_take_the_exception_for_a_break() -> None:
    def loop(run: LoopRun) -> None:
        for _epoch in run.epochs(2):
            try:
                for batch in run.train(batches(3)):
                    run.log(loss=1 / (1 - batch))
            except ZeroDivisionError:
                run.log(failures=1)
                raise

    assert tell(loop, raises=ZeroDivisionError) == (
        "setup train[ epoch0[ batch0[] batch1[ exception(ZeroDivisionError) teardown"
    )


def test_a_log_in_an_except_goes_to_the_scope_that_the_except_stands_in() -> None:
    def loop(run: LoopRun) -> None:
        for _epoch in run.epochs(1):
            try:
                for _batch in run.train(batches(1)):
                    raise ZeroDivisionError
            except ZeroDivisionError:
                run.log(failures=1)
            try:
                for _batch in run.test(batches(1)):
                    raise ZeroDivisionError
            except ZeroDivisionError:
                run.log(failures=3)
        assert (run.history, run.step) == ([(0, {"failures": 2.0})], 0)

    assert tell(loop) == "setup train[ epoch0[ batch0[] test[ batch0[] ] ] ] teardown"


def test_a_log_in_an_except_around_everything_does_not_hide_the_exception() -> None:
    def loop(run: LoopRun) -> None:
        try:
            raise_in_a_batch(run)
        finally:
            run.log(note=1)

    assert tell(loop, raises=ZeroDivisionError) == (
        "setup train[ epoch0[ batch0[] batch1[ exception(ZeroDivisionError) teardown"
    )


def test_a_loader_that_raises_is_an_exception_between_two_batches() -> None:
    def loader() -> Iterator[float]:
        yield 1.0
        yield 1 / 0

    def loop(run: LoopRun) -> None:
        for _epoch in run.epochs(2):
            for batch in run.train(loader()):
                run.log(loss=batch)

    assert tell(loop, raises=ZeroDivisionError) == "setup train[ epoch0[ batch0[] exception(ZeroDivisionError) teardown"


def test_a_run_inside_an_except_block_still_tells_a_break_from_an_exception() -> None:
    trace = Trace()
    try:
        1 / 0  # noqa: B018
    except ZeroDivisionError:
        with LoopRun(callbacks=[trace]) as run:
            for _epoch in run.epochs(1):
                for _batch in run.train(batches(2)):
                    break
                run.log(note=7)
                assert trace.names[-1] == "train_batch_end"
    assert trace.outline() == "setup train[ epoch0[ batch0[] ] ] teardown"
    assert (run.history, run.step) == ([(0, {"note": 7.0})], 0)


def test_closing_a_generator_that_holds_the_with_interrupts_the_run() -> None:
    trace = Trace()

    def training(run: LoopRun) -> Iterator[int]:
        with run:
            for epoch in run.epochs(5):
                for batch in run.train(batches(1)):
                    run.log(loss=batch)
                yield epoch

    run = LoopRun(callbacks=[trace])
    steps = training(run)
    assert [next(steps), next(steps)] == [0, 1]
    steps.close()
    assert trace.outline() == ("setup train[ epoch0[ batch0[] ] epoch1[ batch0[] exception(GeneratorExit) teardown")
    assert run.outcome == "interrupted"


def test_where_warnings_are_errors_teardown_still_comes_and_the_first_exception_is_raised() -> None:
    trace = Trace()
    faults = [RaiseAt("exception"), RaiseAt("teardown")]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ZeroDivisionError):
            tell(raise_in_a_batch, *faults, trace)
    assert trace.outline().endswith("exception(ZeroDivisionError) teardown")
    assert [one.run for one in (*faults, trace)] == [None, None, None]
