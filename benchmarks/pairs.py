"""Things measured in turn in one run: what each script here is made of.

A machine that drifts drifts under all of them alike: in a round each runs once, in an order that turns from round to
round, and a figure is the median of the rounds' ratios, with their quartiles as its spread.
"""

from __future__ import annotations

import dataclasses
import gc
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from typing import Any, Literal

_IN = {"ns": 1e9, "ms": 1e3}
"""Of a second."""


@dataclasses.dataclass(frozen=True)
class Row:
    """One figure.

    Attributes:
        what: was measured, and over what, as ``"4 listening: over a hand-written loop"``.
        value: the median.
        low, high: its quartiles; None where it is a count.
        unit: ``"x"`` for a ratio, or ``"ns"``, ``"ms"``, ``"MB"``, ``"reads"``.
        goal: at most this; None for a figure that stands there to compare with.
        beside: the absolute figures under it, in words.
    """

    what: str
    value: float
    low: float | None = None
    high: float | None = None
    unit: str = "x"
    goal: float | None = None
    beside: str = ""

    @property
    def reached(self) -> bool | Literal["within the spread"] | None:
        """Whether its quartiles, or the value where it has none, are all within its goal, or all beyond it.

        None where it has no goal.
        """
        if self.goal is None:
            return None
        low, high = (self.value if one is None else one for one in (self.low, self.high))
        return True if high <= self.goal else False if low > self.goal else "within the spread"

    @property
    def spread(self) -> str:
        """Its quartiles; nothing where it is a count."""
        return "" if self.low is None or self.high is None else f"{self.shown(self.low)} to {self.shown(self.high)}"

    def shown(self, number: float) -> str:
        """A number of its unit, without the unit."""
        if self.unit == "x":
            return f"{number:.3f}"
        return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"

    def __str__(self) -> str:
        spread = f"[{self.spread}]" if self.spread else ""
        goal = "" if self.goal is None else f"<= {self.shown(self.goal)}"
        return f"{self.what:<78} {self.shown(self.value):>9} {self.unit:<5} {spread:<20} {goal:<10} {self.beside}"


class Times:
    """Seconds of each call, round by round.

    Args:
        seconds: for each name a figure a round.
    """

    def __init__(self, seconds: dict[str, list[float]]) -> None:
        self.seconds = seconds

    def median(self, name: str) -> float:
        return statistics.median(self.seconds[name])

    def ratio(self, what: str, ours: str, theirs: str, *, goal: float | None = None, beside: str = "") -> Row:
        """``ours`` over ``theirs``."""
        pairs = zip(self.seconds[ours], self.seconds[theirs], strict=True)
        low, middle, high = quartiles(a / b for a, b in pairs)
        return Row(what, middle, low, high, "x", goal, beside)

    def more(self, what: str, ours: str, theirs: str, per: int, *, unit: str = "ns", goal: float | None = None) -> Row:
        """What ``ours`` costs more than ``theirs``, for each of ``per``, in ``"ns"`` or ``"ms"``."""
        pairs = zip(self.seconds[ours], self.seconds[theirs], strict=True)
        low, middle, high = quartiles((a - b) / per * _IN[unit] for a, b in pairs)
        return Row(what, middle, low, high, unit, goal)


def in_turn(calls: dict[str, Callable[[], object]], rounds: int = 31) -> Times:
    """Run each of ``calls`` once a round, after one round that does not count; a call may return its own seconds.

    Returning them lets a call leave out what it must do around that which is measured.
    """
    names, seconds = list(calls), {name: list[float]() for name in calls}
    for name in names:
        calls[name]()
    gc.collect()
    gc.freeze()  # a collection between rounds would walk all of a framework, and leave cold caches behind
    gc.disable()
    try:
        for number in range(rounds):
            turn = number % len(names)
            order = names[turn:] + names[:turn]
            for name in order if number % 2 else reversed(order):
                begin = time.perf_counter()
                own = calls[name]()
                took = time.perf_counter() - begin
                seconds[name].append(own if isinstance(own, float) else took)
            gc.collect()
    finally:
        gc.enable()
        gc.unfreeze()
    return Times(seconds)


def of_processor(call: Callable[[], object]) -> Callable[[], float]:
    """``call``, giving the seconds that the processor worked for it: for what waits for nothing, on a busy machine."""

    def timed() -> float:
        begin = time.process_time()
        call()
        return time.process_time() - begin

    return timed


def missing(*names: str) -> list[str]:
    """Those of the packages that are not installed, of which a line on stderr tells."""
    absent = [name for name in names if find_spec(name) is None]
    if absent:
        print(f"{', '.join(absent)} {'is' if len(absent) == 1 else 'are'} not installed: not measured", file=sys.stderr)
    return absent


def quartiles(numbers: Iterable[float]) -> tuple[float, float, float]:
    """The lower quartile, the median, the upper one."""
    low, middle, high = statistics.quantiles(numbers, n=4, method="inclusive")
    return low, middle, high


def show(rows: Iterable[Row]) -> None:
    """What a script does when it is run: print its rows as they come; with ``--json`` as lines of JSON."""
    for row in rows:
        print(json.dumps(dataclasses.asdict(row)) if "--json" in sys.argv else row, flush=True)


def read(lines: Iterable[str]) -> Iterator[Row]:
    """What ``show`` printed as JSON."""
    for line in lines:
        found: dict[str, Any] = json.loads(line)
        yield Row(**found)
