"""Plugins that are broken in every way leave training as it is without them, and each is told of once, in full."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import plugin_wheels
import pytest
from broken_plugins import KINDS, Broken, write_wheels

Told = dict[str, Any]


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip installed all of them."""
    wheels, folder = tmp_path_factory.mktemp("wheels"), tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", str(folder)]
    subprocess.run([*pip, *map(str, write_wheels(wheels))], check=True)
    return folder


def told_by(folder: Path, *names: str, seed: int = 0) -> list[Told]:
    """What a process tells that trains beside each of these plugins in turn."""
    path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, plugin_wheels.__file__, *names],
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8", "PYTHONHASHSEED": str(seed)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="session")
def alone(installed: Path) -> dict[str, Told]:
    """What is told beside each alone, by its name; beside none that is broken, by the good one's."""
    rows = told_by(installed, plugin_wheels.GOOD, *(kind.name for kind in KINDS))
    return {one["name"]: one for one in rows}


def test_beside_the_good_plugin_alone_nothing_is_told_of(alone: dict[str, Told]) -> None:
    good = alone[plugin_wheels.GOOD]
    assert (good["told"], good["failures"], good["second"]) == ([], [], good["first"])
    assert {name: one["outcome"] for name, one in good["first"].items() if "outcome" in one} == {
        "fits": "completed",
        "resumes": "completed",
        "loops": "stopped",
        "wraps": "stopped",
    }


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_training_is_as_without_it(kind: Broken, alone: dict[str, Told]) -> None:
    without, told = alone[plugin_wheels.GOOD]["first"], alone[kind.name]
    assert told["first"] == without
    assert told["second"] == without


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_it_is_told_of_once_in_full_and_kept_for_the_listing(kind: Broken, alone: dict[str, Told]) -> None:
    told = alone[kind.name]
    assert told["told"] == kind.warned()
    assert told["failures"] == kind.kept()
    assert told["rows"] == kind.listed()


def test_all_at_once_leave_training_as_it_is_and_each_is_told_of_once(installed: Path, alone: dict[str, Told]) -> None:
    (told,) = told_by(installed, "*")
    assert told["first"] == told["second"] == alone[plugin_wheels.GOOD]["first"]
    assert sorted(told["told"]) == sorted(text for kind in KINDS for text in kind.warned())


def test_what_is_told_of_all_has_one_order(installed: Path) -> None:
    (one,), (other,) = told_by(installed, "*", seed=1), told_by(installed, "*", seed=2)
    assert one["told"] == other["told"]
