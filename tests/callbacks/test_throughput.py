"""Throughput: rates by a clock that the tests set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from trainhooks import Callback, EpochRecord, LoopRun, Run, Trainable
from trainhooks.callbacks.throughput import Throughput
from trainhooks.testing import Do, RaiseAt, StopAt, play

RATES = ("steps_per_second", "samples_per_second", "data_wait")


class Clock:
    """Tells the time that it was set to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def loader(self, batches: int, wait: float) -> Iterator[int]:
        """Each batch is fetched in ``wait`` seconds."""
        for batch in range(batches):
            self.now += wait
            yield batch


def trained(
    clock: Clock,
    *callbacks: Callback,
    epochs: int = 2,
    batches: int = 4,
    wait: float = 1.0,
    step: float = 3.0,
    n: int | None = 8,
    check: float = 100.0,
    resume: Any = None,
) -> LoopRun:
    """Epochs of batches that are waited for, and a validation of one batch that takes ``check`` seconds."""
    with LoopRun(callbacks=callbacks, resume=resume) as run:
        for _ in run.epochs(epochs):
            for _ in run.train(clock.loader(batches, wait)):
                clock.now += step
                run.log(loss=1.0, **({} if n is None else {"n": n}))
            for _ in run.test([0]):
                clock.now += check
                run.log(loss=1.0, n=1000)
    return run


def rates(record: EpochRecord) -> list[Any]:
    """Steps a second, samples a second, the share of waiting; None for what is not there."""
    return [record.logs.get(name) for name in RATES]


def test_an_epoch_has_its_rates_and_the_share_of_waiting() -> None:
    clock = Clock()
    run = trained(clock, Throughput(clock=clock))
    # the first epoch from its first batch's end: 3 batches in 12 s; the second as a whole
    assert [rates(one) for one in run.history] == [[0.25, 2.0, 0.25], [0.25, 2.0, 0.25]]


def test_the_first_batches_are_left_out() -> None:
    told = []
    for skip in (0, 1, 2):
        clock = Clock()
        slow = Do("train_batch_begin", lambda run, clock=clock: setattr(clock, "now", clock.now + 84))  # type: ignore[misc]
        run = trained(clock, Throughput(skip_first=skip, clock=clock), slow)
        told.append([one.logs["steps_per_second"] for one in run.history])
    assert told == [[0.04, 0.25], [0.25, 0.25], [0.25, 0.25]]


def test_an_epoch_of_nothing_but_first_batches_has_no_rates() -> None:
    clock = Clock()
    run = trained(clock, Throughput(skip_first=6, clock=clock), epochs=3)
    assert [one.logs.get("steps_per_second") for one in run.history] == [None, 0.25, 0.25]


def test_batches_of_several_sizes_are_counted_by_their_weights() -> None:
    clock = Clock()
    with LoopRun(callbacks=[Throughput(skip_first=0, clock=clock)]) as run:
        for _ in run.epochs(1):
            for n in run.train([8, 8, 4]):
                clock.now += 2
                run.log(loss=1.0, accuracy=0.5, n=n)
                run.log(aside=1.0)
    assert rates(run.history[0]) == [0.5, 20 / 6, 0.0]


@pytest.mark.parametrize("n, size, samples", [(None, None, None), (None, 16, 4.0), (8, 16, 4.0), (8, np.int64(4), 1.0)])
def test_samples_are_left_out_where_they_are_not_known(n: int | None, size: Any, samples: float | None) -> None:
    clock = Clock()
    run = trained(clock, Throughput(size, clock=clock), n=n)
    assert [one.logs.get("samples_per_second") for one in run.history] == [samples, samples]


def test_nothing_need_be_logged() -> None:
    clock = Clock()
    with LoopRun(callbacks=[Throughput(clock=clock)]) as run:
        for _ in run.epochs(1):
            for _ in run.train(clock.loader(3, 1.0)):
                clock.now += 1
    assert rates(run.history[0]) == [0.5, None, 0.5]


