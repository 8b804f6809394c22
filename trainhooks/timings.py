"""Timings: where the time of a run goes. Batches are sampled, one in 64, so that it costs nothing to speak of.

All is time of the host. What a framework has only been told to do (JAX, CUDA) is waited for by whoever reads its result
first: a callback that reads a metric on a device is charged with the wait.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from .checks import count
from .sampler import Sampler, Spent

if TYPE_CHECKING:
    from .bus import EventBus
    from .dispatch import Listener


class Timings:
    """Where the time of one run goes; ``trainhooks.profile(run)`` shows it as a table.

    A batch that is timed has each listener of its events timed, the step between them, and the wait for its data before
    it. Listeners to the rarer events of a run are timed each time: ``setup``, ``stop``, and the begin and end of
    training, of epochs, validations and predictions. ``teardown``, ``exception``, ``checkpoint`` and declared events
    are not, nor is what a run that was resumed took before.

    Attributes:
        every: one batch in so many is timed, and one in eight times as many where nobody listens to batches; 1 times
            each. Another number counts from the next pass, or the next batch that is timed.
        clock: gives the seconds; another one, where it is set before the run begins, is what a test may want.
    """

    def __init__(self, bus: EventBus) -> None:
        self.bus = bus
        self._every = 64
        self.clock: Callable[[], float] = time.perf_counter
        self.samplers: Final = {
            "pass": Sampler(self, "train_batch", "training step"),
            "test": Sampler(self, "test_batch", "validation step"),
            "predict": Sampler(self, "predict_batch", "prediction step"),
        }
        self.spent: Final[dict[tuple[str, str], Spent]] = {}
        """By hook and name: it keeps no listener alive that was taken off."""
        self._began: float | None = None
        self._ended: float | None = None

    @property
    def every(self) -> int:
        """One batch in so many is timed.

        Raises:
            ValueError: it is set to what is no whole number, or below 1.
        """
        return self._every

    @every.setter
    def every(self, value: int) -> None:
        self._every = count(value, f"run.timings.every = {value!r}", 1)
        for sampler in self.samplers.values():
            sampler.every = self._every

    def of(self, listener: Listener) -> Spent:
        """The time of a listener; asked for as its event is compiled."""
        who, hook = listener.who, listener.event.hook
        if listener.owner is not None and not who.endswith(f".{hook}"):  # a method of its own under another name
            who = f"{who.rpartition('.')[0]}.{hook}"
        found = self.spent.get((hook, who))
        if found is None:
            found = self.spent[hook, who] = Spent(who)
        return found

    @contextlib.contextmanager
    def each(self, who: str) -> Iterator[None]:
        """Time what is in it each time, as ``who``; it is part of nothing else that is timed."""
        spent, then = self.spent.setdefault(("", who), Spent(who)), self.clock()
        try:
            yield
        finally:
            spent.times += 1
            spent.seconds += self.clock() - then

    def begin(self) -> None:
        """The run begins."""
        self._began = self.clock()

    def end(self) -> None:
        """It is over."""
        self._ended = self.clock()

    @property
    def has_begun(self) -> bool:
        """Whether the run has begun."""
        return self._began is not None

    @property
    def seconds(self) -> float:
        """How long the run has taken so far, or took; 0 before it begins."""
        if self._began is None:
            return 0.0
        return self.now() - self._began

    def now(self) -> float:
        """What the clock shows, or showed when the run was over."""
        return self.clock() if self._ended is None else self._ended
