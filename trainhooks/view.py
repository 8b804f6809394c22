"""View: what can be read of a run. A facade: each member is a line that asks the part which knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from . import errors
from .logs import Logs
from .progress import Phase, Progress, StopKind
from .trainable import Trainable
from .world import World

if TYPE_CHECKING:
    from .driver import Driver
    from .timings import Timings

Outcome = Literal["completed", "stopped", "paused", "failed", "interrupted"]


class EpochRecord(NamedTuple):
    """One line of a run's history: the number of an epoch, from 0, and the logs that it ended with."""

    epoch: int
    logs: dict[str, Any]


class View:
    """One training, as it can be seen from its callbacks.

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

    # How it is ending

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

    # What it took

    @property
    def timings(self) -> Timings:
        """Where its time goes; ``print(trainhooks.profile(run))`` shows it, ``run.timings.every = 1`` times all."""
        return self._driver.timings

    # What it goes on from

    @property
    def resumed(self) -> bool:
        """Whether it goes on from a saved state."""
        return self._progress.resumed

    @property
    def is_resumable(self) -> bool:
        """Whether a state that is taken now can be gone on from: it can between two batches, and between epochs."""
        return self._driver.is_resumable

    @property
    def is_getting_back(self) -> bool:
        """Whether it has not got to the place yet, inside an epoch, that it was resumed from."""
        return self._driver.place.ahead is not None

    @property
    def begins_again(self) -> bool:
        """Whether the ``epoch_begin`` or ``test_begin`` that fires now fired before the run was resumed."""
        return self._driver.begins_again

    # What its trainer can do

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
