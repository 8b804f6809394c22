"""What a run costs: no memory that grows or stays, and no call for an event that nobody listens to."""

from __future__ import annotations

import gc
import sys
import tracemalloc
import weakref
from types import FrameType
from typing import Any

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


def calls_during(run: LoopRun) -> list[tuple[str, str, str]]:
    """The Python calls of 100 batches: the file and name of each function, and the name of its caller."""
    calls: list[tuple[str, str, str]] = []

    def note(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and frame.f_back is not None:
            code = frame.f_code
            calls.append((code.co_filename.rpartition("/")[2], code.co_name, frame.f_back.f_code.co_name))

    with run:
        for _epoch in run.epochs(1):
            loop = iter(run.train(range(102)))
            next(loop)
            next(loop)  # the first emit compiles
            gc.collect()
            gc.disable()  # what it collects may call back
            before = sys.getprofile()
            sys.setprofile(note)
            for _batch in loop:
                pass
            sys.setprofile(before)
            gc.enable()
    return calls


GENERATORS = ("_iterate", "batches")
"""What a ``for`` resumes at each of its turns."""
CLOSING = ["close", "boundary", "_leave_if_paused"]
"""What follows the last batch."""


def test_an_event_that_nobody_listens_to_makes_no_call_at_all() -> None:
    calls = calls_during(LoopRun(callbacks=[Trace(batches=False)]))
    assert [name for _, name, _ in calls if name not in GENERATORS] == CLOSING
    assert [sum(name == one for _, name, _ in calls) for one in GENERATORS] == [101, 101]


def test_a_lone_plain_hook_is_called_once_a_batch_with_no_frame_between() -> None:
    class Plain(Callback):
        def on_train_batch_end(self, batch: int, logs: Any) -> None:
            pass

    calls = calls_during(LoopRun(callbacks=[Plain()]))
    assert [(name, caller) for _, name, caller in calls if name not in GENERATORS][: -len(CLOSING)] == [
        ("on_train_batch_end", "batches")
    ] * 101


def test_what_hooks_read_all_the_time_is_found_without_a_detour() -> None:
    # a class with __getattr__ is one whose every attribute the interpreter looks up the slow way
    assert [cls for cls in (Callback, Run, LoopRun) if hasattr(cls, "__getattr__")] == []
