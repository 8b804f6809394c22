"""Run: what a callback sees of a training. A facade: each member is a line that asks the part which knows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from . import errors
from .progress import Stop, StopKind
from .view import EpochRecord, Outcome, View

__all__ = ["MEMBERS", "EpochRecord", "Outcome", "Run"]

if TYPE_CHECKING:
    import numpy as np

    from .bus import EventBus, Handle
    from .callback import Callback
    from .dispatch import ErrorPolicy
    from .dispatch import Phase as ListenerPhase
    from .filters import Filter

_OWN: Final = ("_driver", "_progress", "_trainable", "history", "lr_shares", "world")


class _LoopVerb:
    """A verb of the loop, which a run as its callbacks see it has not, and says so."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, instance: object, owner: type) -> Any:
        raise errors.loop_verb(self.name)


class Run(View):
    """One training, as its callbacks see it and steer it; what is read of it is in ``View``."""

    if not TYPE_CHECKING:
        # no __getattr__, which would slow every run.x
        log, epochs, train, test, predict = map(_LoopVerb, ("log", "epochs", "train", "test", "predict"))

        def __setattr__(self, name: str, value: Any) -> None:
            known = getattr(type(self), name, None)
            if name in _OWN or (isinstance(known, property) and known.fset is not None):
                object.__setattr__(self, name, value)
            else:  # a misspelt setting must not pass in silence
                raise errors.not_settable(name)

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

        Where several processes train, it waits for the end of the epoch, where all of them stop.

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

    def announce(self, *metrics: str) -> None:
        """Tell of metrics that come at some epochs only, so that who monitors them does not miss them in between."""
        self._progress.announced.update(metrics)

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

    def state_dict(self, *, on_device: bool = False) -> dict[str, Any]:
        """All that another run goes on from as if this one had never stopped; nested, JSON-able values and arrays.

        Progress and the stop, history, each callback's state, the random generators of the process, the place inside
        an epoch with its running means, and the Trainable's state, where it offers one. Take it at a batch's or an
        epoch's end, in a callback with ``phase = "save"``: only there have those that decide seen the event.

        Args:
            on_device: whether the arrays of the Trainable may stay on their device, as copies that are read later.
        """
        return self._driver.state_dict(on_device=on_device)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what ``state_dict`` gave, before training begins."""
        self._driver.load_state_dict(state)


MEMBERS: Final = (
    "history",
    "lr_shares",
    "world",
    *(
        name
        for cls in (View, Run)
        for name, member in vars(cls).items()
        if not name.startswith("_") and not isinstance(member, _LoopVerb)
    ),
)
"""What a run has to show, by name."""


def _checked_lr(value: float) -> float:
    if isinstance(value, (str, bytes, bool)):  # float() would take them
        raise ValueError(f"run.lr = {value!r}: a learning rate is a finite number, at least 0")
    lr = float(value)
    if not (math.isfinite(lr) and lr >= 0):
        raise ValueError(f"run.lr = {value!r}: a learning rate is a finite number, at least 0")
    return lr
