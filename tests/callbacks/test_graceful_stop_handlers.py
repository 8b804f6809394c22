"""GracefulStop: the handlers of signals, whatever else is around the run."""

from __future__ import annotations

import copy
import pickle
import signal
import threading
import warnings
from typing import Any

import pytest
from test_graceful_stop import Saver, heard, looped, send

from trainhooks import LoopRun, Run, World
from trainhooks.callbacks.graceful_stop import GracefulStop
from trainhooks.events import EVENTS
from trainhooks.testing import Do, RaiseAt, StopAt, batches

__all__ = ["heard"]  # a fixture


def test_only_the_signals_that_were_named_are_caught(heard: list[int]) -> None:
    both = Do("train_batch_begin", lambda run: (send(signal.SIGINT)(run), send(signal.SIGUSR1)(run)))
    run = looped(GracefulStop(("USR1",)), Saver(), both)
    assert (run.stop_reason, heard) == ("SIGUSR1 was received", [signal.SIGINT])


def test_one_object_serves_runs_one_after_the_other(heard: list[int]) -> None:
    stop = GracefulStop()
    runs = [looped(stop, Saver(), *([Do("test_begin", send())] if sent else [])) for sent in (True, False, True)]
    assert [run.outcome for run in runs] == ["paused", "completed", "paused"]


def test_what_was_received_is_of_the_last_run(heard: list[int]) -> None:
    stop = GracefulStop()
    looped(stop, Saver(), Do("test_begin", send()))
    assert stop.received == "SIGTERM"
    looped(stop, Saver())
    assert stop.received is None


