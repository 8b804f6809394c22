"""Slowdown: warn when a training step becomes much slower than the run's usual pace."""

from __future__ import annotations

import statistics
import time
import warnings
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from trainhooks import Callback, Event, Run

EVENT = Event("slowdown", ("step", "ratio"), "A training step took `ratio` times as long as is usual in its run.")


class Slowdown(Callback):
    """Warn when a training step takes ``ratio`` times as long as the median of those before it, and fire ``slowdown``.

    Of slow steps in a row the first is told of. They become the usual pace in time, as any others.

    Args:
        ratio: what counts as much slower; above 1.
        window: how many steps the usual pace is taken from, the latest.
        warmup: how many steps are measured before one is judged; the run's first step, where compilers and caches warm
            up, is not even measured.
        clock: tells the time in seconds, from any beginning; for tests.

    Attributes:
        count: how often it told.
    """

    on_error = "warn"  # it watches and never steers: a fault in it must not end the run

    def __init__(
        self, ratio: float = 3.0, *, window: int = 50, warmup: int = 5, clock: Callable[[], float] | None = None
    ) -> None:
        if isinstance(ratio, bool) or not ratio > 1:  # put this way round, NaN is refused too
            raise ValueError(f"Slowdown(ratio={ratio!r}): a number above 1")
        for name, value in {"window": window, "warmup": warmup}.items():
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"Slowdown({name}={value!r}): a whole number, at least 1")
        if warmup > window:
            raise ValueError(f"Slowdown(warmup={warmup}, window={window}): the window must hold the warmup")
        self.ratio, self.window, self.warmup = ratio, window, warmup
        self._clock = time.perf_counter if clock is None else clock
        self._begun: float | None = None
        self.reset()

    def reset(self) -> None:
        self.count = 0
        self._took: deque[float] = deque(maxlen=self.window)
        self._is_slow = self._has_begun = False

    def on_setup(self, run: Run) -> None:
        run.bus.declare(EVENT)  # where the plugin itself was left out, it is not known yet

    def on_train_batch_begin(self) -> None:
        self._begun = self._clock()

    def on_train_batch_end(self, run: Run) -> None:
        if self._begun is None:
            return
        took, self._begun = self._clock() - self._begun, None
        if not self._has_begun:
            self._has_begun = True
            return
        usual = statistics.median(self._took) if len(self._took) >= self.warmup else 0.0
        was_slow, self._is_slow = self._is_slow, 0 < usual * self.ratio < took
        self._took.append(took)
        if self._is_slow and not was_slow:
            self._tell(run, took, usual)

    def _tell(self, run: Run, took: float, usual: float) -> None:
        self.count += 1
        ratio = took / usual
        warnings.warn(
            f"Slowdown: step {run.step} took {took:.3g} s, {ratio:.1f} times the usual {usual:.3g} s.", stacklevel=2
        )
        run.emit(EVENT.name, step=run.step, ratio=ratio)

    def state_dict(self) -> dict[str, Any]:
        return {
            "count": self.count,
            "took": list(self._took),
            "is_slow": self._is_slow,
            "has_begun": self._has_begun,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.count = state["count"]
        self._took = deque(state["took"], maxlen=self.window)
        self._is_slow, self._has_begun = state["is_slow"], state["has_begun"]
