"""The compiled dispatcher: what it looks like, that its plain twin does the same, and that it leaves nothing behind."""

from __future__ import annotations

import gc
import itertools
import linecache
import re
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainhooks import Callback, Event, EventBus, LoopRun, Run, between, every, once, when
from trainhooks.dispatch import Listener, _code, compile_listeners, interpret
from trainhooks.events import EVENTS
from trainhooks.filters import Filter
from trainhooks.progress import Progress
from trainhooks.testing import batches
from trainhooks.timings import Timings


class First(Callback):
    def on_train_batch_end(self, batch: int, logs: Any) -> None: ...


class Second(Callback):
    @every(steps=10)
    def on_train_batch_end(self, run: Run) -> None: ...


def test_a_hook_costs_one_plain_call_and_a_filter_one_comparison() -> None:
    run = LoopRun(callbacks=[First(), Second()])
    assert run.bus.source("train_batch_end") == (
        "def train_batch_end(batch, logs):\n"
        "    _h0(batch, logs)\n"
        "    if _progress.step >= _g1_0.next:\n"
        "        _g1_0.fired(_progress)\n"
        "        _h1(run)\n"
    )


def test_a_listener_with_more_filters_keeps_those_that_it_has() -> None:
    (hook,) = Second().listeners()
    more = hook.when_due(once()).when_due(between(steps=(1, 9)))
    assert [type(one) for one in more.filters] == [type(one) for one in (*hook.filters, once(), between(steps=(1, 9)))]
    assert (more.event, more.call, more.who, more.owner) == (hook.event, hook.call, hook.who, hook.owner)


def test_keywords_several_filters_and_an_error_policy_are_written_out() -> None:
    run = LoopRun()

    @run.on("test_batch_end", once(), when(bool), on_error="warn")
    def show(run: Run, *, batch: int) -> None: ...

    assert run.bus.source("test_batch_end") == (
        "def test_batch_end(batch, logs):\n"
        "    try:\n"
        "        if _g0_0.due(_progress, run):\n"
        "            if _g0_1.due(_progress, run):\n"
        "                _g0_0.fired(_progress)\n"
        "                _h0(run, batch=batch)\n"
        "    except _Exception as _error:\n"
        "        _on_error(_l0, _error)\n"
    )


def test_a_rare_event_of_a_run_times_each_of_its_listeners() -> None:
    run = LoopRun()
    run.on("epoch_end", once(), on_error="warn")(lambda epoch: None)
    run.on("epoch_end")(lambda logs: None)
    assert run.bus.source("epoch_end") == (
        "def epoch_end(epoch, logs):\n"
        "    _then = _clock()\n"
        "    try:\n"
        "        if _g0_0.due(_progress, run):\n"
        "            _g0_0.fired(_progress)\n"
        "            _h0(epoch)\n"
        "    except _Exception as _error:\n"
        "        _on_error(_l0, _error)\n"
        "    _now = _clock()\n"
        "    _s0.seconds += _now - _then\n"
        "    _s0.times += 1\n"
        "    _then = _now\n"
        "    _h1(logs)\n"
        "    _now = _clock()\n"
        "    _s1.seconds += _now - _then\n"
        "    _s1.times += 1\n"
        "    _then = _now\n"
    )
    assert "_clock" not in LoopRun().bus.source("train_batch_end") + EventBus().source("epoch_end")


def test_a_lone_plain_hook_that_is_timed_is_not_the_dispatcher_itself() -> None:
    first, run = First(), LoopRun()
    run.add(first)
    call, spent = run.bus.timed("train_batch_end")
    assert (call != first.on_train_batch_end, [one.who for one in spent]) == (True, ["First.on_train_batch_end"])
    assert run.bus.timed("optimizer_step") == (None, [])


def test_a_lone_plain_hook_is_the_dispatcher_itself() -> None:
    first, bus = First(), EventBus()
    bus.add(first)
    bus.emit("train_batch_end", batch=0, logs={})
    assert bus.calls["train_batch_end"] == first.on_train_batch_end


