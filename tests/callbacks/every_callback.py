"""One of each built-in, for what every callback must keep under every trainer, and what must be known to try it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any

import pytest

from trainhooks import Callback, callbacks
from trainhooks.testing import Bench, check_callback


def still() -> float:
    """A clock that stands, so that what is measured is the same in each run."""
    return 0.0


def score(model: object) -> float:
    return 1.0


MADE: dict[str, Callable[[], Callback]] = {
    "BackupAndRestore": lambda: callbacks.BackupAndRestore("backup"),
    "CSVLogger": lambda: callbacks.CSVLogger("log.csv"),
    "EMA": lambda: callbacks.EMA(0.5),
    "EarlyStopping": lambda: callbacks.EarlyStopping(patience=1, restore_best_weights=True),
    "EpochScoring": lambda: callbacks.EpochScoring(score, every=2),
    "GracefulStop": lambda: callbacks.GracefulStop(),
    "GradientClipping": lambda: callbacks.GradientClipping(norm=0.1),
    "History": lambda: callbacks.History(),
    "JSONLogger": lambda: callbacks.JSONLogger("log.jsonl", save_freq=1),
    "LambdaCallback": lambda: callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: None),
    "LearningRateMonitor": lambda: callbacks.LearningRateMonitor("step"),
    "LearningRateScheduler": lambda: callbacks.LearningRateScheduler(lambda epoch, lr: lr / 2),
    "ModelCheckpoint": lambda: callbacks.ModelCheckpoint("w.safetensors", save_best_only=True),
    "NaNGuard": lambda: callbacks.NaNGuard(),
    "ProgbarLogger": lambda: callbacks.ProgbarLogger(),
    "ReduceLROnPlateau": lambda: callbacks.ReduceLROnPlateau(patience=1, factor=0.5),
    "RemoteMonitor": lambda: callbacks.RemoteMonitor("http://127.0.0.1:1"),  # where nobody answers
    "StopFile": lambda: callbacks.StopFile("STOP", seconds=0),
    "SwapEMAWeights": lambda: callbacks.SwapEMAWeights(swap_on_epoch=True),
    "TensorBoard": lambda: callbacks.TensorBoard("logs", histogram_freq=1, update_freq=1),
    "TerminateOnNaN": lambda: callbacks.TerminateOnNaN(),
    "Throughput": lambda: callbacks.Throughput(clock=still),
    "Timer": lambda: callbacks.Timer(3600, clock=still),
}
"""One of each, with settings under which it has something to decide and to keep."""

NEEDS: dict[str, tuple[str, ...]] = {"TensorBoard": ("tensorboardX",)}
"""The packages beside trainhooks's own that it needs."""

BESIDE: dict[str, list[Callable[[], Callback]]] = {"SwapEMAWeights": [lambda: callbacks.EMA(0.5)]}
"""What it needs in its run."""

KEPT: dict[str, set[str]] = {
    "LearningRateScheduler": {"unit"},
    "ModelCheckpoint": {"best", "last_path"},
    "TensorBoard": {"run_id"},
}
"""What a new run does not forget, since the file is still there; has in its state a name of its own; or is a setting,
to tell of one that was changed."""

_ALL = ("loss", "accuracy")

READS: dict[str, tuple[str, ...]] = {
    "JSONLogger": _ALL,
    "NaNGuard": ("loss",),
    "TensorBoard": _ALL,
    "TerminateOnNaN": ("loss",),
}
"""The metrics that it reads in the events of batches."""

WITHOUT: dict[str, dict[str, str]] = {
    "RemoteMonitor": {"runs": "nobody answers at that address, and it says so as the exception that it got"},
    "TensorBoard": {"resume-files": "each event has the time in it, and a resumed run begins a file of its own"},
}
"""The rules that do not hold for it, and why."""

SAME_EVERYWHERE = dict.fromkeys(
    (
        *("made-anew", "registers", "needs", "plain-logs", "reads", "main-rank", "draws-nothing"),
        *("constructor", "stops", "no-settings", "evaluation-files"),
        *("no-validation", "no-epoch", "nan", "infinity", "left-epoch"),
        *("state-replaces", "state-is-a-copy", "state-is-copied", "settings-stay", "plain-settings", "teardown-twice"),
        *("attaches", "two-objects", "resume-new"),
    ),
    "it is no matter of the trainer, and tried under those that begin at once",
)
"""The rules that a trainer which takes long to begin is spared."""


def checked(name: str, bench: Callable[[], Bench] | None = None, refused: str | None = None, **without: str) -> Any:
    """The test of one of them under a trainer."""
    return check_callback(
        MADE[name],
        bench=bench,
        beside=BESIDE.get(name, ()),
        keeps=KEPT.get(name, ()),
        reads=READS.get(name, ()),
        refused=refused,
        without={} if refused else {**WITHOUT.get(name, {}), **without},
    )


def every_one(
    bench: Callable[[], Bench] | None = None, refused: Mapping[str, str] | None = None, **without: str
) -> Any:
    """A class of tests, with one for each of them."""
    tests, refused = {}, refused or {}
    for name in MADE:
        lacking = [package for package in NEEDS.get(name, ()) if find_spec(package) is None]
        marked = pytest.mark.skipif(bool(lacking), reason=f"{' and '.join(lacking)} is not installed")
        tests[f"test_{name}"] = staticmethod(marked(checked(name, bench, refused.get(name), **without)))
    return type("TestEvery", (), tests)
