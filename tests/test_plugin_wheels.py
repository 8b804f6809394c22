"""The example distributions, from their wheels: pip installs them beside ours in a fresh environment, and they work."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from own_plugins import OWN

ROOT = Path(__file__).parent.parent
SLOWDOWN, TINYTRAINER = ROOT / "examples" / "trainhooks-slowdown", ROOT / "examples" / "trainhooks-tinytrainer"

ATTACHED = """
import json
import trainhooks
from trainhooks.testing import Constant, Do, batches

names = []
look = Do("train_begin", lambda run: names.extend(type(one).__name__ for one in run.bus.callbacks))
trainhooks.fit(Constant(), batches(2), callbacks=[look], plugins={selection!r})
print(json.dumps(names))
"""
SLOW_STEP = """
import json, warnings
import trainhooks
from trainhooks.testing import Constant, batches


class Listening(trainhooks.Callback):
    def on_slowdown(self, step, ratio):
        print(json.dumps([step, ratio]))


class Clock:  # a second each step, and six in the fourth
    now, calls = 0, 0

    def __call__(self):
        self.calls += 1
        if self.calls % 2 == 0:
            self.now += 6 if self.calls == 8 else 1
        return self.now


slowdown = trainhooks.callbacks.make({"name": "Slowdown", "warmup": 2, "clock": Clock()})
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    trainhooks.fit(Constant(), batches(5), callbacks=[slowdown, Listening()])
print(json.dumps([str(one.message) for one in told]))
"""

WRAPPED = """
import numpy as np
import tinytrainer
import trainhooks
from trainhooks.testing import Trace

trace = Trace(batches=False)
trainer = tinytrainer.Trainer(tinytrainer.Linear(2), batch_size=2)
x, y = np.ones((4, 2), np.float32), np.ones((4, 1), np.float32)
stop = trainhooks.callbacks.make({"name": "EarlyStopping", "monitor": "loss", "patience": 0, "min_delta": 1e9})
trainhooks.wrap(trainer, callbacks=[stop, trace]).fit((x, y), epochs=5)
print(trace.outline())
"""


def run(*command: object, folder: Path = ROOT, **environment: str) -> str:
    """What a process prints; its Python sees nothing of ours but what is installed."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "TRAINHOOKS"))}
    done = subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        encoding="utf-8",
        cwd=folder,
        env={**clean, "PYTHONIOENCODING": "utf-8", **environment},
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment into which pip installed the three wheels, and what they need."""
    wheels, place = tmp_path_factory.mktemp("wheels"), tmp_path_factory.mktemp("environment")
    pip = [sys.executable, "-m", "pip", "--quiet"]
    run(*pip, "wheel", "--no-deps", "--wheel-dir", wheels, ROOT, SLOWDOWN, TINYTRAINER)
    venv.create(place, with_pip=False, symlinks=True)
    python = place / "bin" / "python" if os.name != "nt" else place / "Scripts" / "python.exe"
    run(*pip, "--python", python, "install", *sorted(wheels.iterdir()))
    return python


def attached(python: Path, folder: Path, selection: str | None = None, **environment: str) -> list[str]:
    """The names of the callbacks that a training had."""
    names: list[str] = json.loads(run(python, "-c", ATTACHED.format(selection=selection), folder=folder, **environment))
    return names


def test_a_callback_that_is_installed_attaches_itself(installed: Path, tmp_path: Path) -> None:
    assert attached(installed, tmp_path) == ["Do", "Slowdown"]


@pytest.mark.parametrize(
    "selection, environment",
    [
        ("none", {}),
        ("-slowdown", {}),
        (None, {"TRAINHOOKS_PLUGINS": "none"}),
        (None, {"TRAINHOOKS_PLUGINS": "-slowdown"}),
        (None, {"TRAINHOOKS_PLUGINS": "tinytrainer"}),
        (None, {"TRAINHOOKS_SLOWDOWN": "off"}),
    ],
)
def test_it_stays_away_where_it_is_not_wanted(
    selection: str | None, environment: dict[str, str], installed: Path, tmp_path: Path
) -> None:
    assert attached(installed, tmp_path, selection, **environment) == ["Do"]


def test_it_is_made_by_name_and_its_event_is_heard(installed: Path, tmp_path: Path) -> None:
    heard, told = map(json.loads, run(installed, "-c", SLOW_STEP, folder=tmp_path).splitlines())
    assert heard == [4, 6.0]
    assert told == ["Slowdown: step 4 took 6 s, 6.0 times the usual 1 s."]


def test_a_trainer_that_is_installed_is_wrapped_by_its_adapter(installed: Path, tmp_path: Path) -> None:
    assert run(installed, "-c", WRAPPED, folder=tmp_path) == "setup train[ epoch0[] epoch1[] stop ] teardown\n"


def test_the_command_line_lists_both(installed: Path, tmp_path: Path) -> None:
    listed = run(installed, "-m", "trainhooks", "plugins", "--json", folder=tmp_path)
    rows = {row["name"]: row for row in json.loads(listed)["plugins"]}
    assert {name: (row["distribution"], row["status"]) for name, row in rows.items()} == {
        **dict.fromkeys(OWN, ("trainhooks", "ok")),
        "slowdown": ("trainhooks-slowdown", "ok"),
        "tinytrainer": ("trainhooks-tinytrainer", "ok"),
    }


@pytest.mark.parametrize("example", [SLOWDOWN, TINYTRAINER], ids=lambda path: path.name)
def test_an_example_passes_its_own_tests(example: Path) -> None:
    said = run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", example, folder=example)
    assert " passed" in said and "skipped" not in said, said
