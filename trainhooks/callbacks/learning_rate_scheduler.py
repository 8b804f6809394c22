"""LearningRateScheduler: set the learning rate by a function of the epoch, or of the step."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal

from ..callback import Callback
from ..dispatch import Listener
from ..errors import did_you_mean
from ..events import EVENTS, Event
from ..schedules._by_name import made
from ..schedules._calling import checked_lr, takes_lr

if TYPE_CHECKING:
    from ..logs import Logs
    from ..run import Run

Unit = Literal["epoch", "step"]

_UNITS: Final = ("epoch", "step")


class LearningRateScheduler(Callback):
    """Set the learning rate to ``schedule(epoch, lr)`` or ``schedule(epoch)`` at the beginning of each epoch or step.

    As Keras's, save that how many arguments ``schedule`` takes is read from its signature (Keras tries two and takes
    any TypeError for "one", so that one inside ``schedule`` is reported as something else), and that an epoch which a
    resumed run begins for a second time is not decided twice.

    With ``unit="step"`` it is called at the beginning of each training batch, with the number of batches that were
    trained in the whole run, so that a resumed run goes on where it was. ``trainhooks.schedules`` has schedules for
    both, and ``trainhooks.schedules.preview`` shows one without training::

        LearningRateScheduler(schedules.warmup(500, schedules.cosine(3e-4, decay_steps=9_500)), unit="step")

    A step is a batch, and not an update of the optimizer: where gradients are accumulated over several batches, the
    update has the rate of the batch at whose end it is made. Under Keras with ``steps_per_execution`` above 1, Keras
    begins so many batches at once: all of them have the rate of the first.

    It writes ``learning_rate`` into the logs at the end of each epoch: the rate of its last batch. In PyTorch a
    scheduler on the same optimizer would set the rate too; a schedule belongs to one of the two.

    Args:
        schedule: a function of the number of the epoch or step, from 0, and, if it takes two arguments, of the current
            rate; it returns the new one. Or one of ``trainhooks.schedules`` as a config says it, by name:
            ``{"name": "cosine", "lr": 0.1, "decay_steps": 90}``.
        verbose: 1 prints what it sets; with ``unit="step"`` at the end of each epoch the rate that it came to.
        unit: ``"epoch"`` or ``"step"``: what ``schedule`` counts, and when it is called.

    Raises:
        TypeError: ``schedule`` takes neither one nor two arguments, or what its name stands for has others than given.
        ValueError: there is no such unit or schedule; or (at an epoch or step) ``schedule`` gave no finite number of at
            least 0.
    """

    phase = "decide"
    requires = {"lr"}

    def __init__(
        self,
        schedule: Callable[..., float] | str | Mapping[str, Any],
        verbose: int = 0,
        *,
        unit: Unit = "epoch",
    ) -> None:
        if unit not in _UNITS:
            near = did_you_mean(unit, _UNITS)
            raise ValueError(f"LearningRateScheduler(unit={unit!r}): a unit is 'epoch' or 'step'.{near}")
        if isinstance(schedule, (str, Mapping)):
            schedule = made(schedule, "LearningRateScheduler(schedule=...): ")
        self._takes_lr = takes_lr("LearningRateScheduler", schedule, unit)
        self.schedule: Callable[..., float] = schedule
        self.verbose, self.unit = verbose, unit
        self.reset()

    def listeners(self, events: Mapping[str, Event] = EVENTS) -> Iterator[Listener]:
        dropped = "train_batch_begin" if self.unit == "epoch" else "epoch_begin"
        return (one for one in super().listeners(events) if one.event.name != dropped)

    def reset(self) -> None:
        self._decided: int | None = None
        """The epoch or step that was decided last."""
        self._set: float | None = None
        self._set_before: float | None = None
        """The rates that were set for that step and for the one before."""

    def on_epoch_begin(self, run: Run, epoch: int) -> None:
        if epoch != self._decided:
            self._decide(run, epoch)
            if self.verbose:
                print(f"Epoch {epoch + 1}: LearningRateScheduler setting learning rate to {run.lr}.")

    def on_train_batch_begin(self, run: Run) -> None:
        step = run.step
        # a step can begin twice: in a resumed run, and where a trainer began a batch for which there was no data
        if step != self._decided:
            self._set_before = self._set
        elif self._takes_lr:
            return
        self._decide(run, step)

    def on_epoch_end(self, run: Run, epoch: int, logs: Logs) -> None:
        lr = run.lr
        if self.unit == "step":
            if self._decided == run.step and self._set_before is not None:
                lr = self._set_before  # that step was begun and not trained
            if self.verbose:
                print(f"Epoch {epoch + 1}: LearningRateScheduler came to learning rate {lr}.")
        logs["learning_rate"] = lr

    def state_dict(self) -> dict[str, Any]:
        kept = {"set": self._set, "set_before": self._set_before} if self.unit == "step" else {}
        return {"decided": self._decided, "unit": self.unit} | kept

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.reset()
        unit = state.get("unit", "epoch")
        if unit == self.unit:
            self._decided = state["decided"]
            self._set, self._set_before = state.get("set"), state.get("set_before")
        else:
            warnings.warn(
                f"LearningRateScheduler: saved with unit={unit!r}; the constructor's unit={self.unit!r} holds.",
                stacklevel=2,
            )

    def _decide(self, run: Run, number: int) -> None:
        lr = self.schedule(number, run.lr) if self._takes_lr else self.schedule(number)
        self._set = run.lr = checked_lr("LearningRateScheduler", lr, f"{self.unit} {number}")
        self._decided = number
