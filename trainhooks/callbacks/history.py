"""History: the metrics of each epoch, as lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..callback import Callback

if TYPE_CHECKING:
    from ..run import EpochRecord, Run


class History(Callback):
    """Show ``run.history``, the one record of epoch ends, in the form that Keras gives it.

    Attributes:
        epoch: the numbers of the epochs that ended, from 0.
        history: for each metric its values, one for each epoch that had it.

    Both are live while training runs, at ``epoch_end`` too, and stay after it. A resumed run goes on from the epochs
    that its state held; a new one starts anew; an evaluation alone changes nothing.

    Unlike Keras's, where one object serves two fits, ``history`` starts anew as ``epoch`` does, so that they belong
    together; and ``model.history`` is not set, since no other framework's model has it.
    """

    phase = "report"

    def __init__(self) -> None:
        self._records: Sequence[EpochRecord] = ()

    @property
    def epoch(self) -> list[int]:
        return [record.epoch for record in self._records]

    @property
    def history(self) -> dict[str, list[Any]]:
        columns: dict[str, list[Any]] = {}
        for record in self._records:
            for name in record.logs:
                columns.setdefault(name, []).append(record.logs[name])
        return columns

    def on_train_begin(self, run: Run) -> None:
        self._records = run.history  # the run's own list, not a copy: that is what keeps it live

    def on_epoch_end(self, run: Run) -> None:
        self._records = run.history  # for one that was added to a training already under way
