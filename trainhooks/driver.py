"""Driver: one run, from setup to teardown. The loop and every adapter drive it.

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

and where something is raised, ``fail(exception)`` and ``teardown()`` from wherever it was; ``with driver.carried()``
sees to ``setup``, ``fail`` and ``teardown``. After each event it looks
at what was asked for in it: ``stop`` is told once, a save is carried out. A pause is taken at the next boundary: the
driver is mute from then on, and a trainer that goes on regardless drives nothing but its stack.
"""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal

from . import attach, checkpoint, errors, offers
from .bus import EventBus, Handle
from .callback import Callback, several
from .dispatch import Listener
from .endings import outcome_of, say
from .frames import PARENTS, Frame
from .place import BETWEEN_EPOCHS
from .progress import Progress
from .run import Outcome, Run
from .scopes import Scopes
from .trainable import Trainable
from .world import World


class Driver(Scopes):
    """Fires one run's events in their order.

    Args:
        trainable: what is trained; without one the run has no capabilities.
        callbacks: attached in this order.
        min_epochs: decisions to stop are held until so many epochs are finished.
        plugins: which plugins may take part, as for ``wrap``.
        world: who else trains along.

    Raises:
        RegistrationError: a callback cannot be registered.
        CapabilityError: a callback needs what ``trainable`` lacks.
    """

    def __init__(
        self,
        trainable: Trainable | None = None,
        callbacks: Iterable[Callback] | None = (),
        *,
        min_epochs: int = 0,
        plugins: str | None = None,
        world: World | None = None,
    ) -> None:
        if trainable is not None and not isinstance(trainable, Trainable):
            raise errors.no_trainable(trainable)
        self.trainable = Trainable() if trainable is None else trainable
        progress = Progress(min_epochs)
        run = Run(self, progress, self.trainable, world or World())
        progress.together = run.world.size > 1
        super().__init__(run, progress, EventBus(run, progress))
        self.bus.admit = functools.partial(attach.admit, self.run)
        self.bus.vet = functools.partial(attach.vet, self.run)
        self.bus.joined = self._joined
        self.bus.failed = attach.tell_host
        self.life: Literal["new", "open", "over"] = "new"
        self._ended_as: Outcome | None = None
        self._raised_at_last: list[tuple[Listener, BaseException]] = []
        """What hooks of the teardown have raised so far."""
        self.error: BaseException | None = None
        self.break_reason: str | None = None
        self.goes_on_stopped = False
        """Whether a run that was stopped goes on, however its state is loaded."""
        self._unwatch: Callable[[], None] | None = None
        self._epoch_start: dict[str, Any] | None = None
        self._plugins, self._has_guests = plugins, False
        attach.declare(self.bus, offers.given.events(plugins))
        self.add(*several(callbacks))

    def add(self, *callbacks: Callback) -> Handle:
        """Attach callbacks, all or none."""
        for callback in callbacks:  # all of them: what one rank refuses, every rank refuses
            self.bus.vet(callback)
        return self.bus.add(*(one for one in callbacks if one.ranks == "all" or self.run.world.is_main))

    def _let_guests_in(self) -> None:
        """Attach what plugins offer, after the user's own; once, and before any state is taken back."""
        if not self._has_guests:
            self._has_guests = True
            attach.let_in(offers.given.callbacks(self.run, self._plugins), self.add)

    def _joined(self, callback: Callback) -> None:
        if self.life == "open":
            callback.run = self.run

    def name_of(self, source: Callback | str | None) -> str | None:
        """What a callback that asks for something is called."""
        return attach.name_of(self.bus, source)

    # The run

    def setup(self, *, ask: bool = True) -> None:
        """Begin: take the callbacks, watch the optimizer, fire ``setup``.

        Args:
            ask: whether a callback may have the run go on from a state that it kept.
        """
        if self.life != "new":
            raise errors.LoopError("a run begins once: make a new one")
        self._let_guests_in()
        if ask and not self.progress.resumed:
            self._ask_for_state()
        for callback in self.bus.attached:
            if callback.run is not None:
                raise errors.already_attached(type(callback).__name__)
        self.life = "open"
        for callback in self.bus.attached:
            callback.run = self.run
        if self.trainable.missing("optimizer_step") is None:
            self._unwatch = self.trainable.watch_optimizer(self.optimizer_stepped)
        self.push(Frame("run", None, "", ()))
        self.timings.begin()
        self.signals.fire("setup")

    @contextlib.contextmanager
    def carried(self, *, ask: bool = True) -> Iterator[Driver]:
        """The run, from its setup to its teardown, around a trainer that has its own loop::

            with driver.carried():
                trainer.fit(...)

        What is still open at a good end is closed; an exception is told, and raised on.

        Args:
            ask: as for ``setup``.
        """
        try:
            self.setup(ask=ask)
            yield self
            self.close_down(1)
        except BaseException as error:  # raised on
            self.fail(error)
            raise
        finally:
            self.teardown()

    def attend(self) -> None:
        """See to what was asked for since the last event, as a stop of the trainer's own; each event does it too."""
        self.signals.attend()

    def fail(self, error: BaseException) -> None:
        """Training raised: fire ``exception``; what is open stays open. ``teardown`` follows."""
        if self.life != "open":
            return
        self.error = error
        self.forget_all()
        for listener, raised in self.bus.guarded("exception", error):
            say(listener, raised)

    def teardown(self) -> None:
        """End: fire ``teardown`` for everyone, let the callbacks go. A second time does nothing.

        Raises:
            Exception: the first that a hook raised, where training itself raised none.
        """
        if self.life != "open":
            return
        self._ended_as = self._outcome()
        self.life = "over"
        self.forget_all()
        self.progress.phase = None
        raised = self._raised_at_last
        try:
            self.bus.guarded("teardown", raised=raised)
        finally:
            self.timings.end()
            for callback in self.bus.attached:
                callback.run = None
            self.bus.escaped = None  # its traceback would keep alive whatever it went through
            if self._unwatch is not None:
                self._unwatch()
            if self.paused_at is None:
                self._epoch_start = None  # as large as the model and its optimizer
        if raised and self.error is None:
            self.error = raised.pop(0)[1]
            self._ended_as = self._outcome()
            for listener, error in raised:
                say(listener, error)
            raise self.error
        for listener, error in raised:
            say(listener, error)

    @property
    def outcome(self) -> Outcome | None:
        """How it ended; None while it runs. Already in the teardown a hook that raised there has made it fail."""
        if self._raised_at_last and self.error is None:
            return outcome_of(self._raised_at_last[0][1], paused=False, complete=False, stopped=False)
        return self._ended_as

    def _outcome(self) -> Outcome:
        ended = self.is_complete or self.progress.stop is not None or self.signals.muted
        if self.error is None and self.has_trained and not ended:
            self.break_reason = "the loop was left before its last epoch"
        stopped = self.progress.stop is not None or self.break_reason is not None
        return outcome_of(self.error, paused=self.signals.muted, complete=self.is_complete, stopped=stopped)

    # State

    def _ask_for_state(self) -> None:
        """Go on from the first state that a callback of the main rank kept; every rank does."""
        state = None
        for callback in self.bus.attached:
            state = callback.resume_from(self.run)
            if state is not None:
                break
        state = self.run.world.broadcast(state)
        if state is not None:
            self.load_state_dict(state)

    def keep_epoch_start(self) -> None:
        """Keep the state as an epoch begins, where the trainer cannot go on inside one and somebody may save there."""
        self._epoch_start = None
        if self.signals.muted or self.run.can("mid_epoch") or not self.run.can("state") or not self.signals.savers():
            return
        with contextlib.suppress(errors.NoWeightsError):  # there are none yet: to begin anew is to go on from here
            self._epoch_start = checkpoint.owned(self.state_dict())

    @property
    def is_resumable(self) -> bool:
        """Whether a state that is taken now can be gone on from."""
        at = self.place.at(self.stack, unfinished=self.is_unfinished)
        return self.paused_at is not None or self.place.is_good(at) or self._start_at(at) is not None

    def _start_at(self, at: str) -> dict[str, Any] | None:
        """The state as the running epoch began, for one that is taken where the trainer cannot go on."""
        return None if self.place.is_good(at) or at not in PARENTS else self._epoch_start

    def state_dict(self, *, on_device: bool = False) -> dict[str, Any]:
        """As ``Run.state_dict``."""
        where = self.where()
        at = where["at"]
        start = self._start_at(at) if where["inside"] is None else None
        if start is None and where["inside"] is None and at not in BETWEEN_EPOCHS:
            reason = self.trainable.missing("mid_epoch") if at in PARENTS else None
            said = checkpoint.not_resumable(at, self.progress.epoch, "run.state_dict()", reason)
            warnings.warn(said, stacklevel=3)
        return checkpoint.collect(self.run, self.progress, self.trainable, self.bus, where, start, on_device)

    def load_state_dict(self, state: Mapping[str, Any], *, resume_stopped: bool = False) -> None:
        """As ``Run.load_state_dict``; with ``resume_stopped`` a run that was stopped goes on."""
        if self.life != "new":
            raise errors.LoopError("load_state_dict(): training has begun. Load before it, as with resume=state.")
        self._let_guests_in()
        if resume_stopped or self.goes_on_stopped:
            state = checkpoint.without_stop(state)
        checkpoint.restore(state, self.run, self.progress, self.trainable, self.bus, self.place)
        stop = self.progress.stop
        if stop is not None:
            who = f" (by {stop.source})" if stop.source else ""
            warnings.warn(
                f"this run was stopped before: {stop.reason}{who}. It stays stopped; resume_stopped=True has it go on.",
                stacklevel=4,
            )
