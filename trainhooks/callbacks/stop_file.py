"""StopFile: stop when a file appears."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from ..callback import Callback
from ..checks import is_number, path_of
from ..dispatch import Listener
from ..errors import did_you_mean, listing
from ..events import EVENTS, Event
from ..filters import every

if TYPE_CHECKING:
    from ..run import Run

_LONGEST: Final = 200
_KINDS: Final = ("decision", "pause")


class StopFile(Callback):
    """Stop when a file appears: ``echo "seen enough" > STOP`` ends a training that runs elsewhere.

    The first line of the file, at most 200 characters of it, becomes the reason of the stop. It is looked for after
    training batches, at most every so many seconds, at each epoch's end, and for a pause after validation batches too.

    With ``remove`` the file is a message to this run: it is deleted when it is seen, so that the next run is not
    stopped by it, and one that is there before training begins was meant for another run: a warning says so, it is
    deleted, and training goes on. Without, it is a switch: training stops for as long as it is there, at its beginning
    too. A path serves one run at a time. A folder or a device in its place asks for nothing, of which a warning tells.

    Args:
        path: of the file; a relative one is looked for in the working directory.
        kind: ``"decision"``: validation and the epoch's end follow, and a resumed run stays stopped; ``"pause"``: it
            ends at this batch, and the same script run again goes on.
        seconds: between two looks at batches' ends; 0 looks at each.
        remove: delete the file when it is seen. Where that fails a warning says so.

    Raises:
        TypeError: ``path`` is no path.
        ValueError: ``path`` is empty, ``kind`` does not exist, or ``seconds`` is no finite number of at least 0.
    """

    phase = "decide"
    ranks = "main"

    def __init__(
        self,
        path: str | os.PathLike[str] = "STOP",
        *,
        kind: Literal["decision", "pause"] = "decision",
        seconds: float = 1.0,
        remove: bool = True,
    ) -> None:
        self.path = Path(path_of(path, "StopFile", "path"))
        if kind not in _KINDS:
            raise ValueError(f"StopFile(kind={kind!r}): one of {listing(_KINDS)}.{did_you_mean(kind, _KINDS)}")
        if not (is_number(seconds) and 0 <= seconds < math.inf):
            raise ValueError(f"StopFile(seconds={seconds!r}): a finite number of seconds, at least 0")
        self.kind, self.seconds, self.remove = kind, float(seconds), remove
        self._began = False

    def listeners(self, events: Mapping[str, Event] = EVENTS) -> Iterator[Listener]:
        due = [every(seconds=self.seconds)] if self.seconds else []
        for one in super().listeners(events):
            if one.event.name not in ("train_batch_end", "test_batch_end"):
                yield one
            elif one.event.name == "train_batch_end" or self.kind == "pause":
                yield one.when_due(*due)

    def on_train_begin(self, run: Run) -> None:
        if self._began:  # a run may train twice
            return
        self._began = True
        if self.path.exists() and not self.path.is_file():
            warnings.warn(f"{self._who}: what is there is no plain file, and asks for nothing.", stacklevel=2)
        elif self.remove and self.path.is_file():
            was_there = "it was there before training began, and was meant for another run"
            if self._removed(f"{was_there}. It could not be deleted and is obeyed"):
                warnings.warn(f"{self._who}: {was_there}. It is deleted, and training goes on.", stacklevel=2)
            else:
                self._ask(run, remove=False)
        else:
            self._look(run)

    def on_train_batch_end(self, run: Run) -> None:
        self._look(run)

    def on_test_batch_end(self, run: Run) -> None:
        if self._began:  # an evaluation alone is left alone
            self._look(run)

    def on_epoch_end(self, run: Run) -> None:
        self._look(run)

    def on_teardown(self) -> None:
        self._began = False

    @property
    def _who(self) -> str:
        return f"StopFile({str(self.path)!r})"

    def _look(self, run: Run) -> None:
        if self.path.is_file():
            self._ask(run, remove=self.remove)

    def _ask(self, run: Run, *, remove: bool) -> None:
        reason = _first_line(self.path) or f"the file {str(self.path)!r} is there"
        if remove:
            self._removed("it is obeyed, and could not be deleted")
        run.stop(reason, kind=self.kind, source=self)

    def _removed(self, otherwise: str) -> bool:
        """Whether the file is gone now; a warning says ``otherwise``."""
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            warnings.warn(f"{self._who}: {otherwise} ({error}).", stacklevel=4)
            return False
        return True


def _first_line(path: Path) -> str:
    """What people can read of it; nothing where the file cannot be read, or is gone."""
    try:
        with open(path, "rb") as file:
            start = file.read(8 * _LONGEST)
    except OSError:
        return ""
    line = start.decode(errors="replace").lstrip("\ufeff \t\r\n").partition("\n")[0]
    words = "".join(sign if sign.isprintable() else " " for sign in line).split()
    return " ".join(words)[:_LONGEST]
