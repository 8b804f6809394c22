"""Whatever a user's program and its callbacks do, the events follow the grammar."""

from __future__ import annotations

import gc
import sys
import warnings
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainhooks import Callback, LoopRun, Run, fit
from trainhooks.testing import Constant, Do, RaiseAt, StopAt, Trace
from trainhooks.testing.strategies import Played, Program, ScriptedError, execute, meddlers, programs


class Saver(Callback):
    saves = 0

    def save(self, run: Run) -> None:
        self.saves += 1


class Down(Callback):
    """Counts its teardowns."""

    downs = 0

    def on_teardown(self) -> None:
        self.downs += 1


@pytest.fixture(autouse=True)
def nothing_unraisable() -> Iterator[None]:
    """No generator fails behind the program's back."""
    seen: list[str] = []
    before, sys.unraisablehook = sys.unraisablehook, lambda one: seen.append(f"{one.exc_value!r} in {one.object!r}")
    yield
    gc.collect()
    sys.unraisablehook = before
    assert seen == []


def check(trace: Trace, downs: list[Down]) -> None:
    """What holds of the events of every run."""
    trace.check_grammar()
    names = trace.names
    assert [one.downs for one in downs] == [1] * len(downs)
    assert (names.count("teardown"), names[-1], names.count("stop") <= 1) == (1, "teardown", True)
    epochs = [arguments["epoch"] for name, arguments in trace.events if name == "epoch_begin"]
    assert epochs == list(range(len(epochs)))
    for name in ("train_batch_begin", "train_batch_end"):
        expected = 0
        for event, arguments in trace.events:
            if event == "epoch_begin":
                expected = 0
            elif event == name:
                assert arguments["batch"] == expected
                expected += 1


def outcome_by_the_rules(run: LoopRun, trace: Trace, raised: BaseException | None) -> str:
    if raised is not None:
        return "failed" if isinstance(raised, Exception) else "interrupted"
    begun = sum(name.endswith("_begin") for name in trace.names)
    ended = sum(name.endswith("_end") for name in trace.names)
    if begun != ended:
        return "paused"
    if "train_begin" in trace.names and run.max_epochs is not None and run.epochs_done >= run.max_epochs:
        return "completed"
    return "stopped" if "train_begin" in trace.names or "stop" in trace.names else "completed"


def play(program: Program, meddling: list[Do]) -> tuple[LoopRun, Trace, Played]:
    first, trace, downs = Trace(), Trace(), [Down(), Down()]
    first.phase = "observe"
    run = LoopRun(callbacks=[first, downs[0], *meddling, Saver(), trace, downs[1]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of second exceptions
        played = execute(program, run)
    check(first, downs)
    check(trace, downs)
    return run, first, played


@settings(max_examples=300, deadline=None)
@given(programs())
def test_any_program_follows_the_grammar_and_counts_its_steps(program: Program) -> None:
    run, trace, played = play(program, [])
    assert isinstance(played.raised, (ScriptedError, KeyboardInterrupt, type(None)))
    assert run.step == played.steps
    assert run.outcome == outcome_by_the_rules(run, trace, played.raised)
    assert len(run.history) == trace.names.count("epoch_end") == run.epochs_done


@settings(max_examples=400, deadline=None)
@given(programs(), st.lists(meddlers(savers=True), min_size=1, max_size=3))
def test_any_program_with_any_meddling_callbacks_follows_the_grammar(program: Program, meddling: list[Do]) -> None:
    run, trace, played = play(program, meddling)
    mine = [one.error for one in meddling if isinstance(one, RaiseAt)]
    assert played.raised in [None, *mine] or isinstance(played.raised, (ScriptedError, KeyboardInterrupt))
    if not mine:  # after a pause nothing is counted: the checkpoint is what the run goes on from
        assert run.step <= played.steps if run.outcome == "paused" else run.step == played.steps
    if not mine and "pause" not in [one.kind for one in meddling if isinstance(one, StopAt)]:
        assert run.outcome == outcome_by_the_rules(run, trace, played.raised)
    assert run.outcome != "paused" or "stop" in trace.names


LOADERS: dict[str, Callable[[int], object]] = {
    "arrays": lambda n: (np.zeros((n, 2)), np.zeros(n)),
    "array": lambda n: np.zeros((n, 2)),
    "list": lambda n: list(range(n)),
}


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(sorted(LOADERS)),
    st.integers(0, 3),
    st.none() | st.integers(0, 2),
    st.integers(0, 3),
    st.integers(1, 3),
    st.integers(0, 3),
    st.lists(meddlers(savers=True), max_size=3),
)
def test_fit_follows_the_grammar_whatever_its_callbacks_do(
    data: str, rows: int, val_rows: int | None, epochs: int, freq: int, min_epochs: int, meddling: list[Do]
) -> None:
    trace, downs = Trace(), [Down(), Down()]
    raised: BaseException | None = None
    validation = None if val_rows is None else LOADERS[data](val_rows)
    callbacks = [downs[0], *meddling, Saver(), trace, downs[1]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        try:
            fit(
                Constant(),
                LOADERS[data](rows),
                validation,
                epochs,
                batch_size=1,
                validation_freq=freq,
                callbacks=callbacks,
                min_epochs=min_epochs,
            )
        except (RuntimeError, KeyboardInterrupt) as error:
            raised = error
    check(trace, downs)
    assert raised in [None, *(one.error for one in meddling if isinstance(one, RaiseAt))]
    if raised is None and not meddling:
        assert trace.names.count("train_batch_end") == rows * epochs
        assert trace.names.count("test_end") == (0 if val_rows is None else epochs // freq)
