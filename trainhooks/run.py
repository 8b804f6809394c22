"""Run: what a callback sees of a training. A facade: each member is a line that asks the part which knows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from . import errors
from .logs import Logs
from .progress import Phase, Progress, Stop, StopKind
from .trainable import Trainable
from .world import World

if TYPE_CHECKING:
    import numpy as np

    from .bus import EventBus, Handle
    from .callback import Callback
    from .dispatch import ErrorPolicy
    from .dispatch import Phase as ListenerPhase
    from .driver import Driver
    from .filters import Filter

Outcome = Literal["completed", "stopped", "paused", "failed", "interrupted"]


class EpochRecord(NamedTuple):
    """One line of a run's history: the number of an epoch, from 0, and the logs that it ended with."""

    epoch: int
    logs: dict[str, Any]


_OWN: Final = ("_driver", "_progress", "_trainable", "history", "lr_shares", "world")


class _LoopVerb:
    """A verb of the loop, which a run as its callbacks see it has not, and says so."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, instance: object, owner: type) -> Any:
        raise errors.loop_verb(self.name)


class Run:
    """One training, as its callbacks see it and steer it.

    Attributes:
        history: a record for each epoch that ended; the ``History`` callback shows it.
        world: who else trains along.
        lr_shares: the learning rates over the first group's, as they were when ``lr`` was first set; None until then.
    """

    def __init__(self, driver: Driver, progress: Progress, trainable: Trainable, world: World) -> None:
        self._driver, self._progress, self._trainable = driver, progress, trainable
        self.lr_shares: list[float] | None = None
        self.world = world
        self.history: list[EpochRecord] = []

    if not TYPE_CHECKING:
        # no __getattr__, which would slow every run.x
        log, epochs, train, test, predict = map(_LoopVerb, ("log", "epochs", "train", "test", "predict"))

        def __setattr__(self, name: str, value: Any) -> None:
            known = getattr(type(self), name, None)
            if name in _OWN or (isinstance(known, property) and known.fset is not None):
                object.__setattr__(self, name, value)
            else:  # a misspelt setting must not pass in silence
                raise errors.not_settable(name)

    # Where it is

    @property
    def epoch(self) -> int:
        """Number of the running epoch, or of the last one, from 0."""
        return self._progress.epoch

    @property
    def batch(self) -> int:
        """Number of the batch within its epoch, validation or prediction, from 0."""
        return self._progress.batch

    @property
    def step(self) -> int:
        """Finished training batches over the whole run; at a batch's end it counts that batch."""
        return self._progress.step

    @property
    def optimizer_step(self) -> int | None:
        """The optimizer's real updates; None where the trainer does not show them."""
        return None if self._trainable.missing("optimizer_step") else self._progress.optimizer_step

    @property
    def epochs_done(self) -> int:
        """Finished epochs; at an epoch's end it counts that epoch."""
        return self._progress.epochs_done

    @property
    def phase(self) -> Phase | None:
        """``"train"``, ``"test"`` or ``"predict"``; None between them."""
        return self._progress.phase

    @property
    def announced(self) -> frozenset[str]:
        """The metrics that ``announce`` told of."""
        return frozenset(self._progress.announced)

    def announce(self, *metrics: str) -> None:
        """Tell of metrics that come at some epochs only, so that who monitors them does not miss them in between."""
        self._progress.announced.update(metrics)

    @property
    def max_epochs(self) -> int | None:
        """The total of epochs asked for; None when open-ended."""
        return self._progress.max_epochs

    @property
    def steps_per_epoch(self) -> int | None:
        """Training batches in an epoch; None when unknown."""
        return self._progress.steps_per_epoch

    @property
    def passes(self) -> frozenset[str]:
        """What ran in this epoch so far: ``"train"``, and the names of its validations, as ``"val"``."""
        progress = self._progress
        return frozenset(progress.passes | {"train"} if progress.step > progress.first_step else progress.passes)

    @property
    def validation(self) -> str | None:
        """The name of the validation that is running, as ``"val"``; at ``test_end`` still that. None between them."""
        return self._driver.validation

    @property
    def validations(self) -> frozenset[str]:
        """The names of all validations that this run has seen, and ``"val"``."""
        return frozenset(self._progress.passes_seen)

    @property
    def resumed(self) -> bool:
        """Whether it goes on from a saved state."""
        return self._progress.resumed

    @property
    def framework(self) -> str:
        """The trainer's name, as ``"torch"``; ``"none"`` when there is no model."""
        return self._trainable.framework

    @property
    def model(self) -> Any:
        """The framework's own model; ask for it anew each time, do not keep it."""
        return self._trainable.model

    @property
    def optimizer(self) -> Any:
        """The framework's own optimizer, or None."""
        return self._trainable.optimizer

    @property
    def trainable(self) -> Trainable:
        """The trainer's rarer verbs, as ``run.trainable.update_average``; ``requires`` asks for them beforehand."""
        return self._trainable

    # What it measured

    @property
    def logs(self) -> Logs:
        """The live logs of what is running: running means of the epoch or of the validation so far."""
        return self._driver.logs

    @property
    def batch_logs(self) -> Logs:
        """The last batch's own values.

        Raises:
            CapabilityError: the trainer shows running means only.
        """
        return self._driver.batch_logs()

    # What steers it

    @property
    def lr(self) -> float:
        """The learning rate of the first parameter group. Setting it scales the others in their first proportions.

        Raises:
            CapabilityError: the trainer has no learning rate to read or set.
            ValueError: it is set to what is no finite number of at least 0.
        """
        return self._trainable.get_lrs()[0]

    @lr.setter
    def lr(self, value: float) -> None:
        lr = _checked_lr(value)
        if self.lr_shares is None:
            first = self._trainable.get_lrs()
            self.lr_shares = [one / first[0] if first[0] else 1.0 for one in first]
        self._trainable.set_lrs([lr * share for share in self.lr_shares])

    @property
    def lrs(self) -> list[float]:
        """The learning rate of each parameter group."""
        return self._trainable.get_lrs()

    @lrs.setter
    def lrs(self, values: Sequence[float]) -> None:
        self._trainable.set_lrs([_checked_lr(value) for value in values])

    def get_weights(self) -> dict[str, np.ndarray[Any, Any]]:
        """Owned copies of the weights, by name."""
        return self._trainable.get_weights()

    def set_weights(self, weights: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Write weights by name; all are checked before any is written.

        Raises:
            WeightsError: a name or a shape does not fit.
        """
        self._trainable.set_weights(weights)

    def snapshot(self) -> Any:
        """The framework's own copy of the weights, on its own device."""
        return self._trainable.snapshot()

    def restore(self, snapshot: Any) -> None:
        """Write a snapshot back."""
        self._trainable.restore(snapshot)

    def stop(self, reason: str, *, kind: StopKind = "decision", source: Callback | str | None = None) -> None:
        """Ask that training stop; every callback still sees the event in progress.

        Args:
            reason: why, for people.
            kind: ``"decision"`` ends the batches, lets the epoch's validation run, and ends the epoch and training;
                ``"fault"`` does the same, and backups survive it; ``"pause"`` ends at the next batch boundary of any
                phase without ending epoch or training, to go on later as if nothing had been.
            source: who asks: a callback, which is then called by the key of its state, or a name.
        """
        name = self._driver.name_of(source)
        self._progress.ask_stop(Stop(kind, str(reason), name))

    def withdraw_stop(self, source: Callback | str | None) -> None:
        """Take back a decision that is still held because of ``min_epochs``; one in force stays."""
        name = self._driver.name_of(source)
        self._progress.held.pop(name, None)

    def end_epoch(self) -> None:
        """End this epoch's training batches; its validation and its end follow.

        Raises:
            LoopError: no epoch is running.
            CapabilityError: the trainer cannot.
        """
        self._driver.end_epoch()

    def save(self) -> None:
        """Ask for a checkpoint, taken after the event's last listener; one asked in validation waits for its end.

        Raises:
            CapabilityError: no attached callback writes checkpoints.
        """
        self._driver.signals.ask_save()

    @property
    def should_stop(self) -> bool:
        """Whether a stop is in force."""
        return self._progress.should_stop

    @property
    def cut_short(self) -> bool:
        """Whether this epoch, or training, ends before its time: a stop is in force, or the loop was left."""
        return self._progress.should_stop or self._progress.left

    @property
    def stop_reason(self) -> str | None:
        """Why it stops or stopped; None when nothing asked for it."""
        asked = self._progress.pause or self._progress.stop
        return asked.reason if asked else self._driver.break_reason

    @property
    def stop_kind(self) -> StopKind | None:
        """``"decision"``, ``"fault"`` or ``"pause"``."""
        asked = self._progress.pause or self._progress.stop
        return asked.kind if asked else None

    @property
    def stop_source(self) -> str | None:
        """Who asked for the stop."""
        asked = self._progress.pause or self._progress.stop
        return asked.source if asked else None

    @property
    def outcome(self) -> Outcome | None:
        """How it ended: ``"completed"`` once ``max_epochs`` is reached; None while it runs."""
        return self._driver.outcome

    # Who listens

    @property
    def bus(self) -> EventBus:
        """The event bus; ``run.bus.order("epoch_end")`` shows who is called."""
        return self._driver.bus

    def on(
        self, event: str, *filters: Filter, phase: ListenerPhase = "observe", on_error: ErrorPolicy = "raise"
    ) -> Callable[[Callable[..., Any]], Handle]:
        """Register a plain function: ``@run.on("train_batch_end", every(steps=100))``. See ``EventBus.on``."""
        return self._driver.bus.on(event, *filters, phase=phase, on_error=on_error)

    def add(self, *callbacks: Callback) -> Handle:
        """Attach callbacks, all or none. What a running training has already fired, they do not see."""
        return self._driver.add(*callbacks)

    def emit(self, event: str, /, **arguments: Any) -> None:
        """Fire ``checkpoint``, or an event that was declared with ``run.bus.declare``.

        Raises:
            LoopError: it is an event that only the trainer fires.
        """
        self._driver.signals.emit(event, arguments)

    # What it must keep

    def state_dict(self) -> dict[str, Any]:
        """Progress, history and each callback's state; the Trainable's too, where it offers one.

        Take it between two epochs, or in ``on_epoch_end`` of a callback with ``phase = "save"``: only there have those
        that decide seen the epoch. JSON-able, save for arrays of weights.
        """
        return self._driver.state_dict()

    @property
    def is_between_epochs(self) -> bool:
        """Whether a state that is taken now can be gone on from."""
        return self._driver.is_between_epochs

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what ``state_dict`` gave, before training begins."""
        self._driver.load_state_dict(state)

    def can(self, capability: str) -> bool:
        """Whether the trainer has ``capability``, as ``"lr"``; what cannot be done without goes into ``requires``."""
        return self._trainable.missing(capability) is None

    def need(self, capability: str, who: str) -> None:
        """Raise the error that says what to change where the trainer lacks ``capability``.

        Raises:
            CapabilityError: it does.
        """
        reason = self._trainable.missing(capability)
        if reason is not None:
            raise errors.lacking(who, capability, reason)


MEMBERS: Final = (
    "history",
    "lr_shares",
    "world",
    *(name for name, member in vars(Run).items() if not name.startswith("_") and not isinstance(member, _LoopVerb)),
)
"""What a run has to show, by name."""


def _checked_lr(value: float) -> float:
    if isinstance(value, (str, bytes, bool)):  # float() would take them
        raise ValueError(f"run.lr = {value!r}: a learning rate is a finite number, at least 0")
    lr = float(value)
    if not (math.isfinite(lr) and lr >= 0):
        raise ValueError(f"run.lr = {value!r}: a learning rate is a finite number, at least 0")
    return lr
