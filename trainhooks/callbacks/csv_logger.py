"""CSVLogger: one row an epoch in a CSV file."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..callback import Callback
from ..checks import path_of
from ..store import write_atomically
from ._appending import add_line

if TYPE_CHECKING:
    from ..run import Run

_ABSENT = "NA"


class CSVLogger(Callback):
    """Write the metrics of each epoch to a CSV file: the column ``epoch`` (from 0), then one for each metric.

    Args:
        filename: of the file; folders that lack are made.
        separator: one character that stands between two cells.
        append: go on in a file that is there, its columns matched by name. False: a new run begins the file anew.

    The columns are the metrics of the first epoch, sorted, and ``NA`` stands where a metric is missing. Numbers are
    written so that ``float`` of the text is the same number; arrays as Keras writes them, as ``"[1, 2]"``. A resumed
    run goes on in the file whatever ``append`` says, and the rows of epochs that it trains again are replaced.

    What differs from Keras's, where that was a fault:

    - A metric that appears late gets a column, and the rows before it ``NA``; Keras drops it, and so guesses a ``val_``
      column for each metric when it sees none. Widening rewrites the file, atomically.
    - ``append=True`` matches columns by name; Keras writes under the header that is there whatever the columns are. A
      file without a header gets one: ``epoch, column_1, ...``.
    - The file is open only while a row is written, so no exception leaves it open, and it appears with the first row: a
      run that ends before its first epoch does leaves the file of the run before it alone, and so does an evaluation.

    A metric that is itself called ``epoch`` is not written: that column is the run's own count.

    Raises:
        TypeError: ``filename`` is neither text nor a path.
        ValueError: it is empty, or ``separator`` is not one character, or is a quote or a line's end.
        OSError: (at a row) the file cannot be written; as it only reports, this is a warning and training goes on.
    """

    phase = "report"
    on_error = "warn"
    ranks = "main"

    def __init__(self, filename: str | os.PathLike[str], separator: str = ",", append: bool = False) -> None:
        if not isinstance(separator, str) or len(separator) != 1 or separator in '"\r\n':
            raise ValueError(f"CSVLogger(separator={separator!r}): one character, no quote and no line's end")
        self.filename = path_of(filename, "CSVLogger", "filename")
        self.separator, self.append = separator, append
        self._columns: list[str] | None = None
        """The header, once this run has made sure that it is the file's."""
        self._earlier: int | None = None
        """How many rows of earlier runs the file began with: those are never replaced."""

    def reset(self) -> None:
        self._columns = self._earlier = None

    def state_dict(self) -> dict[str, Any]:
        return {"earlier_rows": self._earlier}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._columns, self._earlier = None, state["earlier_rows"]

    def on_train_begin(self) -> None:
        if self.append and self._earlier is None:  # now, so that a state saved before the first row has it
            self._earlier = len(self._read()[2])

    def on_epoch_end(self, run: Run, epoch: int, logs: Mapping[str, Any]) -> None:
        row = {name: _cell(logs[name]) for name in logs} | {"epoch": str(epoch)}
        if self._columns is None:
            self._columns = self._begin(run, epoch, row)
        elif not row.keys() <= set(self._columns):
            self._columns = self._fit(row, *self._read())
        self._add([row.get(column, _ABSENT) for column in self._columns])

    def on_teardown(self) -> None:
        self._columns = None  # the next run may be given this object in its midst, when nothing is reset

    def _begin(self, run: Run, epoch: int, names: Iterable[str]) -> list[str]:
        """The columns at the first row of this run."""
        text, columns, rows = self._read() if self.append or run.resumed else ("", [], [])
        if self._earlier is None:
            self._earlier = len(rows) if self.append else 0
        if run.resumed:  # what was written after the state was saved is trained again
            at = columns.index("epoch") if columns else 0
            rows[self._earlier :] = [row for row in rows[self._earlier :] if not _is_from(row[at], epoch)]
        return self._fit(names, text, columns, rows)

    def _read(self) -> tuple[str, list[str], list[list[str]]]:
        """The file's text, its columns, and its rows, all as wide as the columns.

        Raises:
            ValueError: it is no table with an ``epoch``.
        """
        try:
            with open(self.filename, encoding="utf-8-sig", newline="") as file:
                text = file.read()
        except FileNotFoundError:
            text = ""
        import csv  # here, so that `import trainhooks` stays cheap

        rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=self.separator) if row]
        if not rows:
            return "", [], []
        columns = rows.pop(0)
        if "epoch" not in columns:
            if not _is_from(columns[0], 0):
                raise ValueError(
                    f"CSVLogger({self.filename!r}): its first line {self.separator.join(columns)!r} is neither a "
                    "header with 'epoch' nor a row that begins with one. Give another file, or this one's separator."
                )
            rows.insert(0, columns)
            columns = ["epoch"]
        width = max(map(len, [columns, *rows]))
        columns += [f"column_{number}" for number in range(len(columns), width)]
        return text, columns, [row + [_ABSENT] * (width - len(row)) for row in rows]

    def _fit(self, names: Iterable[str], text: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
        """Make the file one that has a column for each of ``names``; returns its columns."""
        columns = columns or ["epoch"]
        late = sorted(set(names) - set(columns))
        columns = [*columns, *late]
        if not text:
            Path(self.filename).parent.mkdir(parents=True, exist_ok=True)
            Path(self.filename).write_bytes(b"")  # the header comes with the first row
            return columns
        fitting = self._lines([columns, *([*row, *[_ABSENT] * len(late)] for row in rows)])
        if fitting != text:
            write_atomically(self.filename, lambda temporary: temporary.write_bytes(fitting.encode()))
        return columns

    def _add(self, row: Sequence[str]) -> None:
        add_line("CSVLogger", self.filename, self._lines([row]).encode(), self._lines([self._columns or []]).encode())

    def _lines(self, rows: Iterable[Sequence[str]]) -> str:
        import csv

        buffer = io.StringIO(newline="")
        csv.writer(buffer, delimiter=self.separator).writerows(rows)
        return buffer.getvalue()


def _cell(value: Any) -> str:
    """The text of one value; a number's reads back as the same number."""
    if value is None:
        return _ABSENT
    if isinstance(value, str):
        return value
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        value = value.item()  # str() of a float32 is shorter than the number it stands for
    if isinstance(value, Iterable):
        return f'"[{", ".join(map(str, value))}]"'
    return float.__repr__(value) if isinstance(value, float) else str(value)


def _is_from(cell: str, epoch: int) -> bool:
    """Whether a cell holds the number of this epoch or a later one."""
    try:
        return int(cell) >= epoch
    except ValueError:
        return False
