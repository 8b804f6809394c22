"""History: the metrics of each epoch, as lists, as a table, as a picture."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ..callback import Callback
from ..errors import FrameworkNotInstalledError
from ._monitor import Mode

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from pandas import DataFrame

    from ..run import EpochRecord, Run


class Ending(NamedTuple):
    """How a run ended, or what asked it to while it runs."""

    outcome: str | None = None
    kind: str | None = None
    reason: str | None = None
    source: str | None = None
    epoch: int | None = None
    """In which epoch the stop was asked for, where that was seen."""


class History(Callback):
    """Show ``run.history``, the one record of epoch ends, in the form that Keras gives it; and draw it.

    Attributes:
        epoch: the numbers of the epochs that ended, from 0.
        history: for each metric its values, one for each epoch that had it.

    Both are live while training runs, at ``epoch_end`` too, and stay after it. A resumed run goes on from the epochs
    that its state held; a new one starts anew; an evaluation alone changes nothing::

        history = trainhooks.callbacks.History()
        fit(model, data, validation_data, epochs=30, callbacks=[EarlyStopping(patience=3), history])
        history.plot(path="training.png")  # pip install 'trainhooks[plot]'
        history.to_pandas()["val_loss"].min()

    A notebook shows it as a table of the last epochs.

    Unlike Keras's, where one object serves two fits, ``history`` starts anew as ``epoch`` does, so that they belong
    together; and ``model.history`` is not set, since no other framework's model has it.
    """

    phase = "report"

    def __init__(self) -> None:
        self._records: Sequence[EpochRecord] = ()
        self.reset()

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

    def to_numpy(self) -> np.ndarray[Any, Any]:
        """A structured array with a row for each epoch that ended.

        Its fields are ``epoch``, whole numbers from 0, and the metrics: float64, NaN where an epoch has none. A metric
        that is not one real number at each epoch is a field of objects, None where there is none. A metric that is
        itself called ``epoch`` is left out.
        """
        from ._history_table import to_numpy

        return to_numpy(self._records)

    def to_pandas(self) -> DataFrame:
        """A DataFrame with a row for each epoch that ended, indexed by its number, and the columns of ``to_numpy``.

        Raises:
            FrameworkNotInstalledError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise FrameworkNotInstalledError("History.to_pandas(): pandas is not installed: pip install pandas") from (
                error
            )
        table = self.to_numpy()
        index = pandas.Index(table["epoch"], name="epoch")
        names = [name for name in table.dtype.names or () if name != "epoch"]
        columns = {name: pandas.Series(list(table[name]), index, dtype=table.dtype[name]) for name in names}
        return pandas.DataFrame(columns, index)

    def plot(
        self,
        metrics: str | Iterable[str] | None = None,
        path: str | os.PathLike[str] | None = None,
        *,
        monitor: str | None = None,
        mode: Mode = "auto",
        columns: int | None = None,
    ) -> Figure:
        """Draw the metrics over the epochs, which are counted from 1 here, as they are printed.

        Each metric has a panel, with the curves of training and of the validations in it, and ``learning_rate`` one of
        its own where it was logged (see ``LearningRateMonitor``). The best epoch is marked, and where training was
        stopped, and by whom. A value that is NaN or infinite is a gap and a cross at the edge; an epoch without a
        validation is passed over; a metric that is no number is left out.

        It is a figure of matplotlib's own, outside ``pyplot``: it changes no global state, opens no window, and needs
        not be closed.

        Args:
            metrics: the names of those to draw, in this order; one of ``"loss"`` and ``"val_loss"`` stands for both.
                All by default.
            path: a file to write the picture to; its suffix says in which format.
            monitor: the metric that says which epoch was the best; by default ``val_loss``, where there is one.
            mode: ``"min"``, ``"max"``, or ``"auto"`` to tell from its name.
            columns: panels in a row; by default at most three.

        Raises:
            FrameworkNotInstalledError: matplotlib is not installed.
            MissingMetricError: no epoch has such a metric.
            ValueError: the mode does not exist or cannot be told, or there is no such format.
        """
        try:
            from ._history_plot import draw
        except ImportError as error:
            raise FrameworkNotInstalledError(
                "History.plot(): matplotlib is not installed: pip install 'trainhooks[plot]'"
            ) from error
        names = [metrics] if isinstance(metrics, str) else None if metrics is None else list(metrics)
        figure = draw(
            self._records, self._prefixes, self._ending, metrics=names, monitor=monitor, mode=mode, columns=columns
        )
        if path is not None:
            from pathlib import Path

            from ..store import write_atomically

            write_atomically(path, figure.savefig, suffix=Path(path).suffix)
        return figure

    def reset(self) -> None:
        self._over = Ending()
        self._stopped_in: int | None = None
        self._pauses = False
        """Whether that was a pause: of one the run knows nothing when it goes on."""
        self._validations: frozenset[str] = frozenset({"val"})

    def state_dict(self) -> dict[str, Any]:
        return {"stopped_in": None if self._pauses else self._stopped_in}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.reset()
        self._stopped_in = state["stopped_in"]

    def on_train_begin(self, run: Run) -> None:
        self._records = run.history  # the run's own list, not a copy: that is what keeps it live

    def on_epoch_end(self, run: Run) -> None:
        self._records = run.history  # for one that was added to a training already under way

    def on_stop(self, run: Run) -> None:
        self._stopped_in, self._pauses = run.epoch, run.stop_kind == "pause"

    def on_teardown(self, run: Run) -> None:
        if self._records is run.history:  # an evaluation alone is no run that it shows
            self._over, self._validations = self._ending, self._prefixes

    @property
    def _ending(self) -> Ending:
        """Of the run that it shows; it is let go of when that is over, and what it said is kept."""
        run = self.run
        if run is None or self._records is not run.history:
            return self._over
        stopped_in = self._stopped_in if run.stop_kind else None  # a pause is over once the run goes on
        return Ending(run.outcome, run.stop_kind, run.stop_reason, run.stop_source, stopped_in)

    @property
    def _prefixes(self) -> frozenset[str]:
        """The names of the validations, which their metrics begin with."""
        return self._validations if self.run is None else self._validations | self.run.validations

    def _repr_html_(self) -> str | None:
        try:
            from ._history_table import to_html

            return to_html(self._records, self._ending)
        except Exception:  # whatever it is: a notebook that shows a value must not fail
            return None

    def _repr_png_(self) -> bytes | None:
        if not self._records:
            return None
        try:
            from io import BytesIO

            picture = BytesIO()
            self.plot().savefig(picture, format="png")
            return picture.getvalue()
        except Exception:  # as above; matplotlib may be absent
            return None