def test_an_evaluation_alone_is_paused_and_warns_of_nothing(heard: list[int]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with LoopRun(callbacks=[GracefulStop(), Do("test_batch_begin", send())]) as run:
            for batch in run.test(batches(3)):
                run.log(loss=batch)
    assert (run.outcome, run.batch) == ("paused", 0)


def test_a_run_inside_a_run_pauses_and_so_does_the_one_around_it(heard: list[int]) -> None:
    inner: list[LoopRun] = []

    def nested(run: Run) -> None:
        inner.append(looped(GracefulStop(), Saver(), Do("train_batch_begin", send())))
        send()(run)

    outer = looped(GracefulStop(), Saver(), Do("epoch_end", nested))
    assert (inner[0].outcome, outer.outcome, outer.epochs_done) == ("paused", "paused", 1)
    assert heard == [signal.SIGTERM]  # the second one


def test_a_run_inside_a_run_leaves_the_handler_of_the_one_around_it(heard: list[int]) -> None:
    outer = looped(
        GracefulStop(),
        Saver(),
        Do("epoch_end", lambda run: looped(GracefulStop(), Saver())),
        Do("epoch_begin", send(), nth=1),
    )
    assert (outer.outcome, outer.epochs_done, heard) == ("paused", 1, [])


@pytest.mark.parametrize("sent", [True, False])
def test_two_in_one_run_leave_nothing_behind(heard: list[int], sent: bool) -> None:
    made = GracefulStop(), GracefulStop("TERM")
    run = looped(*made, Saver(), *([Do("test_batch_end", send())] if sent else []))
    assert run.outcome == ("paused" if sent else "completed")


@pytest.mark.parametrize("event", [name for name in EVENTS if name not in ("exception", "optimizer_step")])
def test_after_an_exception_at_any_event_the_handlers_are_back(heard: list[int], event: str) -> None:
    cause = [StopAt("epoch_end", kind="pause")] if event in ("stop", "checkpoint") else []
    with pytest.raises(RuntimeError, match="asked for"):
        looped(GracefulStop(), Saver(), RaiseAt(event), *cause)


def test_one_that_is_added_and_removed_in_the_midst_of_a_run_leaves_nothing(heard: list[int]) -> None:
    def visit(run: Run) -> None:
        with run.add(GracefulStop()):
            send()(run)
        send()(run)

    run = looped(Saver(), Do("epoch_end", visit))
    assert (run.outcome, run.epochs_done, heard) == ("paused", 1, [signal.SIGTERM])


def test_a_handler_that_somebody_else_put_over_it_stays() -> None:
    def theirs(number: int, frame: object) -> None:
        pass

    before = signal.getsignal(signal.SIGTERM)
    try:
        looped(GracefulStop(), Saver(), Do("epoch_end", lambda run: signal.signal(signal.SIGTERM, theirs)))
        assert signal.getsignal(signal.SIGTERM) is theirs
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_handler_that_calls_it_reaches_the_one_before_at_the_second_signal(heard: list[int]) -> None:
    def cover(run: Run) -> None:
        mine: Any = signal.getsignal(signal.SIGTERM)

        def theirs(number: int, frame: Any) -> None:
            mine(number, frame)

        own.append(signal.signal(signal.SIGTERM, theirs))

    own: list[Any] = []
    run = looped(
        GracefulStop(),
        Saver(),
        Do("epoch_begin", cover),
        Do("train_batch_begin", lambda run: (send()(run), send()(run), signal.signal(signal.SIGTERM, own[0]))),
    )
    assert (run.outcome, heard) == ("paused", [signal.SIGTERM])


def test_one_that_calls_it_is_still_there_after_a_second_ctrl_c() -> None:
    def cover(run: Run) -> None:
        mine: Any = signal.getsignal(signal.SIGINT)

        def theirs(number: int, frame: Any) -> None:
            mine(number, frame)

        signal.signal(signal.SIGINT, theirs)
        theirs_and_before.append(theirs)

    theirs_and_before: list[Any] = [signal.getsignal(signal.SIGINT)]
    twice = Do("train_batch_begin", lambda run: (send(signal.SIGINT)(run), send(signal.SIGINT)(run)))
    try:
        with pytest.raises(KeyboardInterrupt):
            looped(GracefulStop(), Saver(), Do("epoch_begin", cover), twice)
        assert signal.getsignal(signal.SIGINT) is theirs_and_before[1]
    finally:
        signal.signal(signal.SIGINT, theirs_and_before[0])


def test_one_that_calls_it_is_still_there_where_the_systems_own_does_nothing() -> None:
    def cover(run: Run) -> None:
        mine: Any = signal.getsignal(signal.SIGWINCH)

        def theirs(number: int, frame: Any) -> None:
            calls.append(number)
            mine(number, frame)

        signal.signal(signal.SIGWINCH, theirs)

    calls: list[int] = []
    before = signal.getsignal(signal.SIGWINCH)
    assert before is signal.SIG_DFL
    thrice = Do("train_batch_begin", lambda run: [send(signal.SIGWINCH)(run) for _ in range(3)])
    try:
        run = looped(GracefulStop("WINCH"), Saver(), Do("epoch_begin", cover), thrice)
        assert (run.outcome, calls) == ("paused", [signal.SIGWINCH] * 3)
    finally:
        signal.signal(signal.SIGWINCH, before)


def test_one_that_another_thread_could_not_take_off_gives_way_when_it_is_called(heard: list[int]) -> None:
    def end() -> None:
        run.__exit__(None, None, None)
        ended.append(run.outcome)

    ended: list[Any] = []
    before = signal.getsignal(signal.SIGTERM)
    run = LoopRun(callbacks=[GracefulStop()])
    run.__enter__()
    thread = threading.Thread(target=end)
    thread.start()
    thread.join()
    assert len(ended) == 1
    for number in (signal.SIGTERM, signal.SIGTERM):
        send(number)(run.run)
    assert (heard, signal.getsignal(signal.SIGTERM)) == ([signal.SIGTERM] * 2, before)


def test_what_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as under nohup
    try:
        run = looped(GracefulStop(), Saver(), Do("train_batch_begin", send(signal.SIGINT)))
        assert (run.outcome, signal.getsignal(signal.SIGINT)) == ("completed", signal.SIG_IGN)
    finally:
        signal.signal(signal.SIGINT, before)


def test_outside_the_main_thread_a_warning_says_that_signals_are_not_caught(heard: list[int]) -> None:
    told: list[str] = []

    def work() -> None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            told.append(str(looped(GracefulStop(), Saver()).outcome))
        told.extend(str(one.message) for one in caught)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert told == [
        "completed",
        "GracefulStop: this run is not in the main thread, where alone Python catches signals: they do what they did, "
        "and training goes on.",
    ]


def test_where_nobody_saves_a_warning_says_what_to_add() -> None:
    with pytest.warns(UserWarning, match="saves") as caught:
        looped(GracefulStop())
    assert [str(one.message) for one in caught] == [
        "GracefulStop: no attached callback saves, so that a pause ends the run and keeps nothing of it. Add "
        'BackupAndRestore("backup") to the callbacks.'
    ]


def test_of_several_processes_the_one_that_writes_files_says_so() -> None:
    class Second(World):
        rank, size = 1, 2

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert looped(GracefulStop(), world=Second()).outcome == "completed"


def test_a_copy_is_attached_to_no_run(heard: list[int]) -> None:
    def take(run: Run) -> None:
        copies.extend([copy.deepcopy(stop), pickle.loads(pickle.dumps(stop))])

    stop, copies = GracefulStop(), list[GracefulStop]()
    looped(stop, Saver(), Do("epoch_end", take))
    assert [one.run for one in copies] == [None, None]
    assert [looped(one, Saver(), Do("epoch_end", send())).outcome for one in copies] == ["paused", "paused"]
