"""profile(run): the table, and what it can be asked of."""

from __future__ import annotations

import numpy as np
import pytest
from clocks import Clock, Takes, loop_run

import trainhooks
from trainhooks import MLP, Callback, LoopRun, Run, profile
from trainhooks.errors import LoopError, duration
from trainhooks.profile import Line, Profile
from trainhooks.testing import Do, batches


def trained(clock: Clock) -> LoopRun:
    """Two epochs of 50 batches: the loader takes 2 ms a batch, a step 10, a callback 2 at its end, and 0.3 s in all."""
    watching = [Takes(clock, 0, 2 / 1000), Do("epoch_end", lambda run: clock.take(0.15), nth=None)]
    with loop_run(clock, *watching, each=64) as run:
        for _epoch in run.epochs(2):
            for _ in run.train(clock.loader(50, 2 / 1000)):
                clock.take(10 / 1000)
    return run


def test_it_prints_as_a_table() -> None:
    assert str(profile(trained(Clock()))) == (
        "                            times  timed    each  in all   share\n"
        "training step                 100      6   10 ms     1 s   58.8%\n"
        "Do.on_epoch_end                 2      2  150 ms  300 ms   17.6%\n"
        "Takes.on_train_batch_end      100      6    2 ms  200 ms   11.8%\n"
        "training: waiting for data     98      6    2 ms  196 ms   11.5%\n"
        "Takes.on_train_batch_begin    100      6    0 us    0 us    0.0%\n"
        "all else                                            4 ms    0.2%\n"
        "the run                                            1.7 s  100.0%"
    )


@pytest.mark.parametrize(
    "seconds, text",
    [
        (0, "0 us"),
        (5.6e-6, "5.6 us"),
        (0.000999999, "1 ms"),
        (0.0342, "34.2 ms"),
        (0.99999, "1 s"),
        (12.34, "12.3 s"),
        (7205.4, "7205 s"),
    ],
)
def test_a_duration_has_three_digits_and_no_power_of_ten(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_share_is_of_the_whole_run() -> None:
    found = profile(trained(Clock()))
    assert round(found.share("training step"), 3) == 0.588
    assert found.share("no such line") == 0.0


def test_the_slowest_comes_first_and_what_is_left_is_the_rest() -> None:
    found = Profile(10.0, (Line("b", 1, 1, 6.0), Line("a", 2, 1, 1.0)))
    assert (found.rest, found.share("b"), found._replace(seconds=5.0).rest) == (3.0, 0.6, 0.0)
    seconds = [line.seconds for line in profile(trained(Clock())).lines]
    assert seconds == sorted(seconds, reverse=True)


def test_a_run_that_took_no_time_has_no_shares() -> None:
    with loop_run(Clock()) as run:
        pass
    assert str(profile(run)) == (
        "          times  timed  each  in all  share\n"
        "all else                        0 us\n"
        "the run                         0 us"
    )


def test_it_can_be_asked_of_a_run_of_its_loop_and_of_a_callback_in_it() -> None:
    clock, found = Clock(), []

    class Asks(Callback):
        def on_epoch_end(self, run: Run) -> None:
            clock.take(1)
            found.extend([profile(run), profile(self)])

    with loop_run(clock, Asks()) as run:
        for _epoch in run.epochs(1):
            for _ in run.train(batches(2)):
                clock.take(5)
        found.append(profile(run))
    assert found[0] == found[1] == Profile(11, found[0].lines)
    assert found[2] == profile(run) == profile(run.run)
    assert [line.what for line in found[2].lines] == [
        "training step",
        "Asks.on_epoch_end",
        "training: waiting for data",
    ]


def test_it_can_be_asked_of_what_wrap_gives() -> None:
    data = [(np.zeros((4, 2), np.float32), np.zeros(4, int))] * 3
    model = MLP((2, 2))
    with trainhooks.wrap(model) as run:
        run.timings.every = 1
        for _epoch in run.epochs(2):
            for batch in run.train(data):
                run.log(model.train_step(batch))
    assert {line.what: (line.times, line.timed) for line in profile(run).lines} == {
        "training step": (6, 6),
        "training: waiting for data": (4, 4),
    }


@pytest.mark.parametrize("before", [LoopRun(), LoopRun().run, Callback()])
def test_before_it_has_begun_there_is_nothing_to_tell(before: object) -> None:
    with pytest.raises(LoopError) as caught:
        profile(before)
    assert str(caught.value) == "profile(...): it has not run yet. Ask when it has, or in a callback."


@pytest.mark.parametrize("other, said", [([1, 2], "[1, 2]"), (None, "None"), (Run, "<class 'trainhooks.run.Run'>")])
def test_of_something_else_it_is_refused(other: object, said: str) -> None:
    with pytest.raises(TypeError) as caught:
        profile(other)
    assert str(caught.value) == (
        f"profile({said}): a run is needed, or what wraps one, as trainhooks.wrap(model) gives it"
    )
