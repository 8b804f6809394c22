"""When a hook is due. A loop that reads like the documentation first, then each rule against a naive model of it."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from trainhooks import Callback, EventBus, LoopRun, Run, between, every, fit, once, when
from trainhooks.filters import Filter
from trainhooks.gates import Gate
from trainhooks.progress import Progress
from trainhooks.testing import Constant, batches


class Steps(Callback):
    """Write down ``run.step`` at each firing."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    @every(steps=4)
    def on_train_batch_end(self, run: Run) -> None:
        self.seen.append(run.step)


def test_every_counts_over_the_whole_run() -> None:
    steps = Steps()
    fit(Constant(), batches(3), epochs=3, callbacks=[steps])
    assert steps.seen == [4, 8]


def test_one_class_serves_many_runs_each_with_its_own_count() -> None:
    first, second = Steps(), Steps()
    fit(Constant(), batches(5), callbacks=[first])
    fit(Constant(), batches(5), callbacks=[second, first])
    assert (first.seen, second.seen) == ([4, 4], [4])


def fired(events: list[int], *filters: Filter, count: str = "step", run: Any = None) -> list[int]:
    """At which of these counts a hook with these filters is called."""
    progress, gates, seen = Progress(), [one.gate() for one in filters], []
    for at in events:
        setattr(progress, count, at)
        if called(gates, progress, run):
            seen.append(at)
    return seen


def called(gates: list[Gate], progress: Progress, run: Any = None) -> bool:
    due = all(gate.due(progress, run) for gate in gates)
    for gate in gates if due else ():
        gate.fired(progress)
    return due


def test_every_is_due_where_a_multiple_was_crossed_and_never_at_0() -> None:
    assert fired([0, 0, 1, 9, 10, 10, 11, 19, 35, 39, 40, 41], every(steps=10)) == [10, 35, 40]


jumps = st.lists(st.integers(0, 25), max_size=30)


@settings(max_examples=200, deadline=None)
@given(jumps=jumps, n=st.integers(1, 12), unit=st.sampled_from(["steps", "optimizer_steps", "epochs"]))
def test_every_is_as_its_rule_says_over_any_jumps(jumps: list[int], n: int, unit: str) -> None:
    counts = list(np.cumsum([0, *jumps]).tolist())
    expected, last = [], 0
    for count in counts:
        if any(number % n == 0 for number in range(last + 1, count + 1)):
            expected.append(count)
            last = count
    slot = {"steps": "step", "optimizer_steps": "optimizer_step", "epochs": "epochs_done"}[unit]
    assert fired(counts, every(**{unit: n}), count=slot) == expected


@settings(max_examples=100, deadline=None)
@given(jumps=jumps, at=st.integers(0, 60))
def test_once_is_due_at_the_first_event_that_reached_it(jumps: list[int], at: int) -> None:
    counts = list(np.cumsum([0, *jumps]).tolist())
    for filter_, slot in ((once(step=at), "step"), (once(epoch=at), "epoch")):
        assert fired(counts, filter_, count=slot) == [count for count in counts if count >= at][:1]
    assert fired(counts, once()) == counts[:1]


@settings(max_examples=100, deadline=None)
@given(jumps=jumps, first=st.integers(0, 60), length=st.integers(1, 60) | st.none())
def test_between_is_due_in_a_half_open_interval(jumps: list[int], first: int, length: int | None) -> None:
    counts = list(np.cumsum([0, *jumps]).tolist())
    last = None if length is None else first + length
    inside = [count for count in counts if first <= count and (last is None or count < last)]
    assert fired(counts, between(steps=(first, last))) == inside
    assert fired(counts, between(epochs=(first, last)), count="epoch") == inside


def test_between_epochs_counts_as_epoch_does_and_every_epochs_what_is_finished() -> None:
    at_begin: list[int] = []
    at_end: list[int] = []
    late: list[int] = []
    with LoopRun() as run:
        run.on("epoch_begin", between(epochs=(1, 3)))(lambda epoch: at_begin.append(epoch))
        run.on("epoch_end", every(epochs=2))(lambda epoch: at_end.append(epoch))
        run.on("train_batch_begin", every(epochs=2))(lambda run: late.append(run.epoch))  # on whatever event it sits
        for _ in run.epochs(5):
            for _ in run.train(batches(2)):
                pass
    assert (at_begin, at_end, late) == ([1, 2], [1, 3], [2, 4])


