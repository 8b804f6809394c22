"""LearningRateMonitor: write the learning rate into the logs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from ..callback import Callback
from ..dispatch import Listener
from ..errors import did_you_mean
from ..events import EVENTS, Event

if TYPE_CHECKING:
    from ..logs import Logs
    from ..run import Run


class LearningRateMonitor(Callback):
    """Write the learning rate into the logs, so that every logger and tracker, and the history, has it.

    It is called ``learning_rate``, and is the first parameter group's; where there are several groups each has its own
    beside it, as ``learning_rate/0``, ``learning_rate/1``. At an epoch's end it is the rate that the epoch was trained
    with, as in Keras: this callback observes, and so comes before those that decide on the next epoch's rate
    (``ReduceLROnPlateau``). It is a value, not a mean: the running one in a batch's logs is that batch's.

    Args:
        unit: ``"epoch"``: at the end of each epoch. ``"step"``: at the end of each training batch too, for schedules
            that change the rate within an epoch; only then are batches listened to. Under Keras on JAX that has the
            host wait for each of them.

    In a loop of your own, ``scheduler.step()`` after the batches comes before the epoch's end. Where an epoch ends with
    its validation, the rate is therefore read as the validation begins; a scheduler that steps before it, or after the
    batches of an epoch without one, shows the next epoch's rate, unless ``unit`` is ``"step"``.

    Raises:
        ValueError: there is no such ``unit``.
    """

    requires = {"read_lr"}  # a schedule in a Keras optimizer cannot be set, and can be read
    on_error = "warn"  # it watches and never steers

    def __init__(self, unit: Literal["epoch", "step"] = "epoch") -> None:
        if unit not in ("epoch", "step"):
            near = did_you_mean(unit, ("epoch", "step"))
            raise ValueError(f"LearningRateMonitor(unit={unit!r}): 'epoch' or 'step'.{near}")
        self.unit = unit
        self.reset()

    def listeners(self, events: Mapping[str, Event] = EVENTS) -> Iterator[Listener]:
        for one in super().listeners(events):
            if self.unit == "step" or one.event.name != "train_batch_end":
                yield one

    def reset(self) -> None:
        self._seen: tuple[int, list[float]] | None = None
        """After which step the rates were last read, and the rates."""
        self._in_epoch = False

    def on_epoch_begin(self, run: Run) -> None:
        if not run.begins_again:
            self._seen = None  # an epoch without a batch ends at the step that the last one ended at
        self._in_epoch = True

    def on_train_batch_end(self, run: Run, logs: Logs) -> None:
        self._seen = run.step, run.lrs
        _write(self._seen[1], logs)

    def on_test_begin(self, run: Run) -> None:
        if self._seen is None or self._seen[0] != run.step:  # not again for an epoch's second validation
            self._seen = run.step, run.lrs

    def on_epoch_end(self, run: Run, logs: Logs) -> None:
        is_of_now = self._seen is not None and self._seen[0] == run.step
        _write(self._seen[1] if self._seen is not None and is_of_now else run.lrs, logs)
        self._in_epoch = False

    def state_dict(self) -> dict[str, Any]:
        return {"seen": list(self._seen) if self._seen is not None and self._in_epoch else None}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        seen = state["seen"]
        self._seen, self._in_epoch = None if seen is None else (seen[0], list(seen[1])), seen is not None


def _write(lrs: list[float], logs: Logs) -> None:
    logs["learning_rate"] = lrs[0]
    if len(lrs) > 1:
        logs.update({f"learning_rate/{group}": lr for group, lr in enumerate(lrs)})
