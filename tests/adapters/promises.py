"""What a user is promised of every trainer, as tests of one bench: the fixture ``kind`` gives its class.

The kit (``check_adapter``) holds each adapter to rules that look at one thing at a time. Here is what it leaves: four
callbacks together, which are the very same objects that the reference loop had before; the text of a CSV file; and a
process that is really killed. Of ways to end, the kit's *decision-stops*, *training-raises*, *hook-raises*,
*interrupts* and *exception-told* have the order of all events; its *lacks-refused* has the sentence of each refusal.

    python promises.py bench_torch TorchBench     # a life that is killed in this folder
"""

from __future__ import annotations

import contextlib
import importlib
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from trainhooks import Callback, Run
from trainhooks.callbacks import BackupAndRestore, CSVLogger, EarlyStopping, ModelCheckpoint, ReduceLROnPlateau
from trainhooks.errors import CapabilityError
from trainhooks.testing import Bench, Do, Epoch, RaiseAt, StopAt
from trainhooks.testing.adapter_rules_tools import ask, like, see
from trainhooks.trainable import CAPABILITIES

NAN, INF = math.nan, math.inf
STOPS = ("setup", "train_begin", "epoch_begin", "train_batch_end", "test_end", "epoch_end")
LAST = 2
"""The epoch at whose end a life is killed: its row and its file are written, and its backup is not."""


def told(*values: float | None) -> list[Epoch]:
    """A history with these values of ``val_loss``; None for an epoch without a validation."""
    losses: list[Epoch] = [{"loss": 2.0 - epoch / 8} for epoch in range(len(values))]
    rest = [{} if value is None else {"val_loss": value} for value in values]
    return [{**loss, **validation} for loss, validation in zip(losses, rest, strict=True)]  # type: ignore[dict-item]


HISTORIES = {
    "it gets better": told(1.0, 0.5, 0.25, 0.125),
    "a plateau": told(1.0, 0.5, 0.5, 0.5, 0.5, 0.5),
    "NaN": told(NAN, 0.5, NAN, 0.25, NAN, NAN, NAN),
    "infinite": told(INF, INF, 0.5, INF, -INF, 0.5, 0.5),
    "epochs without a validation": told(0.5, None, 0.75, None, 0.75, 0.75),
}
BEFORE = told(4.0, 4.0, 4.0)
LONG = told(1.0, 0.5, 0.75, 0.75, 0.75, 0.75, 0.75)


def four() -> list[Any]:
    """The four callbacks of every example."""
    return [
        EarlyStopping("val_loss", patience=3, strict=False),
        ReduceLROnPlateau("val_loss", factor=0.5, patience=1, strict=False),
        ModelCheckpoint("saved/{epoch}", save_best_only=True, strict=False),  # in the trainer's own format
        CSVLogger("log.csv"),
    ]


def trained(
    bench: Bench, history: Sequence[Epoch], callbacks: Sequence[Any], *own: Callback, resume: Any = None
) -> dict[str, Any]:
    """What the four have decided in a training, and what they left in the folder where it runs."""
    rates: list[float] = []
    noted = Do("epoch_end", lambda run: rates.append(run.lr), nth=None)
    noted.phase = "save"
    seen = see(bench, history, Do("train_begin", _half), *callbacks, *own, noted, resume=resume, raises=True)
    [run] = seen.met
    stopping, reducing, saving, _ = callbacks
    log = Path("log.csv")
    return {
        "error": seen.error,
        "ended": (seen.outcome, run.stop_reason, run.stop_kind, run.stop_source),
        "counts": (run.epochs_done, run.step),
        "history": repr([(record.epoch, sorted(record.logs.items())) for record in run.history]),
        "rates": rates,
        "waited": (stopping.wait, stopping.best_epoch, stopping.stopped_epoch, reducing.wait),
        "best": repr((stopping.best, saving.best)),
        "saved": sorted(path.stem for path in Path("saved").glob("*")),
        "log": log.read_text(encoding="utf-8") if log.exists() else None,
        "heard": [name for name in seen.trace.names if name in ("exception", "teardown")],
        "still open": _open_here(),
    }


def decided(bench: Bench, history: Sequence[Epoch], *own: Callback) -> dict[str, Any]:
    """The same, in a folder of its own."""
    with _folder():
        return trained(bench, history, four(), *own)


def in_turn(bench: Bench, history: Sequence[Epoch]) -> dict[str, Any]:
    """The same, of callbacks that were under the reference loop before."""
    callbacks = four()
    with _folder():
        trained(like(bench), BEFORE, callbacks)
    with _folder():
        return trained(bench, history, callbacks)


def _half(run: Run) -> None:
    if not run.resumed:
        run.lr = 0.5


