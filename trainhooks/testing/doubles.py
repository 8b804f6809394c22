"""Scripted callbacks and models: stand-ins that are real parts of ours, so that no test need patch anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..callback import Callback
from ..dispatch import Listener
from ..events import EVENTS, Event, resolve
from ..progress import StopKind
from ..run import Run


class Do(Callback):
    """Call ``action(run)`` at the ``nth`` time that ``event`` fires.

    Args:
        event: the name of an event.
        action: what to do.
        nth: at which of its firings, from 0; None at each.
    """

    def __init__(self, event: str, action: Callable[[Run], object], nth: int | None = 0) -> None:
        self.event = resolve(event, type(self).__name__).name
        self.action, self.nth = action, nth
        self.fired = 0

    def listeners(self, events: Mapping[str, Event] = EVENTS) -> Iterator[Listener]:
        who = f"{type(self).__name__}.on_{self.event}"
        yield Listener(events[self.event], self._fire, who, phase=self.phase, on_error=self.on_error, owner=self)

    def settings_dict(self) -> dict[str, Any]:  # one that stands where another stood is no change of settings
        return {}

    def _fire(self, run: Run) -> None:
        number, self.fired = self.fired, self.fired + 1
        if self.nth is None or number == self.nth:
            self.action(run)


class StopAt(Do):
    """Ask for a stop at the ``nth`` ``event``, or with ``step`` at the end of the batch that makes it so many."""

    def __init__(
        self,
        event: str = "train_batch_end",
        nth: int = 0,
        *,
        step: int | None = None,
        kind: StopKind = "decision",
        reason: str = "asked for",
    ) -> None:
        self.kind = kind
        if step is not None:
            event, nth = "train_batch_end", step - 1
        super().__init__(event, lambda run: run.stop(reason, kind=kind, source=self), nth)


class RaiseAt(Do):
    """Raise ``error`` at the ``nth`` ``event``."""

    def __init__(self, event: str, nth: int = 0, error: BaseException | None = None) -> None:
        self.error = RuntimeError("asked for") if error is None else error
        super().__init__(event, self._raise, nth)

    def _raise(self, run: Run) -> None:
        raise self.error


class Constant:
    """A model for ``fit`` whose every batch gives the same metrics."""

    def __init__(self, loss: float = 1.0, **metrics: float) -> None:
        self.metrics = {"loss": loss, **metrics}

    def train_step(self, batch: Any) -> dict[str, float]:
        return dict(self.metrics)

    def test_step(self, batch: Any) -> dict[str, float]:
        return dict(self.metrics)

    def predict_step(self, batch: Any) -> Any:
        return batch


def batches(n: int) -> list[int]:
    """A loader of ``n`` batches that hold their own numbers."""
    return list(range(n))
