"""Who is called, in which order, and what an exception does. The bus is useful alone, as the first test shows."""

from __future__ import annotations

import functools
import gc
import weakref
from typing import Any

import pytest

from trainhooks import Callback, EventBus, Handle, LoopRun, TrainhooksError
from trainhooks.testing import Do, Trace, play


def test_a_bus_alone_calls_functions_with_what_they_ask_for() -> None:
    bus, lines = EventBus(), []

    @bus.on("epoch_end")
    def show(epoch: int, logs: dict[str, float]) -> None:
        lines.append(f"{epoch}: {logs['loss']}")

    bus.emit("epoch_end", epoch=0, logs={"loss": 0.5})
    assert lines == ["0: 0.5"]
    assert isinstance(show, Handle)


class Named(Callback):
    def __init__(self, phase: Any = "observe") -> None:
        self.phase = phase

    def on_epoch_end(self) -> None: ...


class Saver(Named): ...


class Decider(Named): ...


def test_the_order_is_by_phase_and_then_as_registered() -> None:
    bus = EventBus()

    def first() -> None: ...

    def late() -> None: ...

    bus.on("epoch_end", phase="report")(late)
    bus.add(Saver("save"), Named("report"), Decider("decide"), Named())
    bus.on("epoch_end")(first)
    here = "test_the_order_is_by_phase_and_then_as_registered.<locals>."
    assert bus.order("epoch_end") == [
        "Named.on_epoch_end",
        f"{here}first",
        "Decider.on_epoch_end",
        f"{here}late",
        "Named.on_epoch_end",
        "Saver.on_epoch_end",
    ]
    assert bus.order("epoch_begin") == []


def test_they_are_called_in_that_order() -> None:
    bus, called = EventBus(), []
    for number, phase in enumerate(["save", "observe", "report", "decide", "observe", "save"]):
        bus.on("setup", phase=phase)(functools.partial(called.append, number))  # type: ignore[arg-type]
    bus.emit("setup")
    assert called == [1, 4, 3, 2, 0, 5]


def test_the_decision_of_an_event_is_seen_by_who_reports_and_saves_in_it() -> None:
    seen: list[tuple[str, bool]] = []
    with LoopRun() as run:
        for phase in ("save", "report", "observe"):
            run.on("epoch_end", phase=phase)(Teller(phase, seen))  # type: ignore[arg-type]
        run.on("epoch_end", phase="decide")(Stopper())
        for _ in run.epochs(1):
            pass
    assert seen == [("observe", False), ("report", True), ("save", True)]


class Teller:
    def __init__(self, phase: str, seen: list[tuple[str, bool]]) -> None:
        self.phase, self.seen = phase, seen

    def __call__(self, run: Any) -> None:
        self.seen.append((self.phase, run.should_stop))


class Stopper:
    def __call__(self, run: Any) -> None:
        run.stop("enough")


# Handles


def test_a_handle_takes_off_what_it_added_once_and_again_to_no_effect() -> None:
    bus, called = EventBus(), []
    handle = bus.on("setup")(lambda: called.append("first"))
    bus.on("setup")(lambda: called.append("second"))
    bus.emit("setup")
    handle.remove()
    handle.remove()
    bus.emit("setup")
    assert called == ["first", "second", "second"]


def test_a_handle_is_a_context_manager_that_lets_exceptions_pass() -> None:
    bus, called = EventBus(), []

    def leave_with_an_error() -> None:
        with bus.on("setup")(lambda: called.append(1)) as handle:
            assert isinstance(handle, Handle)
            bus.emit("setup")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        leave_with_an_error()
    bus.emit("setup")
    assert (called, bus.listens("setup")) == ([1], False)


def test_the_handle_of_add_takes_the_callbacks_off_so_that_they_can_be_added_again() -> None:
    bus, one, two = EventBus(), Named(), Decider()
    handle = bus.add(one, two)
    handle.remove()
    assert (bus.callbacks, bus.order("epoch_end")) == ((), [])
    bus.add(two, one)
    handle.remove()
    assert bus.order("epoch_end") == ["Decider.on_epoch_end", "Named.on_epoch_end"]


def test_a_handle_leaves_alone_what_was_taken_off_and_added_anew() -> None:
    bus, one = EventBus(), Named()
    handle = bus.add(one)
    bus.remove(one)
    bus.add(one)
    handle.remove()
    assert (bus.callbacks, bus.order("epoch_end")) == ((one,), ["Named.on_epoch_end"])


