"""The warning of a listener that takes longer than the step that it listens to."""

from __future__ import annotations

import pytest
from clocks import Clock, Takes, loop_run, told, train

from trainhooks import every
from trainhooks.testing import batches


def test_a_listener_that_takes_longer_than_the_step_is_named_once_when_it_is_sure() -> None:
    clock = Clock()
    run = loop_run(clock, Takes(clock, 0, 2), each=64)
    assert told(run, clock, train(run, 1000), step=0.5) == [
        (
            9,  # the third that was timed
            "Takes.on_train_batch_end takes 2 s a batch, longer than the training step itself (500 ms): 80% of the "
            "time of a batch. Have it do its work less often, as with @trainhooks.every(steps=100), or at the end of "
            "the epoch. (Where it reads what the step still computes, it is charged with the wait for that.) "
            "print(trainhooks.profile(run)) "
            "shows where the time goes.",
        )
    ]


def test_it_is_named_only_when_it_has_taken_a_second_in_all() -> None:
    clock = Clock()
    run = loop_run(clock, Takes(clock, 0, 2 / 1024))
    ((batch, text),) = told(run, clock, train(run, 1000), step=1 / 1024)
    assert batch == 511
    assert text.startswith("Takes.on_train_batch_end takes 1.95 ms a batch, longer than the training step itself (977 ")


@pytest.mark.parametrize("each", [1, 64])
@pytest.mark.parametrize(
    "steps, seconds", [(3, 2.5), (4, 3.0), (5, 4.0), (8, 6.0), (10, 8.0), (64, 48.0), (100, 75.0), (100, 900.0)]
)
def test_what_is_slow_at_few_batches_is_not_named(steps: int, seconds: float, each: int) -> None:
    clock = Clock()
    run = loop_run(clock, each=each)
    run.on("train_batch_end", every(steps=steps))(lambda: clock.take(seconds))
    assert told(run, clock, train(run, 2000), step=1.0) == []


def test_a_slow_callback_on_validation_is_named_by_its_step() -> None:
    clock = Clock()
    run = loop_run(clock, Takes(clock, 0, 2))
    ((batch, text),) = told(run, clock, run.test(batches(9)), step=1)
    assert batch == 2
    assert text.startswith("Takes.on_test_batch_end takes 2 s a batch, longer than the validation step itself (1 s): ")
