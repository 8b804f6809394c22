"""JSONLogger: one JSON record a line, an epoch or every so many steps."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from ..callback import Callback
from ..checks import path_of, whole
from ..dispatch import Listener
from ..events import EVENTS, Event
from ..filters import every
from ..store import write_atomically
from ._appending import add_line

if TYPE_CHECKING:
    from ..run import Run

_STEP_KEYS: Final = ["epoch", "batch", "step"]
"""How a record of a step begins; one of an epoch begins with ``epoch, step``."""


class JSONLogger(Callback):
    """Write the metrics of each epoch, or of every so many steps, to a file of JSON lines.

    A record of an epoch has its number (from 0), the training steps done so far over the whole run, and all of the
    epoch's metrics; one of a step also has the number of the batch in its epoch, and its metrics are the running means
    of the epoch so far::

        {"epoch": 0, "step": 782, "loss": 0.71, "accuracy": 0.76, "val_loss": 0.65, "val_accuracy": 0.78}
        {"epoch": 0, "batch": 99, "step": 100, "loss": 1.32, "accuracy": 0.55}

    ``pandas.read_json(filename, lines=True)`` reads it.

    Args:
        filename: of the file; folders that lack are made.
        save_freq: ``"epoch"``, or a number of training steps, counted over the whole run.
        append: go on in a file that is there. False: a new run begins the file anew.

    Each line is valid JSON: NaN and the infinities are the strings ``"NaN"``, ``"Infinity"`` and ``"-Infinity"``, which
    ``float`` reads; numpy's and the frameworks' numbers and arrays are numbers and lists; what JSON cannot hold is its
    ``str``. A metric may be new or missing at any record. One that is itself called ``epoch`` or ``step`` (``batch``
    too, in a record of a step) is not written: those are the run's own counts.

    As with CSVLogger, a resumed run goes on in the file whatever ``append`` says, and the records of what it trains
    again are replaced. The file is open only while a record is written, with one write, and it appears with the first
    record; half a line, which a crash may leave at its end, is cut off by the run that goes on there.

    Raises:
        TypeError: ``filename`` is neither text nor a path.
        ValueError: it is empty, or ``save_freq`` has no meaning; (at the first record) the file to go on in holds no
            JSON lines.
        OSError: (at a record) the file cannot be written; as it only reports, this is a warning and training goes on.
    """

    phase = "report"
    on_error = "warn"
    ranks = "main"

    def __init__(
        self,
        filename: str | os.PathLike[str],
        *,
        save_freq: Literal["epoch"] | int = "epoch",
        append: bool = False,
    ) -> None:
        steps = whole(save_freq)
        if save_freq != "epoch" and (steps is None or steps < 1):
            raise ValueError(f"JSONLogger(save_freq={save_freq!r}): 'epoch', or a number of steps, at least 1")
        self.filename, self.append = path_of(filename, "JSONLogger", "filename"), append
        self.save_freq: Literal["epoch"] | int = "epoch" if steps is None else steps
        self._earlier: int | None = None
        """How many lines of earlier runs the file began with: those are never replaced."""
        self._is_ours = False
        """Whether this run has made sure that the file is one to go on in."""
        self._from: tuple[int, int] | None = None
        """The epoch and the step that this run trains on from."""

    def listeners(self, events: Mapping[str, Event] = EVENTS) -> Iterator[Listener]:
        dropped = "train_batch_end" if self.save_freq == "epoch" else "epoch_end"
        for one in super().listeners(events):
            if one.event.name == "train_batch_end" and isinstance(self.save_freq, int):
                yield one.when_due(every(steps=self.save_freq))
            elif one.event.name != dropped:
                yield one

    def reset(self) -> None:
        self._earlier = None

    def state_dict(self) -> dict[str, Any]:
        return {"earlier_lines": self._earlier}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._earlier = state["earlier_lines"]

    def on_train_begin(self) -> None:
        self._is_ours, self._from = False, None
        if self.append and self._earlier is None:  # now, so that a state saved before the first record has it
            self._earlier = len(self._read()[1])

    def on_epoch_begin(self, run: Run, epoch: int) -> None:
        if self._from is None:
            self._from = epoch, run.step

    def on_epoch_end(self, run: Run, epoch: int, logs: Mapping[str, Any]) -> None:
        self._write(run, {"epoch": epoch, "step": run.step}, logs)

    def on_train_batch_end(self, run: Run, batch: int, logs: Mapping[str, Any]) -> None:
        self._write(run, {"epoch": run.epoch, "batch": batch, "step": run.step}, logs)

    def on_teardown(self) -> None:
        self._is_ours, self._from = False, None  # the next run may be given this object in its midst

    def _write(self, run: Run, record: dict[str, Any], logs: Mapping[str, Any]) -> None:
        from ._json import dumps  # here, so that `import trainhooks` stays cheap

        if not self._is_ours:
            self._begin(run)
            self._is_ours = True
        line = dumps(record | {name: logs[name] for name in logs if name not in record})
        add_line("JSONLogger", self.filename, line.encode() + b"\n")

    def _begin(self, run: Run) -> None:
        """At the first record of this run: make the file one to go on in."""
        text, lines = self._read() if self.append or run.resumed else (b"", [])
        if self._earlier is None:
            self._earlier = len(lines) if self.append else 0
        if run.resumed:  # what was written after the state was saved is trained again
            lines[self._earlier :] = [line for line in lines[self._earlier :] if not self._is_trained_again(line, run)]
        fitting = b"".join(line + b"\n" for line in lines)
        if not fitting:
            Path(self.filename).parent.mkdir(parents=True, exist_ok=True)
            Path(self.filename).write_bytes(b"")
        elif fitting != text:
            write_atomically(self.filename, lambda temporary: temporary.write_bytes(fitting))

    def _read(self) -> tuple[bytes, list[bytes]]:
        """What the file holds, and its lines without their ends; not the half one that a crash left.

        Raises:
            ValueError: its first line is no JSON object.
        """
        from ._json import is_object

        try:
            text = Path(self.filename).read_bytes()
        except FileNotFoundError:
            return b"", []
        *lines, last = text.split(b"\n")
        if last and (is_object(last) or not last.startswith(b"{")):  # all that it lacks is its end
            lines.append(last)
        first = next(filter(bytes.strip, lines), b"{}")
        if not is_object(first):
            shown = first.decode(errors="replace")
            raise ValueError(
                f"JSONLogger({self.filename!r}): its first line {shown[:60]!r} is no JSON object. Give another file."
            )
        return text, lines

    def _is_trained_again(self, line: bytes, run: Run) -> bool:
        from ._json import parsed

        record = parsed(line) or {}
        epoch, step = self._from or (run.epoch, run.step - 1)  # it was added inside an epoch
        try:
            if list(record)[:3] == _STEP_KEYS:
                return bool(record["step"] > step)
            return bool(record["epoch"] >= epoch)
        except (KeyError, TypeError):  # a line of somebody else's
            return False
