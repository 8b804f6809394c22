"""The loop instrument: what its verbs give and count.

with LoopRun(callbacks=[...]) as run:
    for epoch in run.epochs(10):
        for batch in run.train(loader):
            run.log(loss=...)
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from loops import Loop, tell

from trainhooks import LoopRun
from trainhooks.testing import Do, StopAt, Trace, batches


def train_only(epochs: int | None, count: int = 1) -> Loop:
    def loop(run: LoopRun) -> None:
        for _epoch in run.epochs(epochs):
            for batch in run.train(batches(count)):
                run.log(loss=batch)

    return loop


# Passes


def test_a_second_pass_in_an_epoch_goes_on_counting_its_batches() -> None:
    seen = []

    def loop(run: LoopRun) -> None:
        for _epoch in run.epochs(2):
            for batch in run.train(batches(2)):
                run.log(critic=batch)
            for batch in run.train(batches(1)):
                run.log(generator=batch)
                seen.append((run.batch, run.step, run.steps_per_epoch))
        assert run.history[1] == (1, {"critic": 0.5, "generator": 0.0})

    assert tell(loop) == (
        "setup train[ epoch0[ batch0[] batch1[] batch2[] ] epoch1[ batch0[] batch1[] batch2[] ] ] teardown"
    )
    assert seen == [(2, 2, 3), (2, 5, 3)]


def test_a_validation_inside_a_batch_stands_inside_it_and_gives_the_batch_back() -> None:
    def loop(run: LoopRun) -> None:
        for _epoch in run.epochs(1):
            for batch in run.train(batches(2)):
                run.log(loss=batch)
                if batch == 1:
                    for inner in run.test(batches(2)):
                        run.log(loss=10 + inner)
                    assert (run.phase, run.batch, dict(run.batch_logs)) == ("train", 1, {"loss": 1.0})
                    run.log(loss=batch)
        assert run.history == [(0, {"loss": pytest.approx(2 / 3), "val_loss": 10.5})]

    assert tell(loop) == "setup train[ epoch0[ batch0[] batch1[ test[ batch0[] batch1[] ] ] ] ] teardown"


def test_a_validation_left_inside_a_batch_ends_before_the_batch_does() -> None:
    def loop(run: LoopRun) -> None:
        for _epoch in run.epochs(1):
            for batch in run.train(batches(2)):
                run.log(loss=batch)
                for inner in run.test(batches(2)):
                    run.log(loss=inner)
                    break

    assert tell(loop) == ("setup train[ epoch0[ batch0[ test[ batch0[] ] ] batch1[ test[ batch0[] ] ] ] ] teardown")


def test_two_validations_join_the_epoch_under_their_names() -> None:
    def loop(run: LoopRun) -> None:
        for _epoch in run.epochs(1):
            for batch in run.train(batches(1)):
                run.log(loss=batch)
            for batch in run.test(batches(2)):
                run.log(loss=batch)
            for batch in run.test(batches(2), name="ood"):
                run.log(loss=10 * batch)
            assert (run.passes, run.validations) == ({"train", "val", "ood"}, {"val", "ood"})
        assert run.history == [(0, {"loss": 0.0, "val_loss": 0.5, "ood_loss": 5.0})]

    assert tell(loop) == (
        "setup train[ epoch0[ batch0[] test[ batch0[] batch1[] ] test[ batch0[] batch1[] ] ] ] teardown"
    )


def test_validation_every_second_epoch_leaves_gaps_and_nothing_stale() -> None:
    def loop(run: LoopRun) -> None:
        for epoch in run.epochs(4):
            for batch in run.train(batches(1)):
                run.log(loss=batch)
            if epoch % 2:
                for _batch in run.test(batches(1)):
                    run.log(loss=epoch)
        assert [record.logs.get("val_loss") for record in run.history] == [None, 1.0, None, 3.0]

    assert tell(loop) == (
        "setup train[ epoch0[ batch0[] ] epoch1[ batch0[] test[ batch0[] ] ] "
        "epoch2[ batch0[] ] epoch3[ batch0[] test[ batch0[] ] ] ] teardown"
    )


def test_an_evaluation_alone_leaves_its_logs_to_be_read() -> None:
    def loop(run: LoopRun) -> None:
        for batch in run.test(batches(3)):
            run.log(loss=batch)
        assert (dict(run.logs), run.history, run.step) == ({"loss": 1.0}, [], 0)

    assert tell(loop) == "setup test[ batch0[] batch1[] batch2[] ] teardown"


def test_the_outputs_of_a_prediction_reach_its_batch_end() -> None:
    trace = Trace()
    with LoopRun(callbacks=[trace]) as run:
        for batch in run.predict(batches(3)):
            if batch != 1:
                run.log(outputs=[batch], confidence=0.5)
    ends = [arguments for name, arguments in trace.events if name == "predict_batch_end"]
    assert ends == [{"batch": 0, "outputs": [0]}, {"batch": 1, "outputs": None}, {"batch": 2, "outputs": [2]}]
    assert trace.outline() == "setup predict[ batch0[] batch1[] batch2[] ] teardown"
    assert dict(run.logs) == {"confidence": 0.5}


# Epochs


def test_epochs_none_goes_on_until_a_stop() -> None:
    assert tell(train_only(None), StopAt(step=2)) == (
        "setup train[ epoch0[ batch0[] ] epoch1[ batch0[] stop ] ] teardown"
    )


def test_no_epochs_begin_and_end_training() -> None:
    with LoopRun() as run:
        train_only(0)(run)
    assert run.outcome == "completed"
    assert tell(train_only(0)) == "setup train[] teardown"


def test_a_second_epochs_loop_goes_on_to_its_own_total() -> None:
    def loop(run: LoopRun) -> None:
        train_only(1)(run)
        train_only(2)(run)

    assert tell(loop) == "setup train[ epoch0[ batch0[] ] ] train[ epoch1[ batch0[] ] ] teardown"


def test_the_loops_know_their_lengths() -> None:
    with LoopRun() as run:
        unknown = run.train(iter("abc"))
        assert [len(run.epochs(7)), len(run.train("abc")), len(run.test("abc", limit=2)), len(run.predict("a"))] == [
            *(7, 3, 2, 1)
        ]
        with pytest.raises(TypeError, match="has no len"):
            len(unknown)
        with pytest.raises(TypeError, match=r"run\.epochs\(None\) goes on until a stop: it has no length"):
            len(run.epochs(None))


def test_end_epoch_ends_the_batches_and_lets_the_validation_run() -> None:
    def loop(run: LoopRun) -> None:
        for _epoch in run.epochs(2):
            for batch in run.train(batches(3)):
                run.log(loss=batch)
            for batch in run.test(batches(1)):
                run.log(loss=batch)

    assert tell(loop, Do("train_batch_end", lambda run: run.end_epoch())) == (
        "setup train[ epoch0[ batch0[] test[ batch0[] ] ] "
        "epoch1[ batch0[] batch1[] batch2[] test[ batch0[] ] ] ] teardown"
    )


@pytest.mark.parametrize("event", ["epoch_begin", "test_end"])
def test_end_epoch_outside_a_pass_has_no_further_one_begin(event: str) -> None:
    def loop(run: LoopRun) -> None:
        for _epoch in run.epochs(2):
            for batch in run.test(batches(1)):
                run.log(loss=batch)
            for batch in run.train(batches(1)):
                run.log(loss=batch)

    assert tell(loop, Do(event, lambda run: run.end_epoch())) == (
        "setup train[ epoch0[ test[ batch0[] ] ] epoch1[ test[ batch0[] ] batch0[] ] ] teardown"
    )


# Loaders


def test_a_loader_without_a_length_leaves_the_steps_unknown() -> None:
    def loop(run: LoopRun) -> None:
        for _epoch in run.epochs(1):
            for batch in run.train(iter("ab")):
                assert (batch in "ab", run.steps_per_epoch) == (True, None)

    assert tell(loop) == "setup train[ epoch0[ batch0[] batch1[] ] ] teardown"


def test_a_limit_draws_no_item_more() -> None:
    drawn: list[int] = []

    def loader() -> Iterator[int]:
        for item in itertools.count():
            drawn.append(item)
            yield item

    def loop(run: LoopRun) -> None:
        for _epoch in run.epochs(1):
            for verb in (run.train, run.test, run.predict):
                for batch in verb(loader(), limit=2):
                    run.log(loss=batch)

    assert tell(loop) == (
        "setup train[ epoch0[ batch0[] batch1[] test[ batch0[] batch1[] ] predict[ batch0[] batch1[] ] ] ] teardown"
    )
    assert drawn == [0, 1] * 3


def test_a_stop_draws_no_item_more() -> None:
    items = iter(range(10))

    def loop(run: LoopRun) -> None:
        for _epoch in run.epochs(1):
            for batch in run.train(items):
                run.log(loss=batch)

    assert tell(loop, StopAt(step=2)) == "setup train[ epoch0[ batch0[] batch1[] stop ] ] teardown"
    assert next(items) == 2


def test_an_empty_loader_makes_an_epoch_without_batches() -> None:
    def loop(run: LoopRun) -> None:
        for _epoch in run.epochs(1):
            assert list(run.train([])) == []
            assert list(run.test([])) == []
        assert run.history == [(0, {})]

    assert tell(loop) == "setup train[ epoch0[ test[] ] ] teardown"


# Names


def test_a_loop_run_has_what_its_run_has_and_nothing_private() -> None:
    with LoopRun() as run:
        assert (run.step, run.should_stop, run.framework) == (0, False, "none")
        with pytest.raises(AttributeError, match="'LoopRun' object has no attribute 'framwork'"):
            _ = run.framwork  # type: ignore[attr-defined]
        with pytest.raises(AttributeError, match="'LoopRun' object has no attribute '_progress'"):
            _ = run._progress
        with pytest.raises(AttributeError, match=r"run\.step cannot be set"):
            run.step = 3  # type: ignore[misc]


EPOCHS = "the total of epochs, a whole number, or None to go on until a stop"
NAME = "a name such as 'val'; its metrics are called <name>_<metric>"


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda run: run.epochs(-1), f"run.epochs(-1): {EPOCHS}"),
        (lambda run: run.epochs(True), f"run.epochs(True): {EPOCHS}"),
        (lambda run: run.epochs("3"), f"run.epochs('3'): {EPOCHS}"),
        (lambda run: run.train([], limit=-1), "run.train(limit=-1): a number of batches, at least 0"),
        (lambda run: run.test([], limit=True), "run.test(limit=True): a number of batches, at least 0"),
        (lambda run: run.predict([], limit=1.0), "run.predict(limit=1.0): a number of batches, at least 0"),
        (lambda run: run.test([], name="train"), f"run.test(name='train'): {NAME}"),
        (lambda run: run.test([], name=""), f"run.test(name=''): {NAME}"),
    ],
)
def test_a_bad_argument_is_refused_where_it_is_given(call: Callable[[LoopRun], Any], message: str) -> None:
    with LoopRun() as run, pytest.raises(ValueError) as refused:
        call(run)
    assert str(refused.value) == message


def test_numbers_may_be_numpys() -> None:
    two = np.int64(2)
    with LoopRun(min_epochs=two) as run:
        for _ in run.epochs(two):
            for _ in run.train(batches(5), limit=two):
                pass
    assert (run.step, run.epochs_done, run.max_epochs) == (4, 2, 2)


def test_a_length_that_raises_is_no_length() -> None:
    class Stream:
        def __len__(self) -> int:
            raise NotImplementedError

        def __iter__(self) -> Iterator[int]:
            return iter([1, 2])

    with LoopRun() as run:
        for _ in run.epochs(1):
            for _ in run.train(Stream()):
                pass
    assert (run.step, run.steps_per_epoch) == (2, None)
