"""What filters remember: from a gate to JSON and back, and in a resumed run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from trainhooks import Callback, LoopRun, between, every, once, when
from trainhooks.filters import Filter
from trainhooks.gates import Gate
from trainhooks.progress import Progress
from trainhooks.testing import batches


class Filtered(Callback):
    def __init__(self) -> None:
        self.steps: list[int] = []

    @every(steps=4)
    def on_train_batch_end(self, run: Any) -> None:
        self.steps.append(run.step)

    @when(lambda run: True)
    @once(step=3)
    def on_train_batch_begin(self, run: Any) -> None:
        self.steps.append(-run.step)


def run_one_epoch(run: LoopRun, n: int) -> None:
    with run:
        for _ in run.epochs(run.epochs_done + 1):
            for _ in run.train(batches(n)):
                pass


def test_filters_go_on_where_they_were_in_a_resumed_run() -> None:
    first, second = Filtered(), Filtered()
    run = LoopRun(callbacks=[first])
    run_one_epoch(run, 6)
    state = run.state_dict()
    run_one_epoch(LoopRun(callbacks=[second], resume=state), 6)
    assert (first.steps, second.steps) == ([-3, 4], [8, 12])


def test_a_hook_that_is_filtered_otherwise_than_in_the_saved_run_starts_anew() -> None:
    class Changed(Filtered):
        @every(epochs=1)
        def on_train_batch_end(self, run: Any) -> None:
            self.steps.append(run.epochs_done)

    old, new = LoopRun(callbacks=[Filtered()]), LoopRun(callbacks=[changed := Changed()])
    run_one_epoch(old, 9)
    (filtered,) = old.bus.callbacks
    new.bus.load_gate_states(changed, old.bus.gate_states(filtered))
    assert new.bus.gate_states(changed) == {
        "on_train_batch_begin": [["when", None], ["once step", True]],
        "on_train_batch_end": [["every epochs", 0]],
    }


def called(gates: list[Gate], progress: Progress, run: Any = None) -> bool:
    due = all(gate.due(progress, run) for gate in gates)
    for gate in gates if due else ():
        gate.fired(progress)
    return due


def states(filter_: Filter) -> Iterator[tuple[Gate, Progress]]:
    """The gate that goes on, and one that was saved to JSON and loaded, each with its progress."""
    progress, gate = Progress(), filter_.gate()
    for progress.step in range(26):
        called([gate], progress)
    again = filter_.gate()
    again.load(json.loads(json.dumps(gate.state())))
    for one in (gate, again):
        later = Progress()
        yield one, later


@pytest.mark.parametrize("filter_", [every(steps=10), once(step=5), once(step=30), between(steps=(20, 33))], ids=str)
def test_a_gate_that_was_saved_and_loaded_goes_on_as_if_it_had_not_been(filter_: Filter) -> None:
    told = []
    for gate, progress in states(filter_):
        seen = []
        for progress.step in range(26, 45):
            if called([gate], progress):
                seen.append(progress.step)
        told.append(seen)
    assert told[0] == told[1]


def test_every_loads_into_another_n_and_counts_in_that_from_where_it_fired() -> None:
    old, new, progress = every(steps=1000).gate(), every(steps=20).gate(), Progress()
    progress.step = 2050
    assert called([old], progress)
    new.load(old.state())
    seen = []
    for progress.step in range(2050, 2100):
        if called([new], progress):
            seen.append(progress.step)
    assert seen == [2050, 2060, 2080]


def test_every_seconds_keeps_the_time_that_had_passed() -> None:
    gate = every(seconds=1000).gate()
    gate.load(999.0)
    assert 999.0 <= gate.state() < 1000.0
    gate.load(1001.0)
    assert gate.due(Progress(), None)  # type: ignore[arg-type]