def _open_here() -> list[str]:
    """The files of this folder that the process has open, where a system tells that."""
    found = []
    for one in Path("/proc/self/fd").glob("*"):
        with contextlib.suppress(OSError):  # that of the listing itself is closed by now
            found.append(os.readlink(one))
    return [path for path in found if path.startswith(os.getcwd() + os.sep)]


@contextlib.contextmanager
def _folder() -> Iterator[None]:
    """A folder of its own to run in."""
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before)


@pytest.mark.parametrize("history", HISTORIES.values(), ids=HISTORIES)
def test_the_very_same_objects_decide_as_in_the_reference_loop(kind: type[Bench], history: list[Epoch]) -> None:
    expected = in_turn(like(kind()), history)
    assert in_turn(kind(), history) == expected
    assert expected["error"] is None and expected["saved"] and expected["heard"] == ["teardown"]


def test_a_stop_that_is_asked_for_in_any_event_ends_the_run_as_in_the_reference_loop(kind: type[Bench]) -> None:
    bench = kind()
    for event in STOPS:
        came, expected = (decided(one, LONG, StopAt(event, reason="enough")) for one in (bench, like(bench)))
        if bench.looks_after_batches and came != expected and event in ("setup", "train_begin", "epoch_begin"):
            expected = decided(like(bench), LONG, StopAt("train_batch_end", reason="enough"))
        assert came == expected, event
        assert came["ended"] == ("stopped", "enough", "decision", "StopAt")


@pytest.mark.parametrize("where", ["the trainer's own step", "a hook"])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_exception_comes_out_as_itself_and_all_up_to_there_is_written(
    kind: type[Bench], error: type[BaseException], where: str
) -> None:
    def raising(one: Bench) -> dict[str, Any]:
        raised = error("asked for")
        if where == "a hook":
            came = decided(one, LONG, RaiseAt("epoch_end", 2, raised))
        else:
            came = decided(one, [*LONG[:2], raised, *LONG[3:]])
        assert came.pop("error") is raised
        return came

    came = raising(bench := kind())
    assert came == raising(like(bench))
    assert came["ended"][0] == ("interrupted" if error is KeyboardInterrupt else "failed")
    assert (came["heard"], came["still open"]) == (["exception", "teardown"], [])
    assert came["log"].splitlines()[1:] == ["0,0.5,2.0,1.0", "1,0.5,1.875,0.5"]


class Untouched(list[Epoch]):
    """A history that notes which of its epochs were asked for: each batch does."""

    def __init__(self, epochs: Sequence[Epoch]) -> None:
        super().__init__(epochs)
        self.asked: list[Any] = []

    def __getitem__(self, place: Any) -> Any:
        self.asked.append(place)
        return super().__getitem__(place)


def test_a_callback_that_asks_for_what_is_lacking_is_refused_in_words_before_anything_is_trained(
    kind: type[Bench],
) -> None:
    bench = kind()
    said = ask(bench, lambda run: {need: run.trainable.missing(need) for need in CAPABILITIES})
    lacking = {need: sentence for need, sentence in said.items() if sentence is not None}
    assert lacking
    for need, sentence in lacking.items():
        asks, history = Do("epoch_end", id), Untouched(LONG)
        asks.requires = {need}
        with _folder(), pytest.raises(CapabilityError) as refused:
            bench.train(history, [*four(), asks])
        assert sentence in str(refused.value) and history.asked == []
    history = Untouched(LONG)
    assert decided(bench, history)["ended"][0] == "stopped" and history.asked


# A kill


def goes_on(kind: type[Bench], folder: Path) -> None:
    """Have a process train and be killed, and go on in this one from the folder that it left.

    Raises:
        AssertionError: this is not as if there had been no kill.
    """
    (folder / "whole").mkdir()
    (folder / "killed").mkdir()
    before = os.getcwd()
    try:
        os.chdir(folder / "whole")
        whole = trained(kind(), LONG, four())
        os.chdir(folder / "killed")
        command = [sys.executable, "-W", "ignore", __file__, kind.__module__, kind.__name__]
        died = subprocess.run(command, capture_output=True, text=True, check=False)
        assert died.returncode == 9, died.stderr
        rest = trained(kind(), LONG, four(), resume=Path("backup"))
    finally:
        os.chdir(before)
    assert whole["ended"][0] == "stopped" and whole["counts"][0] == 5
    assert rest == whole | {"rates": whole["rates"][LAST:]}


def die() -> None:
    """Train in this folder, and die at the end of an epoch."""
    sys.path.append(str(Path(__file__).parents[1]))
    module, name = sys.argv[1:]
    dies = Do("epoch_end", lambda run: os._exit(9), nth=LAST)
    dies.phase = "save"
    backup = BackupAndRestore("backup", delete_checkpoint=False)
    trained(getattr(importlib.import_module(module), name)(), LONG, four(), backup, dies)


if __name__ == "__main__":
    die()
    sys.exit("it lived")