@pytest.mark.parametrize(
    "hook, options",
    [
        (lambda logs, batch: None, {}),
        (lambda batch: None, {}),
        (lambda batch, *, logs: None, {}),
        (lambda batch, logs: None, {"on_error": "warn"}),
        (lambda batch, logs: None, {"filters": [once()]}),
    ],
)
def test_a_lone_hook_that_is_not_plain_is_called_through_a_dispatcher(
    hook: Callable[..., None], options: dict[str, Any]
) -> None:
    event = EVENTS["train_batch_end"]
    made = compile_listeners(event, [Listener(event, hook, "hook", **options)], None, None, print)
    assert made is not None
    assert made is not hook
    assert made.__name__ == "train_batch_end"


def test_there_is_no_function_where_nobody_listens() -> None:
    bus = EventBus()
    assert set(bus.calls.values()) == {None}
    with bus.on("setup")(lambda: None):
        assert bus.calls["setup"] is not None
    assert bus.calls["setup"] is None
    assert compile_listeners(EVENTS["setup"], [], None, None, print) is None


# The twin

ARGUMENTS = ("epoch", "logs", "run")


class BoomError(Exception):
    pass


def hook_of(number: int, takes: list[str], keyword: int, raises: type[BaseException] | None, story: list[Any]) -> Any:
    """A function of just these arguments, the last ``keyword`` of them by keyword only, that tells what it got."""
    plain, named = takes[: len(takes) - keyword], takes[len(takes) - keyword :]
    parameters = ", ".join([*plain, "*", *named] if named else plain)
    told = "".join(f"({name!r}, {name}), " for name in takes)
    scope: dict[str, Any] = {"story": story, "raises": raises}
    exec(f"def hook({parameters}):\n story.append(({number}, {told}))\n if raises: raise raises({number})\n", scope)
    return scope["hook"]


def even(run: Any) -> bool:
    return bool(run.step % 2 == 0)


def failing(run: Any) -> bool:
    raise BoomError("in a filter")


def raised_at(trace: TracebackType | None) -> int:
    """The number of the listener that an exception came out of, by the line of the dispatcher that called it."""
    (line,) = [frame.line for frame in traceback.extract_tb(trace) if frame.name == "epoch_end"]
    return int(re.findall(r"_[hgl](\d+)", line or "")[0])


filters = st.sampled_from(
    [
        every(steps=2),
        every(steps=3),
        every(epochs=1),
        once(step=2),
        once(),
        between(steps=(1, 4)),
        when(even),
        when(failing),
    ]
)
specs = st.tuples(
    st.lists(st.sampled_from(ARGUMENTS), unique=True, max_size=3),
    st.integers(0, 3),
    st.sampled_from([None, None, BoomError, KeyboardInterrupt]),
    st.lists(filters, max_size=2),
    st.sampled_from(["raise", "warn", "disable"]),
)


@settings(max_examples=150, deadline=None)
@given(specs=st.lists(specs, max_size=4), jumps=st.lists(st.integers(0, 3), min_size=1, max_size=5))
def test_the_compiled_function_timed_or_not_and_its_plain_twin_behave_alike(
    specs: list[tuple[list[str], int, type[BaseException] | None, list[Filter], Any]], jumps: list[int]
) -> None:
    event = EVENTS["epoch_end"]
    stories: list[list[Any]] = []
    for kind in ("compiled", "timed", "plain"):
        story: list[Any] = []
        listeners = [
            Listener(
                event,
                hook_of(number, takes, min(keyword, len(takes)), raises, story),
                f"hook{number}",
                filters=gates,
                on_error=policy,
            )
            for number, (takes, keyword, raises, gates, policy) in enumerate(specs)
        ]
        progress, timings = Progress(), Timings(EventBus())
        timings.clock = itertools.count().__next__  # each look takes a second

        def on_error(listener: Listener, error: Exception, story: list[Any] = story) -> None:
            story.append((listener.who, listener.on_error, repr(error)))

        about: Any = (event, listeners, progress, progress, on_error)  # step is all that they ask of a run
        call = interpret(*about) if kind == "plain" else compile_listeners(*about, timings if kind == "timed" else None)
        reached = [0] * len(listeners)
        for number, jump in enumerate(jumps):
            progress.step += jump
            progress.epochs_done = number
            try:
                if call is not None:
                    call(number, {"loss": 1.0})
                whole = len(listeners)
            except (BoomError, KeyboardInterrupt) as error:
                story.append(repr(error))
                whole = raised_at(error.__traceback__) if kind == "timed" else 0
            reached = [times + (which < whole) for which, times in enumerate(reached)]
        if kind == "timed":
            spent = [timings.of(one) for one in listeners]
            assert [one.times for one in spent] == [one.seconds for one in spent] == reached
        # a run is told by its place, since each build has its own
        stories.append([str(one).replace(repr(progress), "RUN") for one in story])
        stories[-1].append(str([[gate.state() for gate in one.gates] for one in listeners]))
    assert stories[0] == stories[1] == stories[2]


