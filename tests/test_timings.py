"""Where the time of a run goes: exact figures, by a clock that the test moves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from clocks import Clock, Takes, figures, is_put_back, loop_run
from small_models import batches as rows

from trainhooks import MLP, Callback, Driver, Event, LoopRun, Run, profile
from trainhooks.dispatch import Listener
from trainhooks.testing import Do, StopAt, batches


def test_each_batch_has_its_wait_its_step_and_its_listeners_timed() -> None:
    clock = Clock()
    with loop_run(clock, Takes(clock, 3, 4)) as run:
        for _epoch in run.epochs(2):
            for _ in run.train(clock.loader(3, 2)):
                clock.take(5)
            for _ in run.test(clock.loader(2, 1)):
                clock.take(4)
            clock.take(100)
    assert figures(run) == {
        "training step": (6, 6, 30),
        "training: waiting for data": (4, 4, 8),  # the first of a pass is the loader's beginning
        "Takes.on_train_batch_begin": (6, 6, 18),
        "Takes.on_train_batch_end": (6, 6, 24),
        "validation step": (4, 4, 16),
        "validation: waiting for data": (2, 2, 2),
        "Takes.on_test_batch_end": (4, 4, 16),
    }
    assert (profile(run).seconds, profile(run).rest) == (320, 206)


def test_of_a_sample_the_figures_stand_for_all() -> None:
    clock = Clock()
    with loop_run(clock, Takes(clock, 1, 2), each=64) as run:
        for _epoch in run.epochs(2):
            for _ in run.train(clock.loader(250, 3)):
                clock.take(5)
    assert figures(run) == {
        "training step": (500, 12, 2500),
        "training: waiting for data": (498, 12, 1494),
        "Takes.on_train_batch_end": (500, 12, 1000),
        "Takes.on_train_batch_begin": (500, 12, 500),
    }


def timed_batches(run: LoopRun, n: int) -> list[int]:
    """The numbers of those that are timed, of so many in one pass."""
    sampler, found = run.timings.samplers["pass"], []
    with run:
        for _ in run.epochs(1):
            before = 0
            for batch in run.train(range(n + 1)):
                if sampler.timed > before:
                    found.append(batch - 1)
                before = sampler.timed
    return found


def test_few_batches_are_timed_the_first_of_them_sooner() -> None:
    clock = Clock()
    listening = timed_batches(loop_run(clock, Takes(clock, 0, 0), each=64), 400)
    assert listening == [3, 6, 9, 29, 47, 69, 173, 212, 316, 355, 395]
    assert timed_batches(loop_run(clock, each=64), 2000) == [3, 6, 9, 29, 47, 69, 218, 339, 995, 1311, 1628]


@pytest.mark.parametrize("each", [16, 64, 100])
def test_the_sample_is_in_step_with_no_filter(each: int) -> None:
    clock = Clock()
    timed = timed_batches(loop_run(clock, Takes(clock, 0, 0), each=each), 512 * each)
    assert 510 <= len(timed) <= 520
    for steps in (2, 3, 4, 5, 8, 10, 16, 20, 32, 50, 64):
        due = sum((batch + 1) % steps == 0 for batch in timed)
        assert abs(due - len(timed) / steps) < 8, f"every(steps={steps})"


def test_the_rarer_events_are_timed_each_time() -> None:
    clock = Clock()
    names = ["setup", "train_begin", "epoch_begin", "test_begin", "test_end", "epoch_end", "stop", "train_end"]
    watching = [Do(name, lambda run: clock.take(3), nth=None) for name in names]
    with loop_run(clock, *watching, StopAt("epoch_end", 2), each=64) as run:
        for _epoch in run.epochs(9):
            for _ in run.test(batches(1)):
                pass
    often = {"epoch_begin", "test_begin", "test_end", "epoch_end"}
    expected = {f"Do.on_{name}": (3, 3, 9) if name in often else (1, 1, 3) for name in names}
    assert figures(run) == expected | {"StopAt.on_epoch_end": (3, 3, 0)}


def test_two_callbacks_of_one_class_share_a_line() -> None:
    clock = Clock()
    with loop_run(clock, Takes(clock, 0, 2), Takes(clock, 0, 5)) as run:
        for _epoch in run.epochs(1):
            for _ in run.train(batches(3)):
                clock.take(20)
    assert figures(run)["Takes.on_train_batch_end"] == (6, 6, 21)
    assert figures(run)["training step"] == (3, 3, 60)


def test_an_evaluation_alone_and_a_prediction_have_their_lines() -> None:
    clock = Clock()
    with loop_run(clock, Takes(clock, 0, 2)) as run:
        for _ in run.test(clock.loader(2, 1)):
            clock.take(4)
        for _ in run.predict(clock.loader(3, 1)):
            clock.take(5)
    assert figures(run) == {
        "prediction step": (3, 3, 15),
        "validation step": (2, 2, 8),
        "Takes.on_test_batch_end": (2, 2, 4),
        "prediction: waiting for data": (2, 2, 2),
        "validation: waiting for data": (1, 1, 1),
    }


def test_listeners_to_an_optimizers_step_are_no_part_of_the_training_step() -> None:
    clock, model = Clock(), MLP((5, 3))
    watching = [Do("optimizer_step", lambda run: clock.take(1), nth=None) for _ in "two"]
    with loop_run(clock, *watching, trainable=model) as run:
        for _epoch in run.epochs(2):
            for batch in run.train(rows(4)):
                clock.take(5)
                model.train_step(batch)
    assert figures(run)["training step"] == (8, 8, 40)
    assert figures(run)["Do.on_optimizer_step"] == (24, 24, 24)
    assert is_put_back(run)


def test_passes_of_one_batch_are_timed_too() -> None:
    clock = Clock()
    with loop_run(clock, Takes(clock, 0, 1), each=64) as run:
        for _epoch in run.epochs(10):
            for _ in run.train(batches(1)):
                clock.take(5)
            for _ in run.test(batches(1)):
                clock.take(4)
    assert figures(run)["training step"] == (10, 2, 50)
    assert figures(run)["validation step"] == (10, 2, 40)
    assert "training: waiting for data" not in figures(run)


def test_of_less_than_four_batches_none_is_timed_unless_each_is() -> None:
    found = []
    for each in (64, 2, 1):
        clock = Clock()
        with loop_run(clock, Takes(clock, 0, 1), each=each) as run:
            for _epoch in run.epochs(1):
                for _ in run.train(batches(3)):
                    clock.take(5)
        found.append(figures(run).get("training step"))
    assert found == [None, (3, 1, 15), (3, 3, 15)]


def test_another_share_counts_from_the_next_pass() -> None:
    clock = Clock()
    with loop_run(clock, Takes(clock, 0, 0), each=10**9) as run:
        for epoch in run.epochs(3):
            for _ in run.train(batches(5)):
                clock.take(1)
            if epoch == 0:
                run.timings.every = 1
    assert figures(run)["training step"] == (15, 11, 15)


def test_several_steps_in_one_call_count_as_so_many() -> None:
    clock = Clock()
    driver = Driver(None, [Takes(clock, 0, 2)])
    driver.timings.clock, driver.timings.every = clock, 1
    with driver.carried():
        driver.open("train")
        driver.open("epoch")
        driver.open("pass")
        for batch in (0, 8, 16, 24):
            driver.batch_begin(batch)
            clock.take(8)
            driver.batch_end(steps=8)
            clock.take(1)
    assert figures(driver.run) == {
        "training step": (32, 32, 32),
        "Takes.on_train_batch_end": (4, 4, 8),
        "training: waiting for data": (24, 24, 3),
        "Takes.on_train_batch_begin": (4, 4, 0),
    }


def test_a_run_that_goes_on_tells_of_what_it_did_itself() -> None:
    states: list[dict[str, Any]] = []
    for resume in (None, True):
        clock = Clock()
        pause = [] if resume else [StopAt(step=5, kind="pause")]
        with loop_run(clock, Takes(clock, 0, 2), *pause, resume=states[0] if resume else None) as run:
            for _epoch in run.epochs(2):
                for _ in run.train(batches(4)):
                    clock.take(5)
        if resume is None:
            states.append(run.state_dict())
    assert figures(run)["training step"] == (3, 3, 15)
    assert figures(run)["Takes.on_train_batch_end"] == (3, 3, 6)


class Saves(Callback):
    """Takes so long to write a checkpoint."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self.clock, self.seconds = clock, seconds

    def save(self, run: Run) -> None:
        self.clock.take(self.seconds)