def test_a_validation_between_two_batches_or_inside_one_takes_no_time() -> None:
    clock = Clock()
    with LoopRun(callbacks=[Throughput(skip_first=0, clock=clock)]) as run:
        for _ in run.epochs(1):
            for _ in range(2):
                for batch in run.train(clock.loader(2, 1.0)):
                    clock.now += 3
                    run.log(loss=1.0, n=2)
                    if batch:
                        for _ in run.test([0], name="new"):
                            clock.now += 50
                            run.log(loss=1.0, n=999)
                for _ in run.predict([0]):
                    clock.now += 70
    assert rates(run.history[0]) == [0.25, 0.5, 0.25]


def test_what_other_callbacks_do_at_a_batchs_end_is_no_waiting_and_at_an_epochs_edges_no_time() -> None:
    clock = Clock()

    def spend(run: Run) -> None:
        clock.now += 4

    saver, begins, ends = (Do(event, spend, nth=None) for event in ("train_batch_end", "epoch_begin", "epoch_end"))
    saver.phase = "save"
    run = trained(clock, saver, begins, ends, Throughput(skip_first=0, clock=clock))
    assert [rates(one) for one in run.history] == [[0.125, 1.0, 0.125]] * 2


def test_every_so_many_steps_the_batch_has_the_rates_of_those() -> None:
    clock, seen = Clock(), []
    throughput = Throughput(every=2, clock=clock)

    def look(run: Run) -> None:
        clock.now += 4 * (run.step == 4)  # the batches after the fourth wait for longer
        seen.append([run.step, *(run.logs.get(name) for name in RATES)])

    shown = Do("train_batch_end", look, nth=None)
    shown.phase = "report"
    trained(clock, throughput, shown, batches=6, epochs=1)
    assert seen == [
        [1, None, None, None],
        [2, 0.25, 2.0, 0.25],
        [3, 0.25, 2.0, 0.25],
        [4, 0.25, 2.0, 0.25],
        [5, 0.25, 2.0, 0.25],
        [6, 2 / 12, 16 / 12, 2 / 12],
    ]
    assert [getattr(throughput, name) for name in RATES] == [5 / 24, 40 / 24, 5 / 24]


def test_without_every_no_batch_has_rates() -> None:
    clock, seen = Clock(), []
    trained(clock, Throughput(clock=clock), Do("train_batch_end", lambda run: seen.append(list(run.logs)), nth=None))
    assert seen == [["loss"]] * 8


def test_the_rates_are_there_before_anything_is_decided() -> None:
    clock, seen = Clock(), []
    decides = Do("epoch_end", lambda run: seen.append(run.logs.get("data_wait")), nth=None)
    decides.phase = "decide"
    trained(clock, decides, Throughput(clock=clock))
    assert seen == [0.25, 0.25]


def test_an_epoch_without_a_batch_and_a_clock_that_stands_still_give_no_rates() -> None:
    clock = Clock()
    assert [list(one.logs) for one in trained(clock, Throughput(clock=clock), batches=0).history] == [["val_loss"]] * 2
    still = play([{"loss": 1.0}] * 3, [Throughput(clock=clock)])
    assert [list(one.logs) for one in still.history] == [["loss"]] * 3


def test_where_the_trainer_cannot_tell_there_is_no_share_of_waiting() -> None:
    class Fetches(Trainable):
        def missing(self, need: str) -> str | None:
            return "it fetches a batch after its begin." if need == "data_wait" else super().missing(need)

    clock = Clock()
    with LoopRun(Fetches(), [Throughput(clock=clock)]) as run:
        for _ in run.epochs(1):
            for _ in run.train(clock.loader(3, 1.0)):
                clock.now += 1
                run.log(loss=1.0, n=2)
    assert rates(run.history[0]) == [0.5, 1.0, None]


def test_an_epoch_that_a_stop_cuts_short_has_the_rates_of_what_it_did() -> None:
    clock = Clock()
    run = trained(clock, Throughput(clock=clock), StopAt(step=3))
    assert [rates(one) for one in run.history] == [[0.25, 2.0, 0.25]]


