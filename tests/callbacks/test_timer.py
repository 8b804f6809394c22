"""Timer: training ends when its time is up, by a clock that the tests set."""

from __future__ import annotations

import json
import math
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest

from trainhooks import Callback, LoopRun
from trainhooks.callbacks.timer import Timer
from trainhooks.testing import Do, RaiseAt, StopAt, Trace, batches


class Clock:
    """Tells the time that it was set to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def trained(
    clock: Clock,
    *callbacks: Callback,
    epochs: int = 3,
    resume: Any = None,
    step: float = 1.0,
    check: float = 1.0,
    **options: Any,
) -> LoopRun:
    """Epochs of two training batches, each of ``step`` seconds, and two validation batches of ``check`` seconds."""
    with LoopRun(callbacks=callbacks, resume=resume, **options) as run:
        for _ in run.epochs(epochs):
            for _ in run.train(batches(2)):
                clock.now += step
                run.log(loss=1.0)
            for _ in run.test(batches(2)):
                clock.now += check
                run.log(loss=1.0)
    return run


EPOCH0 = "epoch0[ batch0[] batch1[] test[ batch0[] batch1[] ] ]"


# What it does when the time is up


def test_a_duration_is_a_decision_validation_and_the_end_of_the_epoch_follow() -> None:
    clock, trace = Clock(), Trace()
    run = trained(clock, Timer(5, clock=clock), trace)
    assert trace.outline() == f"setup train[ {EPOCH0} epoch1[ batch0[] stop test[ batch0[] batch1[] ] ] ] teardown"
    assert (run.outcome, run.stop_kind, run.stop_source, run.stop_reason) == (
        "stopped",
        "decision",
        "Timer",
        "the time limit of 0:00:05 is reached",
    )


def test_a_time_of_day_is_a_pause_taken_between_two_batches() -> None:
    clock, trace = Clock(), Trace()
    until = datetime.now() + timedelta(hours=1)
    run = trained(clock, Timer(until=until, clock=clock), trace, step=1000, check=500)
    assert trace.outline() == f"setup train[ {EPOCH0} epoch1[ batch0[] stop teardown"
    assert (run.outcome, run.stop_kind, run.stop_reason) == (
        "paused",
        "pause",
        f"the time limit at {until} is reached",
    )


def test_a_pause_is_taken_between_validation_batches_and_a_decision_is_not() -> None:
    told = []
    for kind in ("pause", "decision"):
        clock, trace = Clock(), Trace()
        trained(clock, Timer(3, kind=kind, clock=clock), trace)  # type: ignore[arg-type]
        told.append(trace.outline())
    assert told == [
        "setup train[ epoch0[ batch0[] batch1[] test[ batch0[] stop teardown",
        "setup train[ epoch0[ batch0[] batch1[] test[ batch0[] batch1[] ] ] stop ] teardown",
    ]


def test_with_interval_epoch_it_looks_at_the_ends_of_epochs_only() -> None:
    clock, trace = Clock(), Trace()
    run = trained(clock, Timer(1, kind="pause", interval="epoch", clock=clock), trace)
    assert trace.outline() == f"setup train[ {EPOCH0} stop teardown"
    assert run.outcome == "paused"


def test_a_margin_stops_so_much_earlier() -> None:
    clock = Clock()
    run = trained(clock, Timer(5, margin=timedelta(seconds=3), clock=clock))
    assert (run.step, run.stop_reason) == (2, "the time limit of 0:00:05 is reached, less a margin of 0:00:03")


def test_a_margin_is_kept_before_a_time_too() -> None:
    clock, until = Clock(), datetime.now() + timedelta(hours=1)
    run = trained(clock, Timer(until=until, margin=2000, clock=clock), step=1000)
    assert (run.step, run.stop_reason) == (2, f"the time limit at {until} is reached, less a margin of 0:33:20")


@pytest.mark.parametrize("duration, steps", [(2.0, 2), (2.0001, 3)])
def test_a_limit_is_reached_as_soon_as_the_time_is_as_much(duration: float, steps: int) -> None:
    clock = Clock()
    assert trained(clock, Timer(duration, clock=clock), check=0).step == steps


def test_the_first_of_two_limits_holds_in_its_own_way() -> None:
    until = datetime.now() + timedelta(hours=1)
    kinds = []
    for duration in (10.0, 7200.0):
        clock = Clock()
        kinds.append(trained(clock, Timer(duration, until=until, clock=clock), step=1500).stop_kind)
    assert kinds == ["decision", "pause"]


def test_a_pause_follows_a_decision_whose_validation_takes_too_long() -> None:
    clock, trace = Clock(), Trace()
    until = datetime.now() + timedelta(hours=1)
    run = trained(clock, Timer(1, until=until, clock=clock), trace, check=4000)
    assert trace.outline() == "setup train[ epoch0[ batch0[] stop test[ batch0[] teardown"
    assert run.outcome == "paused"


@pytest.mark.parametrize("until", [datetime(2020, 1, 1), datetime(2020, 1, 1, tzinfo=timezone.utc)])
def test_a_time_that_has_passed_pauses_before_the_first_batch(until: datetime) -> None:
    trace = Trace()
    run = trained(Clock(), Timer(until=until), trace)
    assert (trace.outline(), run.outcome) == ("setup train[ stop teardown", "paused")


def test_without_a_limit_it_measures_and_listens_to_no_batch() -> None:
    clock = Clock()
    timer = Timer(clock=clock)
    run = trained(clock, timer, epochs=2)
    assert (run.outcome, timer.elapsed, timer.remaining) == ("completed", 8.0, None)
    assert not run.bus.listens("train_batch_end") and not run.bus.listens("test_batch_end")


@pytest.mark.parametrize(
    "settings, listens",
    [
        ({"duration": 9}, (True, False)),
        ({"duration": 9, "kind": "pause"}, (True, True)),
        ({"until": datetime(2100, 1, 1)}, (True, True)),
        ({"until": datetime(2100, 1, 1), "kind": "decision"}, (True, False)),
        ({"until": datetime(2100, 1, 1), "interval": "epoch"}, (False, False)),
    ],
)
def test_only_the_batches_that_matter_are_listened_to(settings: Any, listens: tuple[bool, bool]) -> None:
    bus = LoopRun(callbacks=[Timer(**settings)]).bus
    assert (bus.listens("train_batch_end"), bus.listens("test_batch_end")) == listens


def test_a_decision_waits_for_min_epochs() -> None:
    clock = Clock()
    run = trained(clock, Timer(1, clock=clock), min_epochs=2)
    assert (run.epochs_done, run.stop_reason) == (2, "the time limit of 0:00:01 is reached")


def test_verbose_prints_it_once(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    trained(clock, Timer(1, verbose=1, clock=clock))
    assert capsys.readouterr().out == "Epoch 1: the time limit of 0:00:01 is reached.\n"


# What it measures


def test_elapsed_and_remaining_go_with_the_clock() -> None:
    clock = Clock()
    timer = Timer(20, margin=5, clock=clock)
    seen: list[Any] = []
    look = Do("test_batch_end", lambda run: seen.append((timer.elapsed, timer.remaining)), nth=None)
    trained(clock, timer, look, epochs=1)
    assert seen == [(3.0, 17.0), (4.0, 16.0)]
    clock.now += 100  # it is over
    assert (timer.elapsed, timer.remaining) == (4.0, 16.0)


def test_time_elapsed_tells_training_from_validation() -> None:
    clock = Clock()
    timer = Timer(clock=clock)
    trained(clock, timer, epochs=2, step=3)
    assert (timer.time_elapsed(), timer.time_elapsed("validate"), timer.elapsed) == (12.0, 4.0, 16.0)
    with pytest.raises(ValueError) as caught:
        timer.time_elapsed("validat")  # type: ignore[arg-type]
    assert str(caught.value) == ("Timer.time_elapsed('validat'): one of 'train', 'validate'. Did you mean 'validate'?")


def test_a_validation_inside_a_batch_is_validation_too() -> None:
    clock = Clock()
    timer = Timer(clock=clock)
    with LoopRun(callbacks=[timer]) as run:
        for _ in run.epochs(1):
            for _ in run.train(batches(1)):
                clock.now += 1
                for _ in run.test(batches(1)):
                    clock.now += 10
                clock.now += 100
    assert (timer.time_elapsed("train"), timer.time_elapsed("validate")) == (101.0, 10.0)


def test_remaining_until_a_time_is_known_before_and_while_it_trains() -> None:
    clock, until = Clock(), datetime.now() + timedelta(hours=1)
    timer = Timer(until=until, clock=clock)
    seen: list[Any] = [timer.remaining]
    trained(clock, timer, Do("train_batch_end", lambda run: seen.append(timer.remaining)), step=3000)
    assert 3000 < seen[0] <= 3600 and 0 <= seen[1] <= 600  # a test that takes ten minutes would fail


def test_what_passes_before_training_and_in_an_evaluation_alone_does_not_count() -> None:
    clock = Clock()
    timer = Timer(1, kind="pause", clock=clock)
    with LoopRun(callbacks=[timer]) as run:
        for _ in run.test(batches(2)):
            clock.now += 10
    assert (run.outcome, timer.elapsed, run.stop_kind) == ("completed", 0.0, None)


def test_an_evaluation_after_training_is_not_stopped() -> None:
    clock = Clock()
    timer = Timer(5, kind="pause", clock=clock)
    with LoopRun(callbacks=[timer]) as run:
        for _ in run.epochs(1):
            clock.now += 4
        for _ in run.test(batches(2)):
            clock.now += 10
    assert (run.outcome, run.stop_kind, timer.elapsed) == ("completed", None, 4.0)


def test_what_is_over_the_limit_leaves_nothing_and_no_less() -> None:
    clock = Clock()
    timer = Timer(3, clock=clock)
    trained(clock, timer)
    assert (timer.elapsed, timer.remaining) == (4.0, 0.0)


def test_one_that_is_attached_in_mid_training_counts_from_the_next_epoch() -> None:
    clock = Clock()
    timer = Timer(5, clock=clock)
    run = trained(clock, Do("epoch_end", lambda run: run.add(timer)), epochs=9)
    assert (run.step, timer.elapsed) == (5, 7.0)


# Over runs


def saved(clock: Clock, timer: Timer, epochs: int = 1) -> Any:
    run = trained(clock, timer, epochs=epochs)
    return json.loads(json.dumps(run.state_dict()))


def test_a_resumed_run_has_what_is_left() -> None:
    clock = Clock()
    state = saved(clock, Timer(6, clock=clock))
    clock.now = 5.0  # another process, another beginning
    timer = Timer(6, clock=clock)
    run = trained(clock, timer, resume=state)
    assert (run.step, timer.elapsed, run.stop_kind) == (4, 8.0, "decision")


def test_a_pause_after_a_duration_goes_on_with_a_longer_one_and_says_so_with_the_same() -> None:
    clock = Clock()
    state = saved(clock, Timer(4, kind="pause", interval="epoch", clock=clock))
    again, trace = Timer(4, kind="pause", clock=clock), Trace()
    run = trained(clock, again, trace, resume=state)
    assert (trace.outline(), run.stop_reason) == (
        "setup train[ stop teardown",
        "the time limit of 0:00:04 is reached: a resumed run needs a longer one",
    )
    assert trained(clock, Timer(100, kind="pause", clock=clock), resume=state).outcome == "completed"


def test_a_state_that_is_taken_while_it_runs_holds_the_time_until_then() -> None:
    clock = Clock()
    timer, states = Timer(clock=clock), []
    trained(clock, timer, Do("epoch_end", lambda run: states.append(timer.state_dict()), nth=None), epochs=2)
    assert states == [{"train": 2.0, "validate": 2.0}, {"train": 4.0, "validate": 4.0}]


def test_a_new_run_begins_from_zero() -> None:
    clock = Clock()
    timer = Timer(6, clock=clock)
    runs = [trained(clock, timer) for _ in range(2)]
    assert [(run.step, run.outcome) for run in runs] == [(4, "stopped")] * 2


def test_an_exception_in_a_validation_ends_what_is_measured() -> None:
    clock = Clock()
    timer = Timer(clock=clock)
    with pytest.raises(RuntimeError, match="asked for"):
        trained(clock, timer, RaiseAt("test_batch_end"))
    clock.now += 50
    assert timer.state_dict() == {"train": 2.0, "validate": 1.0}


def test_a_pause_in_a_validation_ends_what_is_measured() -> None:
    clock = Clock()
    timer = Timer(clock=clock)
    trained(clock, timer, StopAt("test_batch_end", kind="pause"))
    clock.now += 50
    assert timer.state_dict() == {"train": 2.0, "validate": 1.0}


def test_teardown_may_come_alone_and_twice() -> None:
    timer = Timer(5, clock=Clock())
    timer.on_teardown()
    timer.on_teardown()
    assert timer.elapsed == 0.0


# Its arguments


@pytest.mark.parametrize(
    "duration, seconds",
    [
        (90, 90.0),
        (np.float32(1.5), 1.5),
        (timedelta(minutes=2), 120.0),
        ("01:02:03:04", 93784.0),
        ("00:00:00:01", 1.0),
        ("1.5m", 90.0),
    ],
)
def test_a_duration_is_seconds_a_timedelta_or_text(duration: Any, seconds: float) -> None:
    assert Timer(duration).duration == seconds


@pytest.mark.parametrize(
    "settings, kind, message",
    [
        (
            {"duration": "08:30:00"},
            ValueError,
            "Timer(duration='08:30:00'): text is '90s', '30m', '8.5h', or 'DD:HH:MM:SS', days to "
            "seconds, as '00:08:30:00' for eight and a half hours",
        ),
        ({"duration": "00:24:00:00"}, ValueError, None),
        ({"duration": 0}, ValueError, "Timer(duration=0, margin=0): the duration is above 0 and the margin"),
        (
            {"duration": 5, "margin": 5},
            ValueError,
            "Timer(duration=5, margin=5): the duration is above 0 and the margin",
        ),
        ({"duration": math.nan}, ValueError, "Timer(duration=nan): a finite number of seconds"),
        ({"duration": math.inf}, ValueError, "Timer(duration=inf): a finite number of seconds"),
        ({"duration": True}, TypeError, "Timer(duration=True): a number of seconds, or a datetime.timedelta"),
        ({"margin": -1}, ValueError, "Timer(margin=-1): a number of seconds, at least 0"),
        ({"margin": "5m"}, TypeError, "Timer(margin='5m'): a number of seconds, or a datetime.timedelta"),
        (
            {"until": 1767225600},
            TypeError,
            "Timer(until=1767225600): a datetime; of a time stamp, datetime.fromtimestamp(...)",
        ),
        (
            {"kind": "desicion"},
            ValueError,
            "Timer(kind='desicion'): one of 'decision', 'pause'. Did you mean 'decision'?",
        ),
        ({"interval": "steps"}, ValueError, "Timer(interval='steps'): one of 'step', 'epoch'. Did you mean 'step'?"),
        ({"durations": 5}, TypeError, None),
    ],
)
def test_what_has_no_meaning_is_refused(settings: Any, kind: type[Exception], message: str | None) -> None:
    with pytest.raises(kind) as caught:
        Timer(**settings)
    assert message is None or str(caught.value) == message
