"""Timer: end training when its time is up."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from ..callback import Callback
from ..checks import is_number
from ..dispatch import Listener
from ..errors import did_you_mean, listing
from ..events import EVENTS, Event
from ._save_freq import seconds_of

if TYPE_CHECKING:
    from ..progress import StopKind
    from ..run import Run

_DAYS: Final = re.compile(r"(\d+):([01]\d|2[0-3]):([0-5]\d):([0-5]\d)", re.ASCII)


class _Limit(NamedTuple):
    at: float
    """On the clock."""
    kind: StopKind
    reason: str


class Timer(Callback):
    """Stop when the run has trained for ``duration``, or pause at the time ``until``.

    ::

        Timer(timedelta(hours=8))  # what this run may cost, however often it is resumed
        Timer(until=datetime.fromtimestamp(int(os.environ["SLURM_JOB_END_TIME"])), margin=300)

    ``duration`` is the run's: its time is saved and restored, and a resumed run has what is left. It asks for a
    decision: validation and the epoch's end follow, and a resumed run stays stopped. ``until`` is this process's: it
    asks for a pause, and the same script run again goes on. For so many hours of each process write
    ``until=datetime.now() + timedelta(hours=11)``. Both can be given. Without either it measures only.

    A limit is looked at as training begins, after each training batch and at each epoch's end, and one that pauses
    after each validation batch too. The time counts from ``train_begin`` to ``train_end``, validation and callbacks
    included, and not what passes between two processes.

    Args:
        duration: seconds, a ``datetime.timedelta``, or text as ``"30m"``, ``"8.5h"`` or ``"DD:HH:MM:SS"``.
        until: a ``datetime.datetime``; a naive one is local time. It is compared with the clock of the system once, as
            training begins.
        margin: seconds, or a ``timedelta``, that are kept in reserve for what is still to be done, as a last validation
            and a checkpoint: it stops so much earlier.
        kind: ``"decision"`` or ``"pause"``, for both limits. A run that paused after ``duration`` goes on when it is
            run again with a longer one, and pauses at once with the same.
        interval: ``"step"``, or ``"epoch"`` to look only as training begins and at epochs' ends. A paused run goes on
            from the batch that it paused at, save under Keras: there from the beginning of that epoch, whose batches
            are trained again; with ``"epoch"`` and a margin of one epoch's time none are.
        verbose: 1 prints when a limit is reached.
        clock: what tells the time in seconds, from any beginning; ``time.monotonic`` by default. For tests.

    Attributes:
        elapsed: seconds of training so far.
        remaining: seconds until the nearer limit, its margin included; at least 0, and None without a limit.

    Raises:
        TypeError: ``duration``, ``until`` or ``margin`` is of another type.
        ValueError: one of them cannot be read, ``duration`` is not above 0 and ``margin``, or ``margin`` is negative;
            ``kind`` or ``interval`` does not exist.
    """

    phase = "decide"
    ranks = "main"  # a stop that is asked for on one rank stops all: so the clock of one decides

    def __init__(
        self,
        duration: float | timedelta | str | None = None,
        *,
        until: datetime | None = None,
        margin: float | timedelta = 0,
        kind: Literal["decision", "pause"] | None = None,
        interval: Literal["step", "epoch"] = "step",
        verbose: int = 0,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.duration = None if duration is None else _duration(duration)
        if until is not None and not isinstance(until, datetime):
            raise TypeError(f"Timer(until={until!r}): a datetime; of a time stamp, datetime.fromtimestamp(...)")
        self.margin = _seconds("margin", margin)
        if not self.margin >= 0:
            raise ValueError(f"Timer(margin={margin!r}): a number of seconds, at least 0")
        if self.duration is not None and not self.duration > self.margin:
            raise ValueError(f"Timer(duration={duration!r}, margin={margin!r}): the duration is above 0 and the margin")
        _check_one_of("kind", kind, (None, "decision", "pause"))
        _check_one_of("interval", interval, ("step", "epoch"))
        self.until, self.kind, self.interval, self.verbose = until, kind, interval, verbose
        self.clock = time.monotonic if clock is None else clock
        self._limits: list[_Limit] = []
        """What was not reached yet, while it trains."""
        self._next = self._end = math.inf
        """On the clock: the first of the limits, and ``until``."""
        self.reset()

    def listeners(self, events: Mapping[str, Event] = EVENTS) -> Iterator[Listener]:
        looks = self.interval == "step" and not (self.duration is None and self.until is None)
        pauses = looks and (self.kind == "pause" or (self.kind is None and self.until is not None))
        for one in super().listeners(events):
            if {"train_batch_end": looks, "test_batch_end": pauses}.get(one.event.name, True):
                yield one

    def reset(self) -> None:
        self._spent = {"train": 0.0, "validate": 0.0}
        self._running: Literal["train", "validate"] | None = None
        self._since = 0.0

    @property
    def elapsed(self) -> float:
        return self.time_elapsed("train") + self.time_elapsed("validate")

    @property
    def remaining(self) -> float | None:
        left = [] if self.duration is None else [self.duration - self.elapsed]
        if self.until is not None:
            left.append(self._until_end() if self._running is None else self._end - self.clock())
        return max(0.0, min(left)) if left else None

    def time_elapsed(self, phase: Literal["train", "validate"] = "train") -> float:
        """Seconds spent so far in training without its validations, or in those.

        Raises:
            ValueError: there is no such ``phase``.
        """
        if phase not in self._spent:
            near = did_you_mean(phase, self._spent)
            raise ValueError(f"Timer.time_elapsed({phase!r}): one of {listing(self._spent)}.{near}")
        return self._spent[phase] + (self.clock() - self._since if self._running == phase else 0.0)

    def on_train_begin(self, run: Run) -> None:
        self._begin(run)

    def on_epoch_begin(self, run: Run) -> None:
        if self._running is None:  # it was attached after training had begun
            self._begin(run)

    def on_test_begin(self) -> None:
        if self._running is not None:  # an evaluation alone is no part of training
            self._enter("validate")

    def on_test_end(self) -> None:
        if self._running is not None:
            self._enter("train")

    def on_train_batch_end(self, run: Run) -> None:
        if self.clock() >= self._next:
            self._ask(run)

    def on_test_batch_end(self, run: Run) -> None:
        if self.clock() >= self._next:
            self._ask(run)

    def on_epoch_end(self, run: Run) -> None:
        if self.clock() >= self._next:
            self._ask(run)

    def on_train_end(self) -> None:
        self._finish()

    def on_teardown(self) -> None:
        self._finish()

    def state_dict(self) -> dict[str, Any]:
        return {"train": self.time_elapsed("train"), "validate": self.time_elapsed("validate")}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.reset()
        self._spent = {name: float(state[name]) for name in self._spent}

    def _begin(self, run: Run) -> None:
        self._enter("train")
        now, less = self._since, f", less a margin of {_text(self.margin)}" if self.margin else ""
        self._limits = []
        if self.duration is not None:
            left = self.duration - self.margin - self.elapsed
            used = "" if left > 0 else ": a resumed run needs a longer one"
            reason = f"the time limit of {_text(self.duration)} is reached{less}{used}"
            self._limits.append(_Limit(now + left, self.kind or "decision", reason))
        if self.until is not None:
            self._end = now + self._until_end()
            reason = f"the time limit at {self.until} is reached{less}"
            self._limits.append(_Limit(self._end - self.margin, self.kind or "pause", reason))
        self._next = min((limit.at for limit in self._limits), default=math.inf)
        if now >= self._next:
            self._ask(run)

    def _ask(self, run: Run) -> None:
        now = self.clock()
        for limit in [limit for limit in self._limits if now >= limit.at]:
            self._limits.remove(limit)
            run.stop(limit.reason, kind=limit.kind, source=self)
            if self.verbose:
                print(f"Epoch {run.epoch + 1}: {limit.reason}.")
        self._next = min((limit.at for limit in self._limits), default=math.inf)

    def _enter(self, phase: Literal["train", "validate"] | None) -> None:
        now = self.clock()
        if self._running is not None:
            self._spent[self._running] += now - self._since
        self._running, self._since = phase, now

    def _finish(self) -> None:
        self._enter(None)
        self._limits, self._next = [], math.inf

    def _until_end(self) -> float:
        assert self.until is not None
        return self.until.timestamp() - time.time()


def _seconds(name: str, value: Any) -> float:
    if isinstance(value, timedelta):
        return value.total_seconds()
    if not is_number(value):
        raise TypeError(f"Timer({name}={value!r}): a number of seconds, or a datetime.timedelta")
    seconds = float(value)
    if not math.isfinite(seconds):
        raise ValueError(f"Timer({name}={value!r}): a finite number of seconds")
    return seconds


def _duration(value: object) -> float:
    if not isinstance(value, str):
        return _seconds("duration", value)
    if (short := seconds_of(value)) is not None:
        return short
    found = _DAYS.fullmatch(value)
    if found is None:
        raise ValueError(
            f"Timer(duration={value!r}): text is '90s', '30m', '8.5h', or 'DD:HH:MM:SS', days to seconds, as "
            "'00:08:30:00' for eight and a half hours"
        )
    days, hours, minutes, seconds = map(int, found.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds).total_seconds()


def _check_one_of(name: str, value: object, known: tuple[str | None, ...]) -> None:
    if value not in known:
        names = [one for one in known if one is not None]
        raise ValueError(f"Timer({name}={value!r}): one of {listing(names)}.{did_you_mean(value, names)}")


def _text(seconds: float) -> str:
    return str(timedelta(seconds=seconds))
