"""What the loop's owner writes around the loops, when a run is paused and gone on with."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from trainhooks import MLP, Callback, LoopRun, evaluate, fit
from trainhooks.testing import Constant, Do, StopAt, Trace


class Order:
    """A loader that shuffles with a generator of its own, and keeps its state."""

    def __init__(self, seed: int, size: int = 5) -> None:
        self.random, self.size = random.Random(seed), size

    def __iter__(self) -> Iterator[int]:
        yield from self.random.sample(range(self.size), self.size)

    def state_dict(self) -> Any:
        return self.random.getstate()

    def load_state_dict(self, state: Any) -> None:
        version, words, gauss = state
        self.random.setstate((version, tuple(words), gauss))


def test_no_line_of_the_owners_runs_after_a_pause_was_taken() -> None:
    ran: list[str] = []
    with LoopRun(callbacks=[StopAt(step=2, kind="pause")]) as run:
        for _epoch in run.epochs(2):
            try:
                for _batch in run.train(range(4)):
                    ran.append("batch")
            except Exception:  # what ends the lines is none
                ran.append("caught")
            finally:
                ran.append("finally")
            ran.append("after the loop")
        ran.append("after all")
    assert (ran, run.outcome, run.step) == (["batch", "batch", "finally"], "paused", 2)


def test_a_pause_ends_the_run_that_was_paused_and_not_the_one_around_it() -> None:
    with LoopRun() as outer:
        for _epoch in outer.epochs(1):
            for _batch in outer.train(range(2)):
                inner = fit(Constant(), range(3), callbacks=[StopAt(step=1, kind="pause")])
                assert (inner.outcome, inner.step) == ("paused", 1)
    assert (outer.outcome, outer.step) == ("completed", 2)


def test_an_evaluation_that_is_paused_gives_what_it_has() -> None:
    assert evaluate(Constant(2.0), range(3), callbacks=[StopAt("test_batch_end", kind="pause")]) == {"loss": 2.0}


def broken(*callbacks: Callback, resume: Any = None) -> tuple[LoopRun, list[int], list[str]]:
    """Passes that are left by a break, by the count of the run's batch."""
    rows: list[int] = []
    trace = Trace()
    with LoopRun(callbacks=[trace, *callbacks], resume=resume) as run:
        for _epoch in run.epochs(2):
            for row in run.train(range(6)):
                run.log(loss=row)
                rows.append(row)
                if run.batch == 2:
                    break
            for row in run.test(range(5)):
                run.log(loss=row)
                if row == 1:
                    break
    return run, rows, trace.names


WHOLE = broken()


@pytest.mark.parametrize("event", ["train_batch_end", "train_batch_begin", "test_batch_begin", "test_batch_end"])
@pytest.mark.parametrize("nth", range(6))
def test_a_pass_that_was_left_by_a_break_is_not_trained_on(event: str, nth: int) -> None:
    paused, before, _ = broken(StopAt(event, nth, kind="pause"))
    again, after, _ = broken(resume=paused.state_dict())
    assert (before + after, again.history, again.step) == (WHOLE[1], WHOLE[0].history, WHOLE[0].step)


@pytest.mark.parametrize("nth", range(6))
def test_a_save_just_before_a_break_knows_of_it(nth: int) -> None:
    class Keeps(Callback):
        state: Any = None

        def save(self, run: Any) -> None:
            self.state = run.state_dict()

    keeper = Keeps()
    crash = Do("epoch_begin", lambda run: 1 / 0, 1) if nth < 3 else Do("train_end", lambda run: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        broken(keeper, Do("train_batch_end", lambda run: run.save(), nth), crash)
    again, after, _ = broken(resume=keeper.state)
    done = keeper.state["progress"]["step"]
    assert (WHOLE[1][:done] + after, again.history) == (WHOLE[1], WHOLE[0].history)


def test_a_break_out_of_the_epochs_leaves_nothing_that_a_pause_could_put_off() -> None:
    with LoopRun(callbacks=[StopAt("epoch_end", kind="pause")]) as run:
        for _epoch in run.epochs(3):
            list(run.train(range(2)))
            break
    assert (run.outcome, run.epochs_done) == ("stopped", 1)


def by_turns(*callbacks: Callback, resume: Any = None) -> tuple[LoopRun, list[tuple[str, int]]]:
    """Validations that do not run in every epoch, each with a loader of its own."""
    seen: list[tuple[str, int]] = []
    rows, evens, others = Order(1), Order(2), Order(3)
    with LoopRun(callbacks=callbacks, resume=resume) as run:
        for epoch in run.epochs(5):
            seen += [("train", row) for row in run.train(rows)]
            if epoch % 2 == 0:
                seen += [("even", row) for row in run.test(evens, name="even")]
            seen += [("other", row) for row in run.test(others)]
    return run, seen


@pytest.mark.parametrize("nth", range(4))
def test_each_loader_goes_on_from_its_own_state_whichever_passes_an_epoch_has(nth: int) -> None:
    paused, _ = by_turns(StopAt("epoch_end", nth, kind="pause"))
    seen = by_turns()[1]
    after = by_turns(resume=paused.state_dict())[1]
    assert after == seen[-len(after) :] and len(after) > 5


def test_what_is_done_to_the_model_before_the_epochs_is_undone_by_a_resume() -> None:
    def run_it(*callbacks: Callback, resume: Any = None) -> tuple[LoopRun, Any]:
        model = MLP((2, 1), loss="mse")
        with LoopRun(model, callbacks, resume=resume) as run:
            model.weights["layer0/bias"][...] = 1.0  # begins with it; a resumed run does not begin
            for _epoch in run.epochs(3):
                for _batch in run.train(range(2)):
                    model.weights["layer0/bias"] += 1.0
        return run, model.weights["layer0/bias"].tolist()

    paused, _ = run_it(StopAt(step=3, kind="pause"))
    assert run_it(resume=paused.state_dict())[1] == run_it()[1] == [7.0]
