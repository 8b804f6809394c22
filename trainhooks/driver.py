"""Driver: opens and closes the scopes of a run by the grammar. The loop and every adapter drive it.

A driver's whole life, as the reference loop drives it::

    setup()
    open("train")
      open("epoch", epoch=0)
        open("pass")                      # one iteration over a training loader; it has no events of its own
          batch_begin(0) ... batch_end()
        close("pass")
        open("test") batch_begin(0) ... batch_end() close("test")
      close("epoch")
    close("train")
    teardown()

and where something is raised, ``fail(exception)`` and ``teardown()`` from wherever it was. After each event it looks
at what was asked for in it: ``stop`` is told once, a save is carried out. A pause is taken at the next boundary: the
driver is mute from then on, and a trainer that goes on regardless drives nothing but its stack.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

from . import attach, checkpoint, errors
from .bus import EventBus, Handle
from .callback import Callback
from .endings import outcome_of, say
from .frames import BATCH_EVENTS, PARENTS, Frame, Kind
from .logs import Logs
from .progress import Progress
from .run import EpochRecord, Outcome, Run
from .signals import Signals
from .trainable import Trainable
from .world import World


class Driver:
    """Fires one run's events in their order.

    Args:
        trainable: what is trained; without one the run has no capabilities.
        callbacks: attached in this order.
        min_epochs: decisions to stop are held until so many epochs are finished.
        world: who else trains along.

    Raises:
        RegistrationError: a callback cannot be registered.
        CapabilityError: a callback needs what ``trainable`` lacks.
    """

    def __init__(
        self,
        trainable: Trainable | None = None,
        callbacks: Iterable[Callback] = (),
        *,
        min_epochs: int = 0,
        world: World | None = None,
    ) -> None:
        if trainable is not None and not isinstance(trainable, Trainable):
            raise errors.no_trainable(trainable)
        self.trainable = Trainable() if trainable is None else trainable
        self.progress = Progress(min_epochs)
        self.run = Run(self, self.progress, self.trainable, world or World())
        self.bus = EventBus(self.run, self.progress)
        self.bus.admit = functools.partial(attach.admit, self.run)
        self.bus.vet = functools.partial(attach.vet, self.run)
        self.bus.joined = self._joined
        self.signals = Signals(self.run, self.progress, self.bus)
        self.stack: list[Frame] = []
        self.logs = Logs()
        self.life: Literal["new", "open", "over"] = "new"
        self.outcome: Outcome | None = None
        self.error: BaseException | None = None
        self.break_reason: str | None = None
        self._trained = False
        self._unfinished = False
        self._unwatch: Callable[[], None] | None = None
        if isinstance(callbacks, Callback):
            raise errors.one_callback(callbacks)
        self.add(*callbacks)

    def add(self, *callbacks: Callback) -> Handle:
        """Attach callbacks, all or none."""
        for callback in callbacks:
            self.bus.vet(callback)
        return self.bus.add(*(one for one in callbacks if one.ranks == "all" or self.run.world.is_main))

    def _joined(self, callback: Callback) -> None:
        if self.life == "open":
            callback.run = self.run

    def name_of(self, source: Callback | str | None) -> str | None:
        """What a callback that asks for something is called."""
        return attach.name_of(self.bus, source)

    # The run

    def setup(self) -> None:
        """Begin: take the callbacks, watch the optimizer, fire ``setup``."""
        if self.life != "new":
            raise errors.LoopError("a run begins once: make a new one")
        for callback in self.bus.callbacks:
            if callback.run is not None:
                raise errors.already_attached(type(callback).__name__)
        self.life = "open"
        for callback in self.bus.callbacks:
            callback.run = self.run
        if self.trainable.missing("optimizer_step") is None:
            self._unwatch = self.trainable.watch_optimizer(self._optimizer_stepped)
        self.stack.append(Frame("run", None, "", ()))
        self.signals.fire("setup")

    def fail(self, error: BaseException) -> None:
        """Training raised: fire ``exception``; what is open stays open. ``teardown`` follows."""
        if self.life != "open":
            return
        self.error = error
        self.stack.clear()
        for listener, raised in self.bus.guarded("exception", error):
            say(listener, raised)

    def teardown(self) -> None:
        """End: fire ``teardown`` for everyone, let the callbacks go. A second time does nothing.

        Raises:
            Exception: the first that a hook raised, where training itself raised none.
        """
        if self.life != "open":
            return
        self.outcome = self._outcome()
        self.life = "over"
        self.stack.clear()
        self.progress.phase = None
        try:
            raised = self.bus.guarded("teardown")
        finally:
            for callback in self.bus.callbacks:
                callback.run = None
            if self._unwatch is not None:
                self._unwatch()
        if raised and self.error is None:
            self.error = raised.pop(0)[1]
            self.outcome = self._outcome()
            for listener, error in raised:
                say(listener, error)
            raise self.error
        for listener, error in raised:
            say(listener, error)

    def _outcome(self) -> Outcome:
        if self._trained and not (self._is_complete or self.progress.should_stop):
            self.break_reason = "the loop was left before its last epoch"
        stopped = self.progress.stop is not None or self.break_reason is not None
        return outcome_of(self.error, paused=self.signals.muted, complete=self._is_complete, stopped=stopped)

    @property
    def _is_complete(self) -> bool:
        total = self.progress.max_epochs
        return self._trained and total is not None and self.progress.epochs_done >= total

    # Scopes

    def open(self, kind: Kind, *, epoch: int = 0, logs: Logs | None = None, name: str = "val") -> Frame:
        """Open a scope in the innermost one, and fire its begin.

        Args:
            kind: ``"train"``, ``"epoch"``, ``"pass"``, ``"test"`` or ``"predict"``.
            epoch: the number of the epoch, from 0.
            logs: the live logs of this scope; new ones by default.
            name: of a validation: its metrics join the epoch's with this and ``_`` before them.

        Raises:
            GrammarError: it has no place here.
        """
        self.signals.boundary()
        top = self.stack[-1].kind if self.stack else "nothing"
        if top not in PARENTS[kind]:
            raise errors.GrammarError(f"{kind!r} cannot begin inside {top!r}: its place is in {PARENTS[kind]}")
        progress = self.progress
        before = (self.logs, progress.phase, progress.batch)
        if kind == "pass":
            logs = self.stack[-1].logs
            progress.phase = "train"
        elif kind != "train":
            logs = self.logs = Logs() if logs is None else logs
        frame = Frame(kind, logs, name, before)
        if kind == "pass":
            frame.batch = self.stack[-1].batch  # a second pass goes on counting
        self.stack.append(frame)
        if kind == "train":
            if not (self._trained or progress.resumed or self.signals.muted):
                for callback in self.bus.callbacks:
                    callback.reset()
            self._trained, progress.left = True, False
        elif kind == "epoch":
            progress.epoch, progress.batch = epoch, 0
            progress.halt = False  # first: a signal may ask for a stop between this line and the next
            if progress.should_stop:
                progress.halt = True
            progress.passes.clear()
            progress.first_step = progress.step
            self._unfinished = True
        elif kind in ("test", "predict"):
            progress.phase, progress.batch = kind, 0
            if kind == "test":
                progress.passes_seen.add(name)
        try:
            if kind == "epoch":
                self.signals.fire("epoch_begin", epoch, logs)
            elif kind != "pass":
                self.signals.fire(f"{kind}_begin", self.logs)
        except BaseException:  # raised on; where the loop's owner catches it, the scope is one that was left
            frame.left = True
            raise
        return frame

    def close(self, kind: Kind, logs: Logs | None = None) -> None:
        """Close the innermost scope, which is of this kind, and fire its end; a batch left in it ends first.

        Args:
            kind: as in ``open``.
            logs: what the scope ended with, where it is another object than it began with.

        Raises:
            GrammarError: another scope is open.
        """
        frame = self.stack[-1] if self.stack else None
        if frame is None or frame.kind != kind:
            raise errors.GrammarError(f"{kind!r} cannot end: open is {frame.kind if frame else 'nothing'!r}")
        if frame.in_batch:
            self.batch_end(counted=frame.logged == frame.batch)
        if not (kind == "train" and self._is_complete):  # nothing is left that a pause could put off
            self.signals.boundary()
        self.stack.pop()  # first, so that a hook that raises in its end does not have it ended again
        progress = self.progress
        if logs is not None:
            frame.logs = self.logs = logs
        if kind == "pass":
            _, progress.phase, _ = frame.before
            self.stack[-1].batch = frame.batch
        elif kind == "epoch":
            if not self.signals.muted:
                progress.epochs_done, self._unfinished = progress.epoch + 1, False
                progress.left = frame.left
                self._end_epoch(Logs() if frame.logs is None else frame.logs)
        else:
            if kind == "test":
                progress.passes.add(frame.name)
            try:
                self.signals.fire(f"{kind}_end", self.logs)
            finally:
                if kind != "train":
                    self._leave_validation(frame)

    def _end_epoch(self, logs: Logs) -> None:
        history, epoch = self.run.history, self.progress.epoch
        history.append(EpochRecord(epoch, logs))  # type: ignore[arg-type]  # live: a callback may save the history
        try:
            self.signals.fire_alone("epoch_end", epoch, logs)
        except BaseException:  # raised on: not every callback has seen this end
            self._unfinished = True
            raise
        finally:
            history[-1] = EpochRecord(epoch, logs.copy())
        self.progress.release_held()
        self.signals.attend()

    def _leave_validation(self, frame: Frame) -> None:
        before, self.progress.phase, self.progress.batch = frame.before
        around = next((one for one in reversed(self.stack) if one.kind == "epoch"), None)
        if around is not None:  # an evaluation alone leaves its logs to be read
            self.logs = before
            if frame.kind == "test" and around.logs is not None and frame.logs is not None:
                around.logs.take(frame.logs, f"{frame.name}_")
        if self.progress.save_asked:
            self.signals.attend(save=not self.stack[-1].in_batch)  # of a half done batch: a save waits for its end

    def close_down(self, depth: int) -> None:
        """Close from the innermost scope until ``depth`` scopes are open."""
        while len(self.stack) > depth:
            self.close(self.stack[-1].kind)

    def settle(self) -> None:
        """What was left, and turns out not to be an exception, was a break: it ends now."""
        self.close_down(self.left_at())

    def left_at(self) -> int:
        """How many scopes are open around the outermost one that was left; all, where none was."""
        return next((depth for depth, frame in enumerate(self.stack) if frame.left), len(self.stack))

    # Batches

    def batch_begin(self, batch: int) -> None:
        """A batch of the innermost pass, validation or prediction begins."""
        if self.progress.pause is not None:
            self.signals.boundary()
        frame = self.stack[-1]
        frame.batch = self.progress.batch = batch
        frame.in_batch = True
        self.signals.fire(BATCH_EVENTS[frame.kind][0], batch, frame.logs)

    def batch_end(self, *, counted: bool = True, steps: int = 1, logs: Logs | None = None, outputs: Any = None) -> None:
        """It ended.

        Args:
            counted: whether it is a finished step, or was left before anything was done in it.
            steps: how many batches it stands for.
            logs: the running means, where the trainer gives new ones.
            outputs: of a prediction.
        """
        frame = self.stack[-1]
        frame.in_batch = False
        if logs is not None:
            frame.logs = self.logs = logs
        progress = self.progress
        name = BATCH_EVENTS[frame.kind][1]
        if frame.kind == "pass" and counted and not self.signals.muted:
            progress.step += steps
        if frame.kind == "predict":
            given = frame.outputs if outputs is None else outputs
            frame.outputs = None
            self.signals.fire(name, frame.batch, frame.logs, given)
        else:
            self.signals.fire(name, frame.batch, frame.logs)

    def drop_batch(self) -> None:
        """Forget a batch that the trainer began and will never end, if there is one; nothing is made up for it."""
        self.stack[-1].in_batch = False

    def count_steps(self, steps: int) -> None:
        """Count finished batches whose ends the trainer does not tell of."""
        if steps > 0 and not self.signals.muted:
            self.progress.step += steps

    @property
    def is_idle(self) -> bool:
        """Whether the run is open, and nothing in it."""
        return len(self.stack) == 1

    def batch_logs(self) -> Logs:
        """The innermost batch's own values."""
        self.run.need("batch_logs", "run.batch_logs")
        frame = self.stack[-1] if self.stack else None
        return Logs(frame.values if frame is not None and frame.values_of == frame.batch else {})

    def _optimizer_stepped(self) -> None:
        self.progress.optimizer_step += 1
        if not self.stack or self.signals.muted:
            return
        for frame in reversed(self.stack):  # a step in a validation inside a batch is a step in that batch too
            frame.logged = frame.batch
            if frame.kind == "pass":
                break
        self.signals.fire_alone("optimizer_step", self.progress.optimizer_step)
        if self.progress.attention:
            self.signals.attend(save=False)  # the batch is half done: a save waits for its end

    def end_epoch(self) -> None:
        """Have no further training batch begin in this epoch."""
        self.run.need("end_epoch", "run.end_epoch()")
        if not any(frame.kind == "epoch" for frame in self.stack):
            raise errors.LoopError("run.end_epoch(): no epoch is running. Ask for it between its begin and its end.")
        self.progress.halt = True

    # State

    def state_dict(self) -> dict[str, Any]:
        """As ``Run.state_dict``."""
        at = self.stack[-1].kind if self.stack else "nothing"
        if self._unfinished and at in checkpoint.BETWEEN_EPOCHS:
            at = "epoch"  # which a pause or an exception cut short
        if at not in checkpoint.BETWEEN_EPOCHS:
            warnings.warn(checkpoint.taken_inside(at, self.progress.epoch, "run.state_dict()"), stacklevel=3)
        return checkpoint.collect(self.run, self.progress, self.trainable, self.bus, at)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """As ``Run.load_state_dict``."""
        if self.life != "new":
            raise errors.LoopError("load_state_dict(): training has begun. Load before it, as with resume=state.")
        checkpoint.restore(state, self.run, self.progress, self.trainable, self.bus)
