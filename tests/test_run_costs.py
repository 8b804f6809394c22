"""What a run costs in memory: nothing grows, nothing stays. What a batch costs is in test_hot_path.py."""

from __future__ import annotations

import gc
import tracemalloc
import weakref

import pytest
from counted_loops import plain
from counting import OURS

from trainhooks import Callback, LoopRun, Run
from trainhooks.numpy_model import MLP
from trainhooks.testing import Do, Trace, batches


def test_a_run_that_is_over_can_be_collected() -> None:
    trace = Trace()
    run = LoopRun(MLP((2, 1)), [trace])
    with run:
        for _epoch in run.epochs(1):
            for batch in run.train(batches(1)):
                run.log(loss=batch)
    gone = [weakref.ref(run), weakref.ref(run.run)]
    del run
    gc.collect()
    assert [ref() for ref in gone] == [None, None]


class Outer(Exception):  # noqa: N818
    pass


def test_a_run_that_is_over_keeps_no_exception_that_was_handled_around_it() -> None:
    try:
        raise Outer
    except Outer as error:
        outer = weakref.ref(error)
        with LoopRun() as run:
            pass
    gc.collect()
    assert (run.outcome, outer()) == ("completed", None)


def test_many_batches_do_not_grow_memory() -> None:
    peaks = []
    with LoopRun(callbacks=[Do("train_batch_end", lambda run: run.logs["loss"], None)]) as run:
        for _epoch in run.epochs(1):
            tracemalloc.start()
            for batch in run.train(range(100_000)):
                run.log(loss=0.5)
                if batch in (1_000, 99_999):
                    peaks.append(tracemalloc.get_traced_memory()[0])
            tracemalloc.stop()
    assert peaks[1] - peaks[0] < 10_000


def ours() -> tracemalloc.Snapshot:
    """The blocks that our lines, and those of dispatchers, have allocated and that are still there."""
    gc.collect()
    return tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, f"{file}*") for file in OURS])


@pytest.mark.parametrize("listeners", [0, 1, 4])
def test_no_block_of_a_batch_outlives_it(listeners: int) -> None:
    taken: list[tracemalloc.Snapshot] = []
    with LoopRun(MLP((2, 1)), plain(listeners), plugins="none") as run:
        for _epoch in run.epochs(1):
            tracemalloc.start()
            for batch in run.train(range(3_000)):
                run.log(loss=0.5, n=32)
                if batch in (1_000, 2_900):
                    taken.append(ours())
            tracemalloc.stop()
    grown = taken[1].compare_to(taken[0], "lineno")
    assert sum(one.count_diff for one in grown) < 15  # of 30 batches that are timed, and 1,870 others


@pytest.mark.parametrize("listeners", [0, 1, 4])
def test_a_batch_needs_few_bytes_at_a_time(listeners: int) -> None:
    most = []
    with LoopRun(MLP((2, 1)), plain(listeners), plugins="none") as run:
        for _epoch in run.epochs(1):
            tracemalloc.start()
            for _batch in run.train(range(3_000)):
                before, peak = tracemalloc.get_traced_memory()
                most.append(peak - before)
                tracemalloc.reset_peak()
                run.log(loss=0.5, n=32)
            tracemalloc.stop()
    assert sorted(most)[1_500] <= 200  # the usual batch; what counts here needs 112 to 170 of these itself
    assert max(most[1_000:]) <= 600  # those that are timed, once all is compiled


def test_what_hooks_read_all_the_time_is_found_without_a_detour() -> None:
    # a class with __getattr__ is one whose every attribute the interpreter looks up the slow way
    assert [cls for cls in (Callback, Run, LoopRun) if hasattr(cls, "__getattr__")] == []
