"""Throughput: how fast training goes, and how long it waits for data."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from .. import filters
from ..callback import Callback
from ..checks import count
from ..dispatch import Listener
from ..events import EVENTS, Event
from ..logs import Logs, Mean

if TYPE_CHECKING:
    from ..run import Run


class _Mark(NamedTuple):
    """A point in training, as what was counted until then; or what lies between two."""

    time: float
    waited: float
    step: int
    samples: float

    def since(self, first: _Mark) -> _Mark:
        return _Mark(*(a - b for a, b in zip(self, first, strict=True)))  # type: ignore[arg-type]

    def and_then(self, more: _Mark) -> _Mark:
        return _Mark(*(a + b for a, b in zip(self, more, strict=True)))  # type: ignore[arg-type]


_RATES: Final = ("steps_per_second", "samples_per_second", "data_wait")
_NOTHING: Final = _Mark(0.0, 0.0, 0, 0)


class Throughput(Callback):
    """Write ``steps_per_second``, ``samples_per_second`` and ``data_wait`` into the logs of each epoch.

    They are of the epoch's training batches, from its beginning to its last batch's end, without validations and
    predictions in between, and without what comes after. ``data_wait`` is the share of that time, from 0 to 1, that
    passes between a batch's end and the next one's begin: what the loader costs. Under Keras, which fetches a batch
    after its begin, it is left out.

    Samples are counted by the weights of what was logged, as ``run.log(loss=loss, n=len(x))``; where they are not known
    (Keras shows none; a loop may log without ``n``) and no ``batch_size`` is given, they are left out.

    Args:
        batch_size: samples in a batch, where they are to be counted so.
        every: write the rates of the last so many steps into the logs of that batch as well.
        skip_first: training batches at the beginning of the run, or of a resumed run, that are not measured: in the
            first, compilers and caches warm up. An epoch with no other batches has no rates.
        clock: what tells the time in seconds, from any beginning; ``time.perf_counter`` by default. For tests.

    A run that is resumed inside an epoch adds what is left of that epoch to what was measured of it before; its first
    batch, which waits until the loader has come to the place, is never measured.

    This is the host's time. Where a device computes while the host runs on, a batch ends for the host before the device
    is done with it: rates over an epoch are right as far as something makes the host wait now and then, as reading a
    metric does, and the time to wait shows in whichever part it happens to be done. Under Keras each batch's end waits.
    With several ranks each measures itself.

    Attributes:
        steps_per_second, samples_per_second, data_wait: what was written last; None where it is not known.

    Raises:
        ValueError: ``batch_size`` or ``every`` is no whole number of at least 1, or ``skip_first`` of at least 0.
    """

    on_error = "warn"  # it watches and never steers

    def __init__(
        self,
        batch_size: int | None = None,
        *,
        every: int | None = None,
        skip_first: int = 1,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.batch_size = None if batch_size is None else count(batch_size, f"Throughput(batch_size={batch_size!r})", 1)
        self.every = None if every is None else count(every, f"Throughput(every={every!r})", 1)
        self.skip_first = count(skip_first, f"Throughput(skip_first={skip_first!r})")
        self.clock = time.perf_counter if clock is None else clock
        self._forget()
        self.reset()

    def listeners(self, events: Mapping[str, Event] = EVENTS) -> Iterator[Listener]:
        for one in super().listeners(events):
            if one.event.name == "epoch_begin":  # after the others', which is no time that the loader takes
                yield Listener(one.event, one.call, one.who, phase="save", on_error=self.on_error, owner=self)
            elif one.event.name != "train_batch_end":
                yield one
            else:
                if self.every is not None:
                    yield one.when_due(filters.every(steps=self.every))
                who = f"{type(self).__name__}.batch_left"
                yield Listener(one.event, self._leave, who, phase="save", on_error=self.on_error, owner=self)

    def reset(self) -> None:
        self.steps_per_second: float | None = None
        self.samples_per_second: float | None = None
        self.data_wait: float | None = None
        self._before = _NOTHING
        """What was measured of this epoch before the run was resumed."""

    def _forget(self) -> None:
        """Of this run, all but what it told."""
        self._measured_from: int | None = None
        """The count of steps at which the first batches are over."""
        self._first: _Mark | None = None
        self._window: _Mark | None = None
        self._last: tuple[float, float, int] | None = None
        self._left: float | None = None
        """When the last batch ended, or the epoch began."""
        self._logs: Logs | None = None
        """The epoch's, at its last batch."""
        self._away: float | None = None
        self._waited = self._aside = 0.0
        """The time spent waiting for data, and in validations and predictions."""

    def on_epoch_begin(self, run: Run) -> None:
        if run.begins_again:
            self._measured_from = run.step + max(self.skip_first, 1)
            return
        if self._measured_from is None:
            self._measured_from = run.step + self.skip_first
        self._before = _NOTHING
        self._left = now = self._now()
        begun = run.step >= self._measured_from
        self._first = self._window = _Mark(now, self._waited, run.step, 0) if begun else None
        self._last = None

    def on_train_batch_begin(self) -> None:
        if self._left is not None:
            self._waited += self._now() - self._left

    def on_train_batch_end(self, run: Run, logs: Logs) -> None:
        if self._window is not None:
            mark = self._mark(run, logs)
            self._write(run, logs, mark.since(self._window))
            self._window = mark

    def _leave(self, run: Run, logs: Logs) -> None:
        self._left = now = self._now()
        if self._first is not None:
            self._last = (now, self._waited, run.step)  # samples are looked up once, at the epoch's end
            self._logs = logs
        elif self._measured_from is not None and run.step >= self._measured_from:
            self._first = self._window = self._mark(run, logs)

    def on_test_begin(self) -> None:
        self._away = self.clock()

    def on_test_end(self) -> None:
        self._come_back()

    def on_predict_begin(self) -> None:
        self._away = self.clock()

    def on_predict_end(self) -> None:
        self._come_back()

    def on_epoch_end(self, run: Run, logs: Logs) -> None:
        self._write(run, logs, self._of_epoch(run, logs))
        self._before, self._last = _NOTHING, None

    def on_teardown(self, run: Run) -> None:
        self._before = self._of_epoch(run, self._logs)  # for the state of a run that paused
        self._forget()

    def state_dict(self) -> dict[str, Any]:
        written = {name: getattr(self, name) for name in _RATES}
        return written | {"of_epoch": list(self._of_epoch(self.run, self._logs))}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.steps_per_second, self.samples_per_second, self.data_wait = (state[name] for name in _RATES)
        self._before = _Mark(*state["of_epoch"])

    def _of_epoch(self, run: Run | None, logs: Logs | None) -> _Mark:
        """What was measured of the epoch so far."""
        if self._first is None or self._last is None or run is None or logs is None:
            return self._before
        return self._before.and_then(_Mark(*self._last, _weight(run, logs)).since(self._first))

    def _now(self) -> float:
        """The time, with validations and predictions taken out."""
        return self.clock() - self._aside

    def _come_back(self) -> None:
        if self._away is not None:
            self._aside += self.clock() - self._away
            self._away = None

    def _mark(self, run: Run, logs: Logs) -> _Mark:
        return _Mark(self._now(), self._waited, run.step, _weight(run, logs))

    def _write(self, run: Run, logs: Logs, measured: _Mark) -> None:
        seconds, waited, steps, counted = measured
        if not (seconds > 0 and steps > 0):
            return
        samples: float | None = counted
        if self.batch_size is not None:
            samples = steps * self.batch_size
        elif samples == steps or not samples:  # logged without n
            samples = None
        self.steps_per_second = steps / seconds
        self.samples_per_second = None if samples is None else samples / seconds
        self.data_wait = waited / seconds if run.can("data_wait") else None
        for name in _RATES:
            if (value := getattr(self, name)) is not None:
                logs[name] = value


def _weight(run: Run, logs: Logs) -> float:
    """How many samples the epoch's running means stand for; to look does not read them."""
    validations = tuple(f"{name}_" for name in run.validations)
    means = [one for name, one in logs.raw.items() if type(one) is Mean and not name.startswith(validations)]
    return max((one.weight for one in means), default=0)