def test_a_callback_that_is_taken_off_a_running_run_is_free_for_another() -> None:
    trace, gone = Trace(), Trace()
    with LoopRun(callbacks=[trace, gone]) as run:
        run.bus.remove(gone)
        run.bus.remove(gone)
        with run.add(gone_too := Trace()):
            assert gone_too.run is run.run
        for _ in run.epochs(1):
            pass
        assert (gone.run, gone_too.run, trace.run) == (None, None, run.run)
        with LoopRun(callbacks=[gone, gone_too]):
            pass
    assert [one.outline() for one in (trace, gone, gone_too)] == [
        "setup train[ epoch0[] ] teardown",
        "setup setup teardown",
        "setup teardown",
    ]


def test_removing_one_of_two_registrations_of_a_function_leaves_the_other() -> None:
    bus, called = EventBus(), []

    def hook() -> None:
        called.append(1)

    first, second = bus.on("setup")(hook), bus.on("setup")(hook)
    first.remove()
    bus.emit("setup")
    second.remove()
    bus.emit("setup")
    assert called == [1]


def test_a_handle_that_is_kept_does_not_keep_the_bus() -> None:
    bus = EventBus()
    handles = [bus.on("setup")(lambda: None), bus.add(Named())]
    bus.emit("setup")
    bus.emit("epoch_end", epoch=0, logs={})
    gone = weakref.ref(bus)
    del bus
    gc.collect()
    assert gone() is None
    for handle in handles:
        handle.remove()


def test_a_finished_run_is_collected_while_its_callbacks_and_handles_live() -> None:
    trace = Trace()
    run = play([{"loss": 1.0}], [trace])
    kept = run.on("setup")(lambda: None)
    gone = [weakref.ref(one) for one in (run, run.run, run.bus)]
    del run
    gc.collect()
    assert ([one() for one in gone], trace.run) == ([None, None, None], None)
    kept.remove()


# emit


@pytest.mark.parametrize(
    "arguments, text",
    [
        ({"epoch": 1}, "it is given no 'logs'. Its arguments are 'epoch', 'logs'."),
        ({}, "it is given no 'epoch', 'logs'. Its arguments are 'epoch', 'logs'."),
        ({"epoch": 1, "logs": {}, "x": 1}, "it has no argument 'x'. Its arguments are 'epoch', 'logs'."),
        (
            {"epoch": 1, "log": {}},
            "it is given no 'logs' and has no argument 'log'. Its arguments are 'epoch', 'logs'. Did you mean 'logs'?",
        ),
        ({"epoch": 1, "logs": {}, "run": 1}, "it has no argument 'run'. Its arguments are 'epoch', 'logs'."),
    ],
)
def test_emit_takes_just_the_events_arguments_whether_anybody_listens_or_not(
    arguments: dict[str, Any], text: str
) -> None:
    bus = EventBus()
    for _ in range(2):
        with pytest.raises(TypeError) as caught:
            bus.emit("epoch_end", **arguments)
        assert str(caught.value) == f"emit('epoch_end'): {text}"
        bus.on("epoch_end")(lambda: None)


def test_the_older_names_reach_the_newer_events() -> None:
    bus, called = EventBus(), []
    bus.on("batch_end")(lambda batch: called.append(batch))
    bus.emit("train_batch_end", batch=1, logs={})
    bus.emit("batch_end", batch=2, logs={})
    assert (called, bus.listens("batch_end"), bus.listens("train_batch_end")) == ([1, 2], True, True)


def test_listens_says_whether_anybody_does() -> None:
    bus = EventBus()
    before = bus.listens("epoch_end")
    with bus.add(Named()):
        during = bus.listens("epoch_end"), bus.listens("epoch_begin")
    assert (before, during, bus.listens("epoch_end")) == (False, (True, False), False)


def test_what_is_asked_of_an_unknown_event_is_an_error_of_ours() -> None:
    bus = EventBus()
    for ask in (bus.on, bus.emit, bus.listens, bus.order, bus.source):
        with pytest.raises(TrainhooksError):
            ask("epoch_ends")


def test_an_action_of_a_callback_sees_the_run_of_its_bus() -> None:
    seen = []
    run = LoopRun(callbacks=[Do("setup", seen.append)])
    with run:
        pass
    assert seen == [run.run]
