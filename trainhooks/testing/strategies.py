"""Hypothesis strategies: random user programs, and random callbacks that meddle with them.

A program is data: draw one with ``programs()``, then ``execute(program, run)`` runs it over any ``LoopRun``, in real
``for`` and ``try`` statements, and tells what a simple model says of it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from hypothesis import strategies as st
from tqdm import tqdm

from ..events import EVENTS
from ..loop import LoopRun
from .doubles import Do, RaiseAt, StopAt

Verb = Literal["epochs", "train", "test", "predict"]
Way = Literal["plain", "enumerate", "zip", "tqdm", "kept"]
Deed = Literal["log", "break", "return", "raise", "interrupt"]
Flow = Literal["on", "break", "return"]


class ScriptedError(Exception):
    """What a program raises."""


@dataclass(frozen=True)
class Act:
    """One statement, at turn ``at`` of its loop; None at each."""

    deed: Deed
    at: int | None


@dataclass(frozen=True)
class Try:
    """``try: body``, and then ``except: pass`` ("catch"), ``except: log; raise``, or ``finally: log``."""

    kind: Literal["catch", "except", "finally"]
    body: tuple[Act | Try | Loop, ...]


@dataclass(frozen=True)
class Loop:
    """``for ... in run.verb(...)`` with so many items, iterated over in one of several ways."""

    verb: Verb
    count: int | None
    body: tuple[Act | Try | Loop, ...]
    way: Way = "plain"


Program = tuple[Loop | Try, ...]


@dataclass
class Played:
    """What is known of a program that ran.

    Attributes:
        steps: how many training batches ought to have been counted, if no hook raised.
        raised: what left the ``with``.
    """

    steps: int = 0
    raised: BaseException | None = None


def execute(program: Program, run: LoopRun) -> Played:
    """Run ``program`` inside ``with run``."""
    player = _Player(run)
    try:
        with run:
            player.body(program, 0, inside=False)
        player.settle()
    except (Exception, KeyboardInterrupt) as error:  # kept for the test to look at
        player.played.raised = error
    return player.played


class _Player:
    """Interprets programs, and counts as a reader of the rules would.

    A batch that was left counts if something was logged in it, but only once it is settled that this was a break:
    until then ``pending`` holds it.
    """

    def __init__(self, run: LoopRun) -> None:
        self.run, self.played = run, Played()
        self.pending = 0
        self.kept: list[Iterator[Any]] = []
        self.logged: list[bool] = []
        """For each open loop, whether something was logged in its present turn."""

    def settle(self) -> None:
        self.played.steps += self.pending
        self.pending = 0

    def log(self) -> None:
        self.run.log(loss=1.0)
        if self.logged:
            self.logged[-1] = True

    def body(self, ops: Iterable[Act | Try | Loop], turn: int, *, inside: bool = True) -> Flow:
        for op in ops:
            if isinstance(op, Loop):
                flow = self.loop(op)
            elif isinstance(op, Try):
                flow = self.attempt(op, turn, inside)
            else:
                flow = self.act(op, turn)
            if flow != "on":
                return flow
        return "on"

    def act(self, op: Act, turn: int) -> Flow:
        if op.at is not None and op.at != turn:
            return "on"
        if op.deed == "log":
            self.settle()  # no exception is being handled where a program logs plainly
            self.log()
        elif op.deed == "raise":
            raise ScriptedError
        elif op.deed == "interrupt":
            raise KeyboardInterrupt
        else:
            return op.deed
        return "on"

    def attempt(self, op: Try, turn: int, inside: bool) -> Flow:
        if op.kind == "catch":
            with contextlib.suppress(ScriptedError):
                return self.body(op.body, turn, inside=inside)
            return "on"
        if not inside:  # there is nothing to log into
            return self.body(op.body, turn, inside=inside)
        if op.kind == "except":
            try:
                return self.body(op.body, turn)
            except ScriptedError:
                self.log()
                raise
        flow: Flow = "return"
        crashed = True
        try:
            flow = self.body(op.body, turn)
            crashed = False
        finally:
            if not crashed:
                self.settle()
            self.log()
        return flow

    def loop(self, op: Loop) -> Flow:
        self.settle()
        for turn, _ in enumerate(self.items(op)):
            self.logged.append(False)
            flow: Flow = "return"
            whole = False
            try:
                flow = self.body(op.body, turn)
                whole = flow == "on"
                if whole:
                    self.settle()  # what was left within ends at this loop's next turn
            finally:
                logged = self.logged.pop()
                if op.verb == "train":
                    self.pending += whole or logged
                    if whole:
                        self.settle()
            if flow == "break":
                break
            if flow == "return":
                return "return"
        return "on"

    def items(self, op: Loop) -> Iterable[Any]:
        made: Iterable[Any]
        if op.verb == "epochs":
            made = self.run.epochs(op.count)
        else:
            made = getattr(self.run, op.verb)(range(op.count or 0))
        if op.way == "kept":
            self.kept.append(iter(made))
            return self.kept[-1]
        if op.way == "zip":
            return zip(made, range(max(0, (op.count or 3) - 1)), strict=False)
        if op.way == "tqdm":
            made = tqdm(made, disable=True)
        return enumerate(made) if op.way == "enumerate" else made


# Strategies

_INNER: dict[Verb, tuple[Verb, ...]] = {"epochs": ("train", "train", "test", "predict"), "train": ("test", "predict")}
_WAYS: tuple[Way, ...] = ("plain", "plain", "enumerate", "zip", "tqdm")
_DEEDS: tuple[Deed, ...] = ("break", "break", "break", "return", "raise", "raise", "interrupt")
_TRIES: tuple[Literal["catch", "except", "finally"], ...] = ("catch", "catch", "except", "finally")

_ACTS = st.one_of(
    st.builds(Act, st.just("log"), st.sampled_from((None, None, 0, 1))),
    st.builds(Act, st.sampled_from(_DEEDS), st.sampled_from((2, 1, 0))),
)


@st.composite
def _bodies(draw: st.DrawFn, verbs: tuple[Verb, ...], *, tries: bool = True) -> tuple[Act | Try | Loop, ...]:
    ops: list[Act | Try | Loop] = []
    for _ in range(draw(st.integers(1, 3))):
        choice = draw(st.integers(0, 5))
        if verbs and choice >= 3:
            ops.append(draw(_loops(verbs)))
        elif tries and choice == 2:
            ops.append(Try(draw(st.sampled_from(_TRIES)), draw(_bodies(verbs, tries=False))))
        else:
            ops.append(draw(_ACTS))
    if verbs and tries and draw(st.integers(0, 4)) == 4:
        ops.append(draw(_loops(verbs, ("kept",))))  # the last: nothing could follow one that was left
    return tuple(ops)


@st.composite
def _loops(draw: st.DrawFn, verbs: tuple[Verb, ...], ways: tuple[Way, ...] = _WAYS) -> Loop:
    verb = draw(st.sampled_from(verbs))
    body = draw(_bodies(_INNER.get(verb, ())))
    count = draw(st.sampled_from((2, 3, 1, None) if verb == "epochs" else (2, 3, 1, 0)))
    if count is None:
        body = (Act("break", 3), *body)
    return Loop(verb, count, body, draw(st.sampled_from(ways)))


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """Whole user programs: nested loops, left in every way, with exceptions that are caught or not."""
    program: list[Loop | Try] = []
    for _ in range(draw(st.integers(1, 2))):
        loop = draw(_loops(("epochs", "epochs", "epochs", "test", "predict")))
        program.append(Try("catch", (loop,)) if draw(st.booleans()) else loop)
    return tuple(program)


def meddlers(*, savers: bool = False) -> st.SearchStrategy[Do]:
    """Callbacks that stop, raise, end the epoch or (with ``savers`` attached) ask for a save, at a random event."""
    places = {
        "event": st.sampled_from(sorted(set(EVENTS) - {"optimizer_step", "checkpoint"})),
        "nth": st.integers(0, 4),
    }
    errors = st.sampled_from((RuntimeError, KeyboardInterrupt)).map(lambda kind: kind("asked for"))
    kinds: list[st.SearchStrategy[Do]] = [
        st.builds(StopAt, **places, kind=st.sampled_from(("decision", "fault", "pause"))),
        st.builds(RaiseAt, **places, error=errors),
        st.builds(
            Do, st.sampled_from(("epoch_begin", "train_batch_end")), st.just(lambda run: run.end_epoch()), places["nth"]
        ),
    ]
    if savers:
        kinds.append(st.builds(Do, places["event"], st.just(lambda run: run.save()), places["nth"]))
    return st.one_of(kinds)


_VALUES = st.one_of(
    st.sampled_from((0.5, 0.25, 0.0, -1.0)),  # few, so that ties are common
    st.sampled_from((float("nan"), float("inf"), float("-inf"))),
    st.floats(-2, 2, width=16),
)


@st.composite
def histories(
    draw: st.DrawFn,
    *,
    metrics: tuple[str, ...] = ("loss", "val_loss"),
    missing: tuple[str, ...] = ("val_loss",),
    min_size: int = 1,
    max_size: int = 8,
) -> list[dict[str, float]]:
    """Random histories, for ``play`` and the benches: for each epoch its metrics, with ties, NaN and infinities.

    Args:
        metrics: their names; those that begin with ``val_`` come from a validation.
        missing: those of them that an epoch may be without.
        min_size, max_size: how many epochs.
    """
    history = []
    for _ in range(draw(st.integers(min_size, max_size))):
        left_out = {name for name in metrics if name in missing and draw(st.integers(0, 3)) == 3}
        history.append({name: draw(_VALUES) for name in metrics if name not in left_out})
    return history
