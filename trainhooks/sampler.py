"""Sampler: times some of the batches of one kind, in the place of their calls."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Final

from . import errors

if TYPE_CHECKING:
    from .bus import BatchCalls
    from .dispatch import Dispatcher
    from .frames import Frame
    from .timings import Timings

_GOLDEN: Final = 0.6180339887498949
"""Multiples of it, without their whole parts, fill the unit interval evenly and keep step with nothing."""

_FIRST: Final = 3
"""The first batch that is timed, by its number: those before it compile and warm up."""
_SURE: Final = 3
"""Batches in which a listener must have taken longer than the step before it is named; most of those timed, too."""
_WORTH: Final = 1.0
"""Seconds that it must have taken in all, by what was sampled: of less nobody wants to be told."""


class Spent:
    """The time of the listeners of one event that have one name, such as those of two callbacks of one class.

    Attributes:
        who: how messages call them.
        times: how often they were timed.
        seconds: the time of all these together.
        longer: batches in which they took longer than the step.
        told: the user has been told.
    """

    __slots__ = ("before", "longer", "seconds", "times", "told", "who")

    def __init__(self, who: str) -> None:
        self.who = who
        self.times = self.longer = 0
        self.seconds = 0.0
        self.told = False
        self.before = (0, 0.0)
        """Times and seconds as the batch began that is being timed, which may turn out not to count."""


class Sampler:
    """Times some of the batches of one kind: what their listeners take, and what lies between them.

    A batch that is timed has the calls of its events replaced for as long as it lasts; one that is not costs a
    comparison of two numbers. A batch does not count, and nothing of it is kept, where it is left by a ``break``,
    where a listener raises in it, where listeners come or go in it, and where a validation stands in it.

    Attributes:
        scope: the scope of such a batch, as ``"train_batch"``.
        step: what is done in one, as ``"training step"``.
        every: one batch in so many is timed.
        timed: how many of the batches were timed; a trainer that does several as one has all of these timed.
        calls: of how many calls of such a trainer; else as many.
        stepped: seconds between the listeners of a batch's begin and those of its end, in those.
        listened: seconds of all listeners, in those.
        waits: how many of those had another batch before them in their pass.
        waited: seconds between the end of that one and their begin, in those: data, and the trainer's own.
    """

    def __init__(self, timings: Timings, scope: str, step: str) -> None:
        self.timings, self.scope, self.step = timings, scope, step
        self.every = timings.every
        self._calls: BatchCalls = timings.bus.batch_calls[scope]
        self._plain: tuple[Dispatcher | None, Dispatcher | None] = (None, None)
        self._update: tuple[Dispatcher | None, Dispatcher | None] = (None, None)
        """What an optimizer's step calls, and what stands there while a batch is timed."""
        self._begun, self._ended = self._begin, self._end  # a bound method is made anew each time it is asked for
        self._compiled_at = -1
        self._timed: tuple[Dispatcher | None, ...] = (None, None, None)
        """The calls of a batch's begin, of an optimizer's step and of a batch's end, that time their listeners."""
        self._spent: list[Spent] = []
        self._inside = slice(0, 0)
        """Those of ``_spent`` that listen inside the step."""
        self._is_armed = self._is_open = False
        """The next batch is to be timed, or the running one is; that one has begun."""
        self._at = self._wait = 0.0
        self._waits = False
        self._since = self._passes = 0
        self._armed, self._length, self._rest = 0, 2, 1
        self._frame: Frame | None = None
        self._left, self._first = _FIRST, -1
        self._entered = self._lasted = 0.0
        self._over = self.timed = self.calls = self.waits = 0
        self.waited = self.stepped = self.listened = 0.0

    def enter(self, frame: Frame) -> None:
        """A pass begins, or goes on, after ``frame.batch``."""
        self.drop()
        self.timings.samplers["pass"].interrupt()
        self._frame, self._first = frame, frame.batch
        self._entered = self.timings.clock()
        self._left = min(self._left, max(0, self.every - 1))
        frame.look = frame.batch + self._left
        if self._left == 0:
            self.arm(frame)
            self._waits = False  # what a loader does to begin is no wait between two batches

    def interrupt(self) -> None:
        """A validation begins: in the batch that is timed, which does not count then, or in the wait before it."""
        self._waits = False
        if self._is_open:
            self.drop()

    def leave(self, frame: Frame) -> None:
        """It ends."""
        waits = self._is_armed and not self._is_open
        self.drop()
        self._lasted = self.lasted
        self._over, self._passes = self.batches, self.passes
        self._frame, self._left = None, 0 if waits else max(0, frame.look - frame.batch)

    @property
    def batches(self) -> int:
        """How many there were so far."""
        frame = self._frame
        if frame is None:
            return self._over
        return self._over + frame.batch - self._first - (frame.dropped == frame.batch)

    @property
    def lasted(self) -> float:
        """Seconds from the beginning of each pass to its end, so far; no estimate."""
        return self._lasted + (0.0 if self._frame is None else self.timings.now() - self._entered)

    @property
    def passes(self) -> int:
        """How many passes had any so far."""
        return self._passes + (self.batches > self._over)

    def arm(self, frame: Frame) -> int:
        """A batch has ended, and the next one is timed; returns the batch after which to ask again."""
        if self._is_armed:
            self.drop()
        if self._compiled_at != self.timings.bus.changes:
            self._compile()
        self._armed += 1
        self._since, frame.look = frame.batch, frame.batch + self._gap()
        calls = self._calls
        self._plain = (calls.begin, calls.end)
        calls.begin, calls.end = self._begun, self._ended
        self._is_armed = self._waits = True
        self._at = self.timings.clock()
        return frame.look

    def drop(self) -> None:
        """Time the batch no longer that is timed, or was to be; what was found in it is not kept."""
        calls = self._calls
        if calls.begin is self._begun:  # where they have changed since, that is what is to be called
            calls.begin = self._plain[0]
        if calls.end is self._ended:
            calls.end = self._plain[1]
        if self._update[1] is not None:
            self._put_update_back()
        if self._is_open:
            for one in self._spent:
                one.times, one.seconds = one.before
        self._is_armed = self._is_open = False

    def _put_update_back(self) -> None:
        calls, (plain, timed) = self.timings.bus.calls, self._update
        if calls["optimizer_step"] is timed:
            calls["optimizer_step"] = plain
        self._update = (None, None)

    def _compile(self) -> None:
        bus = self.timings.bus
        events = (f"{self.scope}_begin", "optimizer_step" if self.scope == "train_batch" else "", f"{self.scope}_end")
        found = [bus.timed(event) if event else (None, []) for event in events]
        self._timed = tuple(call for call, _ in found)
        begins, updates, ends = (list(dict.fromkeys(spent)) for _, spent in found)  # two of one name share one
        self._spent, self._inside = [*begins, *updates, *ends], slice(len(begins), len(begins) + len(updates))
        self._compiled_at = bus.changes

    def _gap(self) -> int:
        """Batches until the next one that is timed: one at some place in each of many lengths, which double at first.

        A distance that is always the same, or always doubles, would suit a filter: ``every(steps=64)`` would be due in
        each of the batches that are timed, or in none.
        """
        every = self.every
        if every > 1 and not self._spent:
            every *= 8  # there is the step alone to be timed
        self._length = min(max(1, every), 2 * self._length)
        before, place = min(self._rest, self._length), int(self._length * (self._armed * _GOLDEN % 1))
        self._rest = self._length - place
        return before + place

    def _begin(self, *given: Any) -> None:
        clock, bus = self.timings.clock, self.timings.bus
        self._wait = clock() - self._at
        self._calls.begin, self._is_open = self._plain[0], True
        for one in self._spent:
            one.before = (one.times, one.seconds)
        call, update, _ = self._timed
        if call is not None:
            call(*given)
        if update is not None and self._compiled_at == bus.changes:
            self._update, bus.calls["optimizer_step"] = (bus.calls["optimizer_step"], update), update
        self._at = clock()

    def _end(self, *given: Any) -> None:
        step = self.timings.clock() - self._at
        call, plain = self._timed[2], self._plain[1]
        is_whole = self._is_open and self._compiled_at == self.timings.bus.changes
        if not is_whole or (self._frame is not None and self._frame.left):
            self.drop()
            if plain is not None:
                plain(*given)
            return
        self._calls.end = plain
        if self._update[1] is not None:
            self._put_update_back()
        if call is not None:
            call(*given)
        self._is_armed = self._is_open = False
        self._count(step)

    def _count(self, step: float) -> None:
        assert self._frame is not None
        batches = self._frame.batch - self._since
        self.timed += batches
        self.calls += 1
        if self._waits:
            self.waits += batches
            self.waited += self._wait
        took = [one.seconds - one.before[1] for one in self._spent]
        step -= sum(took[self._inside])
        self.stepped += step
        self.listened += sum(took)
        for one, seconds in zip(self._spent, took, strict=True):
            if seconds > step:
                one.longer += batches
                is_sure = one.longer >= _SURE and 2 * one.longer > self.timed and one.seconds > self.stepped
                if is_sure and not one.told:
                    self._tell(one)

    def _tell(self, spent: Spent) -> None:
        each = spent.seconds / self.timed
        if each * self.batches < _WORTH:
            return
        spent.told = True
        share = spent.seconds / (self.waited + self.stepped + self.listened)
        said = errors.slow_listener(spent.who, each, self.step, self.stepped / self.timed, share)
        warnings.warn(said, RuntimeWarning, stacklevel=5)  # the loop of whoever owns it