def test_a_checkpoint_is_timed_each_time_and_is_no_wait_for_data() -> None:
    clock = Clock()
    with loop_run(clock, Saves(clock, 30), Do("train_batch_end", lambda run: run.save(), nth=None)) as run:
        for _epoch in run.epochs(1):
            for _ in run.train(clock.loader(3, 1)):
                clock.take(5)
    assert figures(run) == {
        "Saves.save": (3, 3, 90),
        "training step": (3, 3, 15),
        "training: waiting for data": (2, 2, 2),
        "Do.on_train_batch_end": (3, 3, 0),
    }


class Steps(Callback):
    """Listens by a method that is called otherwise."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def listeners(self, events: Mapping[str, Event]) -> list[Listener]:
        return [Listener(events["epoch_end"], self._look, "Steps._look", owner=self)]

    def _look(self, epoch: int) -> None:
        self.clock.take(7)


def test_a_listener_is_called_by_its_event_whatever_its_method_is_called() -> None:
    clock = Clock()
    with loop_run(clock, Steps(clock)) as run:
        for _epoch in run.epochs(2):
            pass
    assert figures(run) == {"Steps.on_epoch_end": (2, 2, 14)}


def test_a_sample_of_the_slower_batches_is_not_held_to_be_more_than_all_took() -> None:
    clock = Clock()
    with loop_run(clock, each=64) as run:
        for _epoch in run.epochs(1):
            for number, _ in enumerate(run.train(range(200))):
                clock.take(100 if number == 3 else 1)  # the first that is timed
    (step,) = (line for line in profile(run).lines if line.what == "training step")
    assert (step.times, step.seconds, profile(run).seconds) == (200, 299, 299)


@pytest.mark.parametrize("given", [0, -3, 0.5, float("nan"), None, "64", True])
def test_one_batch_in_so_many_is_a_whole_number(given: Any) -> None:
    run = LoopRun()
    with pytest.raises(ValueError, match=r"a whole number, at least 1$") as caught:
        run.timings.every = given
    assert str(caught.value).startswith(f"run.timings.every = {given!r}: ")
    assert run.timings.every == 64
