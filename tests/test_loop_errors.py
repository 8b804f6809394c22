"""The loop's verbs out of their order: each error says what was wrong and shows the right lines."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from trainhooks import Callback, LoopRun
from trainhooks.errors import LoopError
from trainhooks.testing import Trace, batches

RIGHT = """The loops of a run are nested like this:
    with trainhooks.wrap(model, callbacks=[...]) as run:
        for epoch in run.epochs(10):
            for batch in run.train(train_loader):
                ...
            for batch in run.test(val_loader):
                ..."""


def within(*verbs: str) -> Callable[[LoopRun], None]:
    """Loops of these verbs, each inside the one before."""

    def loop(run: LoopRun) -> None:
        first, rest = verbs[0], verbs[1:]
        for _ in getattr(run, first)(2 if first == "epochs" else batches(2)):
            if rest:
                within(*rest)(run)

    return loop


@pytest.mark.parametrize(
    "verbs, message",
    {
        ("train",): "run.train(...) outside run.epochs(...).",
        ("test", "train"): "run.train(...) inside run.test(...).",
        ("epochs", "train", "train"): "run.train(...) inside run.train(...).",
        ("epochs", "epochs"): "run.epochs(...) inside run.epochs(...).",
        ("epochs", "train", "epochs"): "run.epochs(...) inside run.train(...).",
        ("predict", "epochs"): "run.epochs(...) inside run.predict(...).",
        ("test", "test"): "run.test(...) inside run.test(...).",
        ("predict", "predict"): "run.predict(...) inside run.predict(...).",
        ("epochs", "train", "test", "predict"): "run.predict(...) inside run.test(...).",
    }.items(),
)
def test_a_loop_in_the_wrong_place_is_refused(verbs: tuple[str, ...], message: str) -> None:
    trace = Trace()
    with pytest.raises(LoopError) as refused, LoopRun(callbacks=[trace]) as run:
        within(*verbs)(run)
    assert str(refused.value) == f"{message}\n{RIGHT}"
    trace.check_grammar()


@pytest.mark.parametrize("verb", ["epochs", "train", "test", "predict"])
def test_a_loop_outside_the_with_is_refused(verb: str) -> None:
    run = LoopRun()
    with pytest.raises(LoopError) as before:
        within(verb)(run)
    with run:
        pass
    with pytest.raises(LoopError) as after:
        within(verb)(run)
    assert (str(before.value), str(after.value)) == (
        f"run.{verb}(...): the run has not begun.\n{RIGHT}",
        f"run.{verb}(...): the run is over.\n{RIGHT}",
    )


def test_a_run_cannot_be_entered_twice() -> None:
    with LoopRun() as run, pytest.raises(LoopError) as inside, run:
        pass
    with pytest.raises(LoopError) as later, run:
        pass
    assert [str(inside.value), str(later.value)] == [
        "this run has been entered before; make a new one with wrap(...) or LoopRun(...)"
    ] * 2


def log_before(run: LoopRun) -> None:
    run.log(loss=1)


def log_inside_without_a_scope(run: LoopRun) -> None:
    with run:
        run.log(loss=1)


def log_after_a_broken_validation(run: LoopRun) -> None:
    with run:
        for _ in run.test(batches(2)):
            break
        run.log(loss=1)


def log_after_training(run: LoopRun) -> None:
    with run:
        for _ in run.epochs(1):
            pass
        run.log(loss=1)


def log_after_broken_training(run: LoopRun) -> None:
    with run:
        for _ in run.epochs(2):
            break
        run.log(loss=1)


def log_when_over(run: LoopRun) -> None:
    with run:
        pass
    run.log(loss=1)


@pytest.mark.parametrize(
    "loop",
    [
        log_before,
        log_inside_without_a_scope,
        log_after_a_broken_validation,
        log_after_training,
        log_after_broken_training,
        log_when_over,
    ],
)
def test_a_log_with_nothing_open_is_refused(loop: Callable[[LoopRun], None]) -> None:
    with pytest.raises(LoopError) as refused:
        loop(LoopRun())
    assert str(refused.value) == f"run.log(...): no epoch, validation or prediction is open to log into.\n{RIGHT}"


@pytest.mark.parametrize("verb", ["train", "test"])
def test_a_stale_iterator_cannot_be_continued(verb: str) -> None:
    with LoopRun() as run:
        kept = None
        for _epoch in run.epochs(2):
            if kept is None:
                kept = iter(getattr(run, verb)(batches(5)))
                next(kept)
            else:
                with pytest.raises(LoopError) as refused:
                    next(kept)
    assert str(refused.value) == (
        f"this run.{verb}(...) was left, and the loop around it has gone on since; it cannot be continued"
    )


def test_a_kept_epochs_iterator_cannot_be_continued_after_the_with() -> None:
    with LoopRun() as run:
        kept = iter(run.epochs(2))
        next(kept)
    with pytest.raises(LoopError) as refused:
        next(kept)
    assert str(refused.value) == (
        "this run.epochs(...) was left, and the loop around it has gone on since; it cannot be continued"
    )
    assert (run.outcome, run.epochs_done) == ("stopped", 1)


def test_end_epoch_needs_an_epoch() -> None:
    with LoopRun() as run, pytest.raises(LoopError) as refused:
        run.end_epoch()
    assert str(refused.value) == "run.end_epoch(): no epoch is running. Ask for it between its begin and its end."


# One callback, many runs


class Quiet(Callback):
    pass


HELD = (
    "Quiet is attached to a run that is still open; a callback serves one run at a time.\n"
    "Leave the first run's `with` before the next begins, or make a second callback."
)


def test_a_callback_serves_one_open_run_at_a_time() -> None:
    quiet = Quiet()
    waiting = LoopRun(callbacks=[quiet])  # never entered: it holds nothing
    with LoopRun(callbacks=[quiet]) as first:
        with pytest.raises(LoopError) as made:
            LoopRun(callbacks=[quiet])
        with pytest.raises(LoopError) as entered, waiting:
            pass
        with LoopRun() as other, pytest.raises(LoopError) as added:
            other.add(quiet)
        assert quiet.run is first.run
    assert [str(one.value) for one in (made, entered, added)] == [HELD] * 3


def test_a_run_that_is_over_holds_no_callback() -> None:
    quiet, trace = Quiet(), Trace()
    for _ in range(2):
        with LoopRun(callbacks=[quiet, trace]) as run:
            assert quiet.run is run.run
    assert (quiet.run, trace.outline()) == (None, "setup teardown setup teardown")


def test_a_run_that_could_not_be_entered_can_be_entered_later() -> None:
    quiet, trace = Quiet(), Trace()
    waiting = LoopRun(callbacks=[quiet, trace])
    with LoopRun(callbacks=[quiet]), pytest.raises(LoopError), waiting:
        pass
    with waiting:
        pass
    assert (trace.outline(), waiting.outcome) == ("setup teardown", "completed")