@pytest.mark.parametrize("same", [True, False])
def test_a_resumed_run_warms_up_again(same: bool) -> None:
    clock = Clock()
    throughput = Throughput(skip_first=3, clock=clock)
    state = trained(clock, throughput, epochs=1).state_dict()
    again = throughput if same else Throughput(skip_first=3, clock=clock)
    slow = Do("train_batch_begin", lambda run: setattr(clock, "now", clock.now + 50))
    run = trained(clock, again, slow, epochs=3, resume=state)
    assert [one.logs["steps_per_second"] for one in run.history] == [0.25] * 3


@pytest.mark.parametrize(
    "event", ["epoch_begin", "train_batch_begin", "train_batch_end", "test_batch_end", "epoch_end"]
)
@pytest.mark.parametrize("meddle", [StopAt, RaiseAt])
def test_a_run_that_was_cut_anywhere_leaves_nothing_to_the_next(event: str, meddle: Any) -> None:
    clock = Clock()
    throughput = Throughput(clock=clock)
    one = StopAt(event, kind="pause") if meddle is StopAt else RaiseAt(event)
    try:
        trained(clock, throughput, one)
    except RuntimeError:
        assert meddle is RaiseAt
    clock.now += 1000
    assert [rates(one) for one in trained(clock, throughput).history] == [[0.25, 2.0, 0.25]] * 2


def test_a_new_run_forgets_what_was_written_last() -> None:
    clock = Clock()
    throughput, seen = Throughput(clock=clock), []
    trained(clock, throughput)
    trained(clock, throughput, Do("train_begin", lambda run: seen.append([getattr(throughput, one) for one in RATES])))
    assert seen == [[None, None, None]]


@pytest.mark.parametrize("skip", [0, 1])
@pytest.mark.parametrize("event, nth", [("train_batch_end", 2), ("test_batch_end", 0)])
def test_a_run_that_goes_on_inside_an_epoch_adds_to_what_was_measured_of_it(event: str, nth: int, skip: int) -> None:
    clock = Clock()
    paused = trained(clock, Throughput(skip_first=skip, clock=clock), StopAt(event, nth, kind="pause"))
    clock.now += 1000  # between the two processes
    run = trained(clock, Throughput(skip_first=skip, clock=clock), resume=paused.state_dict())
    # the first batch after it is not measured; what is measured of the others is as if there had been no pause
    assert [rates(one) for one in run.history] == [[0.25, 2.0, 0.25]] * 2


def test_what_was_written_last_survives_a_pause() -> None:
    clock = Clock()
    paused = trained(clock, Throughput(clock=clock), StopAt("epoch_begin", 1, kind="pause"))
    second = Throughput(clock=clock)
    trained(clock, second, StopAt("epoch_begin", kind="pause"), resume=paused.state_dict())
    assert [getattr(second, one) for one in RATES] == [0.25, 2.0, 0.25]


def test_one_that_is_attached_in_mid_training_measures_from_the_next_epoch() -> None:
    clock = Clock()
    throughput = Throughput(clock=clock)
    run = trained(clock, Do("epoch_end", lambda run: run.add(throughput)), epochs=3)
    assert [rates(one) for one in run.history] == [[None] * 3, [0.25, 2.0, 0.25], [0.25, 2.0, 0.25]]


@pytest.mark.parametrize(
    "settings, kind, message",
    [
        ({"batch_size": 0}, ValueError, "Throughput(batch_size=0): a whole number, at least 1"),
        ({"every": 0.5}, ValueError, "Throughput(every=0.5): a whole number, at least 1"),
        ({"skip_first": -1}, ValueError, "Throughput(skip_first=-1): a whole number, at least 0"),
        ({"window": 3}, TypeError, None),
    ],
)
def test_what_has_no_meaning_is_refused(settings: Any, kind: type[Exception], message: str | None) -> None:
    with pytest.raises(kind) as caught:
        Throughput(**settings)
    assert message is None or str(caught.value) == message
