"""Batches: the stack of open scopes, and the batches of the innermost one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import errors
from .bus import EventBus
from .frames import BATCH_SCOPES, Frame
from .logs import Logs
from .place import Place, Where
from .progress import Progress
from .run import Run
from .signals import Signals
from .timings import Timings


class Batches:
    """What is open in a run, and the events of its batches.

    Attributes:
        stack: the open scopes, the innermost last; the run itself is the first.
        top: the innermost one; None where none is open.
        logs: the live logs of what is running.
        signals: what fires the events; after a pause it is mute, and scopes open and close in silence.
        is_unfinished: an epoch began, and did not end.
        place: where inside an epoch it is.
        timings: where its time goes.
    """

    def __init__(self, run: Run, progress: Progress, bus: EventBus) -> None:
        self.run, self.progress, self.bus = run, progress, bus
        self.signals = Signals(run, progress, bus, lambda: self.is_whole)
        self.place = Place(progress, run.trainable)
        self.timings = bus.timings = Timings(bus)
        self.stack: list[Frame] = []
        self.top: Frame | None = None
        self.logs = Logs()
        self.is_unfinished = False
        self.paused_at: Where | None = None
        self._ended = False
        """The running epoch was asked to end."""

    @property
    def is_in_batch(self) -> bool:
        """Whether a batch is half done."""
        return any(frame.in_batch for frame in self.stack)

    @property
    def is_whole(self) -> bool:
        """Whether a save that was asked for can be carried out: nothing is half done or left, no validation runs."""
        if self.progress.phase in ("test", "predict"):
            return False
        return not any(frame.in_batch or frame.left for frame in self.stack)

    def boundary(self) -> None:
        """Between two batches or scopes: where a pause was asked for, take it here.

        In a validation inside a training batch it waits: nobody could go on from the middle of a batch. Nor is it taken
        where lines of the loop's owner have run since a pass ended: they would run again. It is taken right after a
        pass, or when the next one has begun, or when the epoch has ended.
        """
        if self.progress.pause is not None and not self.signals.muted and not self.is_in_batch:
            self.signals.pause()
            self.paused_at = self.where()

    def where(self) -> Where:
        """The place in the run, for a state that is taken now; after a pause that of the pause."""
        if self.paused_at is not None:
            return self.paused_at
        return self.place.where(self.stack, unfinished=self.is_unfinished, ended=self._ended)

    def push(self, frame: Frame) -> None:
        """``frame`` is open from now on."""
        self.stack.append(frame)
        self._show(frame)

    def pop(self) -> Frame:
        """The innermost scope is open no more."""
        frame = self.stack.pop()
        self._show(self.stack[-1] if self.stack else None)
        return frame

    def forget_all(self) -> None:
        """Nothing is open any more."""
        self.stack.clear()
        self._show(None)

    def _show(self, top: Frame | None) -> None:
        if self.top is not None:
            self.top.is_top = False
        self.top = top
        if top is not None:
            top.is_top = True

    def batch_begin(self, batch: int) -> None:
        """A batch of the innermost pass, validation or prediction begins; one that was never ended is forgotten."""
        frame, progress = self.top, self.progress
        if frame is None or frame.calls is None:
            raise errors.misplaced_batch("nothing" if frame is None else frame.kind, list(BATCH_SCOPES))
        if progress.pause is not None:
            frame.in_batch = False
            self.boundary()
        frame.batch = progress.batch = batch
        frame.in_batch = True
        call = frame.calls.begin
        if call is not None and not self.signals.muted:
            call(batch, frame.logs)
        if progress.attention:
            self.signals.attend()

    def batch_end(self, *, counted: bool = True, steps: int = 1, logs: Logs | None = None, outputs: Any = None) -> None:
        """It ended.

        Args:
            counted: whether it is a finished step, or was left before anything was done in it.
            steps: how many batches it stands for.
            logs: in place of those of the batch's events; the epoch's end has those that ``open`` was given.
            outputs: of a prediction.
        """
        frame, progress = self.top, self.progress
        if frame is None or frame.calls is None:
            raise errors.misplaced_batch("nothing" if frame is None else frame.kind, list(BATCH_SCOPES))
        frame.in_batch = False
        if logs is not None:
            frame.logs = self.logs = logs
        batch = frame.batch
        if steps > 1:
            frame.batch = batch + steps - 1
        call, muted = frame.calls.end, self.signals.muted
        if counted and not muted and frame.kind == "pass":
            progress.step += steps
        if frame.kind == "predict":
            given, frame.outputs = frame.outputs if outputs is None else outputs, None
            if call is not None and not muted:
                call(batch, frame.logs, given)
        elif call is not None and not muted:
            call(batch, frame.logs)
        if progress.attention:
            self.signals.attend()
        if frame.batch >= frame.look:
            self.timings.samplers[frame.kind].arm(frame)

    def log(self, metrics: Mapping[str, Any], n: float = 1) -> None:
        """Add what the running batch reports to the running means of its epoch, validation or prediction.

        Args:
            metrics: this batch's own values, each a number or a tensor with one element.
            n: their weight, as the rows of the batch.
        """
        frame = self.stack[-1]
        if frame.logs is None:
            raise errors.GrammarError(f"log({list(metrics)}): {frame.kind!r} is open, which has no metrics")
        frame.logged = frame.values_of = frame.batch
        frame.values = {name: frame.logs.add(name, value, n) for name, value in metrics.items()}

    def drop_batch(self) -> None:
        """Forget a batch that the trainer began and will never end, if there is one; nothing is made up for it."""
        frame = self.stack[-1]
        if frame.in_batch:
            frame.in_batch, frame.dropped = False, frame.batch

    def count_steps(self, steps: int) -> None:
        """Count finished batches whose ends the trainer does not tell of."""
        if steps > 0 and not self.signals.muted:
            self.progress.step += steps

    def batch_logs(self) -> Logs:
        """The innermost batch's own values."""
        self.run.need("batch_logs", "run.batch_logs")
        frame = self.stack[-1] if self.stack else None
        return Logs(frame.values if frame is not None and frame.values_of == frame.batch else {})

    def optimizer_stepped(self) -> None:
        """The optimizer made an update."""
        progress, top = self.progress, self.top
        progress.optimizer_step += 1
        if top is None or self.signals.muted:
            return
        if top.kind == "pass":
            top.logged = top.batch
        else:
            for frame in reversed(self.stack):  # a step in a validation inside a batch is a step in that batch too
                frame.logged = frame.batch
                if frame.kind == "pass":
                    break
        call = self.bus.calls["optimizer_step"]
        if call is not None:
            call(progress.optimizer_step)
        if progress.attention:
            self.signals.attend()