# Names that could collide


@pytest.mark.parametrize("name", ["error", "progress", "on_error", "h0", "g0_0", "l0", "event", "self"])
def test_a_declared_event_may_use_any_plain_name_for_its_arguments(name: str) -> None:
    run, seen = LoopRun(), []
    scope: dict[str, Any] = {"seen": seen}
    exec(f"def hook({name}, run): seen.append({name})", scope)

    def bad() -> None:
        raise BoomError

    run.bus.declare(Event("tick", (name,), ""))
    run.on("tick", on_error="warn")(bad)
    run.on("tick", once())(scope["hook"])
    with pytest.warns(RuntimeWarning, match="raised BoomError"):
        run.bus.emit("tick", **{name: 7})
    assert seen == [7]


# Tracebacks


def of_ours() -> set[str]:
    return {name for name in linecache.cache if name.startswith("<trainhooks ")}


def test_a_traceback_shows_the_generated_line() -> None:
    bus = EventBus()

    @bus.on("epoch_end")
    def fails(epoch: int) -> None:
        raise BoomError

    with pytest.raises(BoomError) as caught:
        bus.emit("epoch_end", epoch=3, logs={})
    frames = [(frame.name, frame.line) for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert frames[-2:] == [("epoch_end", "_h0(epoch)"), ("fails", "raise BoomError")]


def test_the_lines_are_kept_once_for_all_of_one_form_and_go_with_the_last_user() -> None:
    before, event = of_ours(), EVENTS["epoch_end"]
    gc.collect()
    gc.disable()  # without a cycle there is nothing for it to do
    try:
        _code.cache_clear()
        made = [
            compile_listeners(event, [Listener(event, lambda epoch: None, "hook")], None, None, print) for _ in "twice"
        ]
        assert len(of_ours() - before) == 1
        linecache.checkcache()  # as traceback does: a name that is no file must stay
        _code.cache_clear()
        assert len(of_ours() - before) == 1
        made.clear()
        assert of_ours() - before == set()
    finally:
        gc.enable()


def test_a_thousand_changes_leave_one_source_at_most() -> None:
    before, bus = of_ours(), EventBus()
    for _ in range(1000):
        with bus.on("setup", once())(lambda: None):
            bus.emit("setup")
    assert len(of_ours() - before) <= 1


# Changes during an emit


def test_a_change_made_during_an_emit_counts_from_the_next() -> None:
    bus, story = EventBus(), []

    def add() -> None:
        story.append("add")
        if len(story) == 1:
            bus.on("setup")(lambda: story.append("added"))
            removed.remove()

    bus.on("setup")(add)
    removed = bus.on("setup")(lambda: story.append("removed"))
    for _ in range(2):
        bus.emit("setup")
        story.append("|")
    assert story == ["add", "removed", "|", "add", "added", "|"]


def test_a_change_made_in_a_nested_emit_counts_from_the_one_after() -> None:
    bus, story = EventBus(), []

    @bus.on("setup")
    def outer() -> None:
        story.append("outer")
        if len(story) == 1:
            bus.on("setup")(lambda: story.append("new"))
            bus.emit("setup")

    bus.on("setup")(lambda: story.append("last"))
    bus.emit("setup")
    assert story == ["outer", "outer", "last", "new", "last"]


def test_a_lone_hook_may_remove_itself() -> None:
    bus, story = EventBus(), []

    def only() -> None:
        story.append("called")
        handle.remove()

    handle = bus.on("setup")(only)
    bus.emit("setup")
    bus.emit("setup")
    assert (story, bus.calls["setup"]) == (["called"], None)


def test_a_hook_added_in_a_batch_hears_the_next_batch_of_a_run() -> None:
    heard: list[int] = []
    with LoopRun() as run:
        for _ in run.epochs(1):
            for batch in run.train(batches(3)):
                if batch == 1:
                    run.on("train_batch_end")(lambda batch: heard.append(batch))
    assert heard == [1, 2]
