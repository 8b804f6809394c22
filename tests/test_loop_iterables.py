"""What users put around the loop's iterables: enumerate, zip, tqdm, and iterators that they keep."""

from __future__ import annotations

import pytest
from loops import tell
from tqdm import tqdm

from trainhooks import LoopRun
from trainhooks.testing import batches

# What stands around the iterable


def test_enumerate_passes_a_break_on() -> None:
    def loop(run: LoopRun) -> None:
        for _epoch in run.epochs(1):
            for number, _ in enumerate(run.train(batches(5))):
                run.log(loss=number)
                if number == 1:
                    break
            run.log(note=1)

    assert tell(loop) == "setup train[ epoch0[ batch0[] batch1[] ] ] teardown"


def test_a_batch_that_zip_drew_and_nobody_trained_on_is_not_counted() -> None:
    def loop(run: LoopRun) -> None:
        for _epoch in run.epochs(1):
            for batch, _ in zip(run.train(batches(5)), "ab", strict=False):
                run.log(loss=batch)
            run.log(note=1)
            assert run.step == 2

    assert tell(loop) == "setup train[ epoch0[ batch0[] batch1[] batch2[] ] ] teardown"


@pytest.mark.parametrize("named", [False, True])
def test_tqdm_passes_a_break_on_and_sees_the_length(named: bool) -> None:
    totals = []

    def loop(run: LoopRun) -> None:
        for epoch in run.epochs(2):
            bar = tqdm(run.train(batches(5)), disable=None)
            totals.append(len(bar))
            for batch in bar if named else tqdm(run.train(batches(5)), disable=True):
                run.log(loss=batch)
                if batch == 1:
                    break
            for _batch in run.test(batches(1)):
                run.log(loss=epoch)

    assert tell(loop) == (
        "setup train[ epoch0[ batch0[] batch1[] test[ batch0[] ] ] "
        "epoch1[ batch0[] batch1[] test[ batch0[] ] ] ] teardown"
    )
    assert totals == [5, 5]


def test_a_kept_iterator_is_ended_by_the_next_epoch() -> None:
    def loop(run: LoopRun) -> None:
        kept = []
        for _epoch in run.epochs(2):
            kept.append(iter(run.train(batches(5))))
            for batch in kept[-1]:
                run.log(loss=batch)
                break

    assert tell(loop) == "setup train[ epoch0[ batch0[] ] epoch1[ batch0[] ] ] teardown"


def test_batches_drawn_by_hand_from_a_kept_iterator_are_batches() -> None:
    def loop(run: LoopRun) -> None:
        for _epoch in run.epochs(1):
            kept = iter(run.train(batches(5)))
            run.log(loss=next(kept))
            run.log(loss=next(kept))
            assert run.step == 1
        assert run.step == 2

    assert tell(loop) == "setup train[ epoch0[ batch0[] batch1[] ] ] teardown"