def test_every_seconds_is_due_when_they_passed_since_it_last_fired() -> None:
    bus, calls = EventBus(), []
    bus.on("setup", every(seconds=1e-9))(lambda: calls.append("often"))
    bus.on("setup", every(seconds=3600))(lambda: calls.append("rare"))
    for _ in range(2):
        start = time.monotonic()
        while time.monotonic() - start < 1e-6:
            pass
        bus.emit("setup")
    assert calls == ["often", "often"]


def test_when_asks_its_predicate_with_the_run() -> None:
    steps = []
    with LoopRun() as run:
        run.on("train_batch_end", when(lambda run: run.step % 3 == 1))(lambda run: steps.append(run.step))
        for _ in run.epochs(2):
            for _ in run.train(batches(3)):
                pass
    assert steps == [1, 4]


# Several on one hook


def test_several_must_all_be_due_and_none_is_used_up_before_the_hook_is_called() -> None:
    events = list(range(30))
    open_at = {13, 14, 15, 27}

    def odd(_: Any) -> bool:
        return at[0] in open_at

    at, seen = [0], []
    for order in ((every(steps=10), when(odd)), (when(odd), every(steps=10))):
        progress, gates = Progress(), [one.gate() for one in order]
        for at[0] in events:
            progress.step = at[0]
            if called(gates, progress):
                seen.append(at[0])
    assert seen == [13, 27, 13, 27]
    assert fired(events, every(steps=10), between(steps=(15, 26))) == [15, 20]
    assert fired(events, once(step=5), between(steps=(12, None))) == [12]
    assert fired(events, every(steps=4), every(steps=6)) == [6, 12, 18, 24]


filters = st.one_of(
    st.integers(1, 6).map(lambda n: every(steps=n)),
    st.integers(0, 20).map(lambda n: once(step=n)),
    st.tuples(st.integers(0, 10), st.integers(11, 40)).map(lambda pair: between(steps=pair)),
)


@settings(max_examples=100, deadline=None)
@given(jumps=st.lists(st.integers(0, 5), max_size=20), stack=st.lists(filters, max_size=3), data=st.data())
def test_the_order_in_which_filters_are_stacked_changes_nothing(
    jumps: list[int], stack: list[Filter], data: st.DataObject
) -> None:
    counts = list(np.cumsum([0, *jumps]).tolist())
    other = data.draw(st.permutations(stack))
    assert fired(counts, *stack) == fired(counts, *other)


def test_decorators_and_arguments_add_up() -> None:
    class Both(Callback):
        seen: list[int] = []

        @every(steps=2)
        @between(steps=(3, 7))
        def on_train_batch_end(self, run: Run) -> None:
            self.seen.append(run.step)

    seen = []

    @every(steps=2)
    def marked(run: Run) -> None:
        seen.append(run.step)

    with LoopRun(callbacks=[Both()]) as run:
        run.on("train_batch_end", between(steps=(3, 7)))(marked)
        for _ in run.epochs(1):
            for _ in run.train(batches(9)):
                pass
    assert Both.seen == seen == [3, 4, 6]


class Unbound(Callback):
    seen: list[str] = []

    @every(steps=2)
    @staticmethod
    def on_train_batch_end() -> None:
        Unbound.seen.append("batch")

    @staticmethod
    @every(epochs=2)
    def on_epoch_end() -> None:
        Unbound.seen.append("epoch")

    @once()
    @classmethod
    def on_epoch_begin(cls) -> None:
        cls.seen.append("begin")


def test_a_filter_is_kept_on_static_and_class_methods_in_either_order() -> None:
    fit(Constant(), batches(2), epochs=2, callbacks=[Unbound()])
    assert Unbound.seen == ["begin", "batch", "batch", "epoch"]


def test_an_overridden_hook_has_its_own_filters_and_an_inherited_one_keeps_them() -> None:
    class Kept(Steps):
        pass

    class Bare(Steps):
        def on_train_batch_end(self, run: Run) -> None:
            self.seen.append(run.step)

    kept, bare = Kept(), Bare()
    fit(Constant(), batches(5), callbacks=[kept, bare])
    assert (kept.seen, bare.seen) == ([4], [1, 2, 3, 4, 5])
