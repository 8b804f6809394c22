"""What an exception in a hook does: ``on_error``, and the events that reach everyone."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest

from trainhooks import Callback, EventBus, LoopRun
from trainhooks.testing import RaiseAt, Trace


class Failing(Callback):
    """Fails in every hook; its truth value is False, as an empty collection's is."""

    def __init__(self, on_error: Any, story: list[str]) -> None:
        self.on_error, self.story = on_error, story

    def __len__(self) -> int:
        return 0

    def _fail(self, what: str) -> None:
        self.story.append(what)
        raise ValueError(f"no {what}")

    def on_setup(self) -> None:
        self._fail("setup")

    def on_epoch_end(self) -> None:
        self._fail("epoch_end")

    def on_exception(self) -> None:
        self._fail("exception")

    def on_teardown(self) -> None:
        self._fail("teardown")


def live(bus: EventBus, story: list[str]) -> list[str]:
    """Emit a run's events, two of them twice, beside a listener that comes after; returns the warnings."""
    bus.on("epoch_end", phase="save")(lambda: story.append("after"))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        bus.emit("setup")
        for epoch in range(2):
            bus.emit("epoch_end", epoch=epoch, logs={})
        bus.emit("exception", exception=KeyError())
        bus.emit("teardown")
    return [str(one.message) for one in said]


def test_warn_says_it_once_for_each_callback_and_goes_on() -> None:
    story: list[str] = []
    bus = EventBus()
    bus.add(Failing("warn", story))
    assert live(bus, story) == ["Failing.on_setup raised ValueError: no setup (training goes on)"]
    assert story == ["setup", "epoch_end", "after", "epoch_end", "after", "exception", "teardown"]


def test_disable_leaves_the_callback_out_but_for_its_exception_and_teardown() -> None:
    story: list[str] = []
    bus = EventBus()
    bus.add(Failing("disable", story))
    assert live(bus, story) == ["Failing.on_setup raised ValueError: no setup (it is disabled for the rest of the run)"]
    assert story == ["setup", "after", "after", "exception", "teardown"]


def test_raise_ends_the_event() -> None:
    story: list[str] = []
    bus = EventBus()
    bus.add(Failing("raise", story))
    with pytest.raises(ValueError, match="no setup"):
        live(bus, story)
    with pytest.raises(ValueError, match="no epoch_end"):
        bus.emit("epoch_end", epoch=0, logs={})
    assert story == ["setup", "epoch_end"]


def test_two_callbacks_of_a_class_and_each_function_warn_for_themselves() -> None:
    bus = EventBus()

    def fails() -> None:
        raise OSError("full")

    bus.add(Failing("warn", []), Failing("warn", []))
    handles = [bus.on("epoch_end", on_error="warn")(fails), bus.on("epoch_end", on_error="disable")(fails)]
    said = live(bus, [])
    here = "test_two_callbacks_of_a_class_and_each_function_warn_for_themselves.<locals>.fails"
    assert said == [
        "Failing.on_setup raised ValueError: no setup (training goes on)",
        "Failing.on_setup raised ValueError: no setup (training goes on)",
        f"{here} raised OSError: full (training goes on)",
        f"{here} raised OSError: full (it is disabled for the rest of the run)",
    ]
    assert bus.order("epoch_end").count(here) == 1
    for handle in handles:
        handle.remove()
    assert here not in bus.order("epoch_end")


@pytest.mark.parametrize("on_error", ["warn", "disable"])
def test_ctrl_c_passes_every_policy(on_error: Any) -> None:
    bus = EventBus()

    @bus.on("setup", on_error=on_error)
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bus.emit("setup")


def test_guarded_reaches_all_and_hands_back_what_was_raised_and_by_whom() -> None:
    bus, story = EventBus(), []

    def raiser(error: BaseException) -> Callable[[], None]:
        def raises() -> None:
            story.append(type(error).__name__)
            raise error

        return raises

    for error in (KeyError("a"), KeyboardInterrupt()):
        bus.on("teardown")(raiser(error))
    bus.on("teardown", phase="save")(lambda: story.append("last"))
    raised = bus.guarded("teardown")
    assert story == ["KeyError", "KeyboardInterrupt", "last"]
    assert [(one.who.rpartition(".")[2], type(error)) for one, error in raised] == [
        ("raises", KeyError),
        ("raises", KeyboardInterrupt),
    ]


def test_teardown_reaches_everyone_in_a_run_whatever_another_raised() -> None:
    trace = Trace()
    with pytest.raises(RuntimeError, match="asked for"), LoopRun(callbacks=[RaiseAt("teardown"), trace]):
        pass
    assert trace.outline() == "setup teardown"
