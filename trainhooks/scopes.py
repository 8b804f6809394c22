"""Scopes: opens and closes the scopes of a run by the grammar, and counts the epochs."""

from __future__ import annotations

from typing import TypeVar

from . import errors
from .batches import Batches
from .bus import EventBus
from .frames import BATCH_SCOPES, PARENTS, Frame, Kind
from .logs import Logs, Mean
from .progress import Progress
from .run import EpochRecord, Run

T = TypeVar("T")


class Scopes(Batches):
    """The scopes of a run, and the events at their edges.

    Attributes:
        has_trained: whether training has begun in this run.
        validation: the name of the running validation; None between them.
        begins_again: the begin that fires now is of an epoch or a validation that began before the run was resumed.
    """

    def __init__(self, run: Run, progress: Progress, bus: EventBus) -> None:
        super().__init__(run, progress, bus)
        self.has_trained = False
        self.validation: str | None = None
        self.begins_again = False

    @property
    def is_idle(self) -> bool:
        """Whether the run is open, and nothing in it."""
        return len(self.stack) == 1

    @property
    def only_pauses(self) -> bool:
        """Whether a pause is all that was asked of this epoch's batches."""
        return self.progress.stop is None and not self._ended

    @property
    def done_of_next(self) -> int:
        """How many batches of the pass that begins next were done before the run was resumed."""
        return self.place.done_of_next(self.stack[-1]) if self.stack else 0

    def keep_epoch_start(self) -> None:
        """An epoch is about to begin; the driver keeps the state for a trainer that cannot go on inside one."""

    @property
    def is_complete(self) -> bool:
        """Whether it trained, and reached its last epoch."""
        total = self.progress.max_epochs
        return self.has_trained and total is not None and self.progress.epochs_done >= total

    def open(
        self,
        kind: Kind,
        *,
        epoch: int = 0,
        epochs: int | None = None,
        steps: int | None = None,
        logs: Logs | None = None,
        name: str = "val",
        index: int | None = None,
        again: bool = False,
    ) -> Frame:
        """Open a scope in the innermost one, and fire its begin.

        Args:
            kind: ``"train"``, ``"epoch"``, ``"pass"``, ``"test"`` or ``"predict"``.
            epoch: the number of the epoch, from 0.
            epochs: of a training, the total of epochs that is asked for, where it is known.
            steps: of a training, the batches in each epoch, where they are known.
            logs: the live logs of this scope; new ones by default.
            name: of a validation: its metrics join the epoch's with this and ``_`` before them.
            index: which of its epoch's passes it is, where a state can say so.
            again: it had begun before the run was resumed.

        Raises:
            GrammarError: it has no place here.
        """
        if index is None:
            self.boundary()
        top = self.stack[-1].kind if self.stack else "nothing"
        if kind not in PARENTS or kind == "run":
            raise errors.no_scope(kind, [one for one in PARENTS if one != "run"])
        if top not in PARENTS[kind]:
            raise errors.misplaced_scope(kind, top, PARENTS[kind])
        progress = self.progress
        before = (self.logs, progress.phase, progress.batch)
        if kind == "epoch":
            self.keep_epoch_start()
        if kind == "pass":
            logs = self.stack[-1].logs
        elif kind != "train":
            logs = self.logs = Logs() if logs is None else logs
        frame = Frame(kind, logs, name, before, self.bus.batch_calls.get(BATCH_SCOPES.get(kind, "")))
        frame.index = index
        frame.is_nested = kind in ("test", "predict") and self.is_in_batch
        self.push(frame)
        if frame.calls is not None and kind != "pass":
            self.timings.samplers[kind].enter(frame)
        if kind == "train":
            progress.max_epochs = progress.max_epochs if epochs is None else epochs
            progress.steps_per_epoch = progress.steps_per_epoch if steps is None else steps
            if not (self.has_trained or progress.resumed or self.signals.muted):
                for callback in self.bus.attached:
                    callback.reset()
            self.has_trained, progress.left = True, False
        elif kind == "epoch":
            progress.epoch, progress.batch = epoch, 0
            progress.halt = False  # first: a signal may ask for a stop between this line and the next
            if progress.should_stop:
                progress.halt = progress.attention = True
            progress.passes.clear()
            progress.first_step = progress.step
            self.is_unfinished, self._ended = True, False
            again = not self.signals.muted and self.place.begin_epoch()
            if again and self.place.was_ended:
                self._ended = progress.halt = progress.attention = True
        elif kind == "pass":
            progress.phase = "train"
            frame.batch = self.stack[-2].batch  # a second pass goes on counting
            self.timings.samplers[kind].enter(frame)
        elif kind in ("test", "predict"):
            progress.phase, progress.batch = kind, 0
            if kind == "test":
                progress.passes_seen.add(name)
                self.validation = name
        self.begins_again = again
        try:
            if kind == "epoch":
                self.signals.fire("epoch_begin", epoch, logs)
            elif kind != "pass":
                self.signals.fire(f"{kind}_begin", self.logs)
        except BaseException:  # raised on; where the loop's owner catches it, the scope is one that was left
            frame.leave()
            raise
        finally:
            self.begins_again = False
        if kind == "epoch":
            self.boundary()
        elif kind == "train" and progress.together:
            self._join_stops("as training begins")
            self.signals.attend()
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
        # where one was left by a break, lines have run since; of a training that is over nothing is left to put off
        if not (kind == "epoch" or frame.left or (kind == "train" and self.is_complete)):
            self.boundary()
        if kind == "epoch" and not self.signals.muted:
            self.place.arrive(frame)
        if frame.calls is not None:
            self.timings.samplers[kind].leave(frame)
        self.pop()  # first, so that a hook that raises in its end does not have it ended again
        progress = self.progress
        if logs is not None:
            frame.logs = self.logs = logs
        if progress.together and frame.logs is not None and kind != "pass" and not self.signals.muted:
            self._join_means(frame, frame.logs)
        if kind == "pass":
            _, progress.phase, _ = frame.before
            self.stack[-1].batch = frame.batch
        elif kind == "epoch":
            if not self.signals.muted:
                progress.epochs_done, self.is_unfinished = progress.epoch + 1, False
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
            if progress.save_asked and not frame.left:  # it waited for the validation's end; not where that raised
                self.signals.attend()
            if self.stack[-1].kind == "epoch" and not frame.left:
                self.boundary()

    def _end_epoch(self, logs: Logs) -> None:
        history, epoch = self.run.history, self.progress.epoch
        history.append(EpochRecord(epoch, logs))  # type: ignore[arg-type]  # live: a callback may save the history
        try:
            self.signals.fire_alone("epoch_end", epoch, logs)
        except BaseException:  # raised on: not every callback has seen this end
            self.is_unfinished = True
            raise
        finally:
            history[-1] = EpochRecord(epoch, logs.copy())
        self._join_stops(f"after epoch {epoch}")
        self.progress.release_held()
        self.signals.attend()

    def _join_means(self, frame: Frame, logs: Logs) -> None:
        """Have each running mean become that over all ranks: on each the same names, and the same numbers."""
        own = {name: mean.state_dict() for name, mean in logs.raw.items() if type(mean) is Mean}
        joined: dict[str, Mean] = {}
        what = {"test": f"of a validation {frame.name!r} in epoch", "predict": "of a prediction in epoch"}
        for means in self._gather(f"at the end {what.get(frame.kind, 'of epoch')} {self.progress.epoch}", own):
            for name, mean in means.items():
                over_all = joined.setdefault(name, Mean())
                over_all.total += mean["total"]
                over_all.weight += mean["weight"]
        logs.update({name: mean.value() for name, mean in joined.items()})

    def _join_stops(self, where: str) -> None:
        """Put in force, on every rank, what has been asked for on any."""
        progress = self.progress
        if progress.together and not self.signals.muted:
            own = progress.asked.copy()
            del progress.asked[: len(own)]  # a signal may add to them at any time
            for stops in self._gather(where, own):
                for stop in stops:
                    progress.put_in_force(stop)

    def _gather(self, where: str, own: T) -> list[T]:
        """What each rank has to tell.

        Raises:
            LoopError: another rank is elsewhere, and tells of something else.
        """
        told = self.run.world.gather((where, own))
        for rank, (place, _) in enumerate(told):
            if place != where:
                raise errors.apart(self.run.world.rank, where, rank, place)
        return [one for _, one in told]

    def _leave_validation(self, frame: Frame) -> None:
        self.validation = None
        before, self.progress.phase, self.progress.batch = frame.before
        around = next((one for one in reversed(self.stack) if one.kind == "epoch"), None)
        if around is not None:  # an evaluation alone leaves its logs to be read
            self.logs = before
            if frame.kind == "test" and around.logs is not None and frame.logs is not None:
                around.logs.take(frame.logs, f"{frame.name}_")

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

    def end_epoch(self) -> None:
        """Have no further training batch begin in this epoch."""
        self.run.need("end_epoch", "run.end_epoch()")
        if not any(frame.kind == "epoch" for frame in self.stack):
            raise errors.LoopError("run.end_epoch(): no epoch is running. Ask for it between its begin and its end.")
        self._ended = self.progress.halt = self.progress.attention = True
