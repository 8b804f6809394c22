"""Wheels of plugins, written as an archive each, and the trainings that are run beside them in a child process.

As a program, with the names of plugins: for each, all trainings twice with that one alone, and a line of JSON that says
how they ended, what was warned of, and what is kept. The name ``*`` stands for every plugin at once.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import trainhooks
from trainhooks import plugins, store
from trainhooks.callbacks import EarlyStopping
from trainhooks.testing import Trace

VERSION = "1.2"
GOOD = "toy"
"""A plugin with an adapter that works, beside those that do not."""
TOY_ADAPTER = """
import trainhooks
from trainhooks.testing.play import Dial

@trainhooks.hookimpl
def trainhooks_adapter(target):
    return (lambda options: options.loop(Dial())) if type(target).__name__ == "Toy" else None
"""


class Toy:
    """The model that the good plugin has an adapter for."""


def write_wheel(
    folder: Path, distribution: str, files: Mapping[str, str], entry_points: Mapping[str, str], requires: str = ""
) -> Path:
    """A wheel that pip installs.

    Args:
        folder: where to.
        distribution: its name.
        files: the text of each, by path.
        entry_points: those of the group ``trainhooks``.
        requires: a requirement.
    """
    about = f"{distribution.replace('-', '_')}-{VERSION}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {VERSION}\n"
    contents = {
        **files,
        f"{about}/METADATA": metadata + (f"Requires-Dist: {requires}\n" if requires else ""),
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{about}/entry_points.txt": "[trainhooks]\n" + "".join(f"{a} = {b}\n" for a, b in entry_points.items()),
    }
    record = ""
    path = folder / f"{distribution.replace('-', '_')}-{VERSION}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in contents.items():
            data = text.encode()
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            record += f"{name},sha256={digest},{len(data)}\n"
            wheel.writestr(name, data)
        wheel.writestr(f"{about}/RECORD", f"{record}{about}/RECORD,,\n")
    return path


# The trainings


class Saver(trainhooks.Callback):
    """Asks for a save as each epoch ends, and writes the run's state."""

    phase = "save"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_epoch_end(self, run: trainhooks.Run) -> None:
        run.save()

    def save(self, run: trainhooks.Run) -> None:
        path = self.folder / f"epoch{run.epoch}"
        store.save_checkpoint(path, run.state_dict())
        run.emit("checkpoint", path=str(path), logs=run.logs)


def _ended(run: trainhooks.LoopRun, trace: Trace) -> dict[str, Any]:
    trace.check_grammar()
    return {
        "outline": trace.outline(),
        "outcome": run.outcome,
        "history": [[record.epoch, dict(record.logs)] for record in run.history],
        "state": {key: run.state_dict()["callbacks"][key] for key in ("EarlyStopping", "Saver")},
    }


def fits(folder: Path, resume: Path | None = None, epochs: int = 2) -> dict[str, Any]:
    """``fit`` of a network."""
    model = trainhooks.MLP((4, 3), lr=0.1, seed=1)
    x = [[float(row == column) for column in range(4)] for row in range(4)]
    trace = Trace()
    callbacks = [EarlyStopping("loss", patience=5), Saver(folder), trace]
    run = trainhooks.fit(model, [(x, [0, 1, 2, 0])] * 2, epochs=epochs, callbacks=callbacks, resume=resume)
    return _ended(run, trace) | {"weights": {name: array.tolist() for name, array in model.get_weights().items()}}


def resumes(folder: Path) -> dict[str, Any]:
    """A second ``fit`` goes on from the checkpoint of the first."""
    fits(folder)
    return fits(folder, folder / "epoch0", 3)


def _loops(made: Callable[[list[trainhooks.Callback]], trainhooks.LoopRun], folder: Path) -> dict[str, Any]:
    trace = Trace()
    with made([EarlyStopping("loss", patience=0), Saver(folder), trace]) as run:
        for epoch in run.epochs(4):
            for batch in run.train(range(2)):
                run.log(loss=float(abs(epoch - 1) + batch))
            for _ in run.test(range(1)):
                run.log(loss=0.5)
    return _ended(run, trace)


def loops(folder: Path) -> dict[str, Any]:
    """A loop of one's own without a model, that is stopped."""
    return _loops(lambda callbacks: trainhooks.LoopRun(callbacks=callbacks), folder)


def wraps(folder: Path) -> dict[str, Any]:
    """The same over a model that another plugin has the adapter for."""
    return _loops(lambda callbacks: trainhooks.wrap(Toy(), callbacks=callbacks), folder)


def trainings() -> dict[str, Any]:
    """How each training ended, or what it raised."""
    ended: dict[str, Any] = {}
    for training in (fits, resumes, loops, wraps):
        with tempfile.TemporaryDirectory() as folder:
            try:
                ended[training.__name__] = training(Path(folder))
            except BaseException as error:  # what a test looks for: nothing may come through
                ended[training.__name__] = f"{type(error).__name__} came through"
    ended["frameworks"] = plugins.frameworks()
    ended["callbacks"] = {name: by for name, by in trainhooks.callbacks.names().items() if by == "trainhooks"}
    return ended


def tried(name: str) -> dict[str, Any]:
    """The trainings, twice, beside one plugin (``*``: all)."""
    os.environ[plugins.VARIABLE] = "" if name == "*" else f"{GOOD},{name}"
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        first, second = trainings(), trainings()
    return {
        "name": name,
        "first": first,
        "second": second,
        "told": [f"{one.category.__name__}: {one.message}" for one in told],
        "failures": [[one.distribution, one.what, one.error] for one in plugins.failures if one.name == name],
        "rows": [
            [one.distribution, one.version, one.status, list(one.errors)] for one in plugins.rows() if one.name == name
        ],
    }


if __name__ == "__main__":
    for asked in sys.argv[1:]:
        print(json.dumps(tried(asked)), flush=True)
