"""``import trainhooks`` loads what every run needs, and of the standard library next to nothing that numpy has not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import trainhooks

ADDED = {"copy", "threading"}
"""All that is not ours, where numpy and pluggy did not load it: what is slow to load is loaded when it is used."""

LEFT = {
    *("__main__", "cli", "commands", "demo", "pages"),  # the command line's
    *("configs", "store", "testing"),
}
"""The modules and folders of ours of which nothing is loaded."""

DOORS = {"callbacks", "schedules"}
"""Folders of which no more is loaded than their own ``__init__``."""


def modules(statement: str) -> tuple[set[str], set[str]]:
    """What is loaded in a fresh interpreter with numpy and pluggy, and what ``statement`` adds."""
    before = "import sys, numpy, pluggy; before = set(sys.modules); print(*before)"
    program = f"{before}\n{statement}\nprint(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    there, added = done.stdout.splitlines()
    return set(there.split()), set(added.split())


def all_of_ours() -> set[str]:
    root = Path(trainhooks.__file__).parent
    paths = (path.relative_to(root.parent).with_suffix("") for path in root.rglob("*.py"))
    return {".".join(path.parts).removesuffix(".__init__") for path in paths}


def part(name: str) -> str:
    """The module or folder of the package that ``trainhooks.<...>`` belongs to; of the package itself nothing."""
    return name.partition(".")[2].partition(".")[0]


def test_what_is_loaded_beside_numpy_and_pluggy_is_ours_and_a_short_list() -> None:
    there, added = modules("import trainhooks")
    assert {name for name in added if name.partition(".")[0] != "trainhooks"} == ADDED - there


def test_of_ours_what_a_plain_run_does_not_need_is_left() -> None:
    _, loaded = modules("import trainhooks")
    ours = all_of_ours()
    assert {part(name) for name in ours} - {part(name) for name in loaded} == LEFT
    assert {name for name in loaded if part(name) in DOORS} == {f"trainhooks.{name}" for name in DOORS}
    assert {name for name in ours - loaded if part(name) not in LEFT | DOORS} == set()


def test_of_the_schedules_that_is_loaded_which_is_asked_for() -> None:
    _, loaded = modules("import trainhooks; trainhooks.schedules.cosine")
    assert {name.rpartition(".")[2] for name in loaded if part(name) == "schedules"} == {
        *("schedules", "_decays", "_schedule")
    }


def test_a_misspelt_schedule_is_told_the_nearest_name() -> None:
    with pytest.raises(AttributeError) as caught:
        _ = trainhooks.schedules.cosin
    assert str(caught.value) == "module 'trainhooks.schedules' has no attribute 'cosin'. Did you mean 'cosine'?"
    assert set(trainhooks.schedules.__all__) <= set(dir(trainhooks.schedules))
