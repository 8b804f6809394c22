"""A run that is paused twice, whose passes are left by a break, whose loaders serve two passes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from trainhooks import Callback, LoopRun, Run
from trainhooks.testing import Do, StopAt


class Keeps(Callback):
    """Keeps the state of each save that is asked for at a batch's end."""

    def __init__(self) -> None:
        self.states: list[Any] = []

    def on_train_batch_end(self, run: Run) -> None:
        run.save()

    def save(self, run: Run) -> None:
        self.states.append(run.state_dict())


def with_break(*callbacks: Callback, resume: Any = None) -> tuple[LoopRun, list[Any], int]:
    """Two batches of training an epoch, by a break; then a line; then a validation."""
    seen: list[Any] = []
    with LoopRun(callbacks=callbacks, resume=resume) as run:
        for epoch in run.epochs(2):
            for x in run.train(range(4)):
                seen.append((epoch, "train", x))
                run.log(loss=x)
                if run.batch == 1:
                    break
            seen.append((epoch, "line"))
            seen += [(epoch, "val", x) for x in run.test(range(2))]
    return run, seen, run.step


@pytest.mark.parametrize("event, nth", [("train_batch_begin", 1), ("train_batch_end", 1), ("train_batch_begin", 3)])
def test_a_pass_that_was_left_by_a_break_is_over_when_a_pause_of_its_last_batch_is_gone_on_from(
    event: str, nth: int
) -> None:
    paused, _, _ = with_break(StopAt(event, nth, kind="pause"))
    _, seen, steps = with_break(resume=paused.state_dict())
    assert (steps, [one for one in seen if one[1] == "train" and one[2] > 1]) == (4, [])


def test_a_save_that_is_asked_for_in_the_batch_that_a_break_ends_is_gone_on_from_after_that_pass() -> None:
    keeps = Keeps()
    with_break(keeps)
    assert [with_break(resume=state)[2] for state in keeps.states] == [4] * len(keeps.states)


def test_an_epoch_that_was_asked_to_end_is_not_trained_on_after_a_second_pause() -> None:
    def go(*callbacks: Callback, resume: Any = None) -> tuple[LoopRun, list[Any]]:
        seen: list[Any] = []
        with LoopRun(callbacks=callbacks, resume=resume) as run:
            for _ in run.epochs(1):
                for x in run.train("abc"):
                    seen.append(x)
                    run.end_epoch()
                list(run.test("xy"))
                seen += run.train("de")
        return run, seen

    once, first = go(StopAt("test_batch_end", kind="pause"))
    twice, second = go(StopAt("test_batch_end", kind="pause"), resume=once.state_dict())
    assert first + second + go(resume=twice.state_dict())[1] == ["a"]


def test_run_batch_at_an_epochs_end_is_that_of_its_last_batch_when_that_was_before_the_pause() -> None:
    def go(*callbacks: Callback, resume: Any = None) -> tuple[LoopRun, list[int]]:
        seen: list[int] = []
        noted = Do("epoch_end", lambda run: seen.append(run.batch))
        with LoopRun(callbacks=[noted, *callbacks], resume=resume) as run:
            for _ in run.epochs(1):
                list(run.train(range(3)))
                list(run.test(range(2)))
        return run, seen

    paused = go(StopAt("test_batch_end", kind="pause"))[0]
    assert go(resume=paused.state_dict())[1] == go()[1] == [2]


class Stateful:
    """Rows without an end in sight: each pass goes on where the last one was left."""

    def __init__(self) -> None:
        self.at = 0

    def __iter__(self) -> Iterator[int]:
        while True:
            self.at += 1
            yield self.at

    def state_dict(self) -> dict[str, int]:
        return {"at": self.at}

    def load_state_dict(self, state: Any) -> None:
        self.at = state["at"]


def test_a_loader_that_serves_two_passes_keeps_its_place_over_two_pauses_in_the_first_of_them() -> None:
    def go(*callbacks: Callback, resume: Any = None) -> tuple[LoopRun, list[int]]:
        seen: list[int] = []
        loader = Stateful()
        with LoopRun(callbacks=callbacks, resume=resume) as run:
            for _ in run.epochs(2):
                for row in run.train(loader, limit=4):
                    seen.append(row)
                for row in run.test(loader, limit=2):
                    seen.append(row)
        return run, seen

    once, first = go(StopAt(step=5, kind="pause"))
    twice, second = go(StopAt("train_batch_end", 1, kind="pause"), resume=once.state_dict())
    third = go(resume=twice.state_dict())[1]
    assert first + second + third == go()[1]
