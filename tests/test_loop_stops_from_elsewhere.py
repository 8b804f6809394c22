"""Stops from another thread and from signal handlers, at any instruction."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from loops import TEST, Saver, tell_everything

import trainhooks
from trainhooks import LoopRun, Run
from trainhooks.progress import StopKind
from trainhooks.testing import Do, Trace, batches


def test_a_stop_from_a_thread_is_told_once_on_the_training_thread() -> None:
    threads = []

    def ask(run: Run) -> None:
        thread = threading.Thread(target=run.stop, args=["from a thread"])
        thread.start()
        thread.join()

    outline, _ = tell_everything(
        Do("train_batch_begin", ask, nth=1), Do("stop", lambda run: threads.append(threading.current_thread()))
    )
    assert outline == f"setup train[ epoch0[ batch0[] batch1[ stop ] {TEST} ] ] predict[ batch0[] ] teardown"
    assert threads == [threading.current_thread()]


@pytest.fixture
def restored() -> Iterator[int]:
    """A signal whose handler is put back."""
    before = signal.getsignal(signal.SIGTERM)
    yield signal.SIGTERM
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("inside", ["train", "test"])
def test_a_signal_pauses_at_the_end_of_the_batch_in_progress(restored: int, inside: str) -> None:
    trace = Trace()
    with LoopRun(callbacks=[Saver(), trace]) as run:
        signal.signal(restored, lambda *_: run.stop("SIGTERM", kind="pause"))
        for _epoch in run.epochs(2):
            for batch in run.train(batches(2)):
                if inside == "train":
                    os.kill(os.getpid(), restored)
                run.log(loss=batch)
            for batch in run.test(batches(2)):
                signal.raise_signal(restored)
                run.log(loss=batch)
    assert (trace.outline(), run.outcome, run.stop_reason) == (
        {
            "train": "setup train[ epoch0[ batch0[] stop checkpoint(step1) teardown",
            "test": "setup train[ epoch0[ batch0[] batch1[] test[ batch0[] stop checkpoint(step2) teardown",
        }[inside],
        "paused",
        "SIGTERM",
    )


HOT = {
    str(Path(trainhooks.__file__).parent / f"{name}.py")
    for name in ("driver", "loop", "passes", "scopes", "signals", "progress")
}


def stop_at_instruction(number: int, kind: StopKind) -> tuple[list[str], bool]:
    """The events after a stop that a signal handler asks for before the instruction of that number; and if it came."""
    trace = Trace()
    run = LoopRun(callbacks=[trace])
    left, begun = number, -1

    def watch(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal left, begun
        if frame.f_code.co_filename not in HOT:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            left -= 1
            if left == 0:
                begun = len(trace.events)
                run.stop("signal", kind=kind)
        return watch

    with run:
        before = sys.gettrace()
        sys._getframe().f_trace_opcodes = True  # before settrace: 3.12 looks only then (python/cpython#114480)
        sys.settrace(watch)
        try:
            for _epoch in run.epochs(2):
                for _batch in run.train("ab"):
                    pass
        finally:
            sys.settrace(before)
    trace.check_grammar()
    return trace.names[begun:], begun >= 0


@pytest.mark.parametrize("kind, stride", [("decision", 7), ("pause", 11)])
def test_a_stop_between_any_two_instructions_is_never_lost(kind: StopKind, stride: int) -> None:
    number, came = 1, True
    while came:
        after, came = stop_at_instruction(number, kind)
        number += stride
        late = not came or after == ["teardown"]
        one_more = after.count("train_batch_begin") <= 1 and after.count("epoch_begin") <= 1
        assert late or (after.count("stop") == 1 and one_more), (number - stride, after)
    assert number > 500
