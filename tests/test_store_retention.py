"""Which checkpoints are deleted, and what becomes of what a process that died has left."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from saved_checkpoints import flip, saved

from trainhooks.store import (
    checkpoints,
    delete_checkpoint,
    load_checkpoint,
    load_latest,
    prune,
    save_checkpoint,
)
from trainhooks.trainable import OnDevice


def left(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def names(paths: list[Path]) -> list[str]:
    return [path.name for path in paths]


def test_all_but_the_newest_good_ones_are_deleted(tmp_path: Path) -> None:
    saved(tmp_path, "a", "b", "c", "d")
    assert (names(prune(tmp_path, 2)), left(tmp_path)) == (["a", "b"], ["c", "d"])
    assert (prune(tmp_path, 2), left(tmp_path)) == ([], ["c", "d"])


def test_a_damaged_one_does_not_count_and_goes_once_a_good_one_is_newer(tmp_path: Path) -> None:
    saved(tmp_path, "a", "b", "c", "d", "e")
    for name in "bce":
        flip(tmp_path / name / "arrays.safetensors")
    assert (names(prune(tmp_path, 2)), left(tmp_path)) == (["b", "c"], ["a", "d", "e"])


def test_with_no_good_one_nothing_is_deleted(tmp_path: Path) -> None:
    saved(tmp_path, "a", "b")
    for name in "ab":
        (tmp_path / name / "manifest.json").unlink()
    assert (prune(tmp_path, 1), left(tmp_path)) == ([], ["a", "b"])


def test_to_keep_none_deletes_all(tmp_path: Path) -> None:
    saved(tmp_path, "a", "b")
    flip(tmp_path / "b" / "manifest.json")
    assert (names(prune(tmp_path, 0)), left(tmp_path)) == (["a", "b"], [])


@pytest.mark.parametrize("keep", [-1, True, 1.0, None])
def test_how_many_to_keep_is_a_count(tmp_path: Path, keep: Any) -> None:
    with pytest.raises(ValueError) as caught:
        prune(tmp_path, keep)
    assert str(caught.value) == f"prune(keep={keep!r}): a count, from 0"


def test_other_files_in_a_checkpoint_stay(tmp_path: Path) -> None:
    saved(tmp_path, "a", "b", "c")
    for name in "ab":
        (tmp_path / name / "notes.txt").write_text("mine")
    flip(tmp_path / "b" / "manifest.json")  # it might be somebody else's, for all one can tell
    for path in (tmp_path / "b").iterdir():  # but it is the oldest, and would have to go
        os.utime(path, (1, 1))
    assert names(prune(tmp_path, 1)) == ["a"]
    assert (left(tmp_path / "a"), len(left(tmp_path / "b"))) == (["notes.txt"], 4)


def test_links_in_a_checkpoint_are_deleted_and_not_followed(tmp_path: Path) -> None:
    saved(tmp_path / "there", "a", "b")
    (tmp_path / "there" / "a" / "state.json").rename(tmp_path / "far")
    (tmp_path / "there" / "a" / "state.json").symlink_to(tmp_path / "far")
    assert (names(prune(tmp_path / "there", 1)), (tmp_path / "far").exists()) == (["a"], True)


@pytest.mark.parametrize("damaged", [False, True])
def test_a_checkpoint_can_be_deleted_by_name(tmp_path: Path, damaged: bool) -> None:
    saved(tmp_path, "a", "b")
    if damaged:
        (tmp_path / "a" / "manifest.json").unlink()
    delete_checkpoint(tmp_path / "a")
    assert left(tmp_path) == ["b"]


DIES = """
import os, sys
from trainhooks.store import save_checkpoint, save_arrays
from trainhooks.store.disk import Disk, exchanged

class Dies(Disk):
    renames = 0
    def rename(self, path, target):
        if self.renames == int(sys.argv[2]):
            os._exit(9)
        self.renames += 1
        super().rename(path, target)

with exchanged(Dies()):
    {what}
"""


def die_at_rename(number: int, path: Path, what: str) -> None:
    died = subprocess.run([sys.executable, "-c", DIES.format(what=what), str(path), str(number)])
    assert died.returncode == 9


SAVE = "save_checkpoint(sys.argv[1], {'n': 1}, {'step': 1})"


@pytest.mark.parametrize("renames", [0, 1])
def test_a_process_that_dies_while_it_replaces_a_checkpoint_leaves_it_to_be_found(tmp_path: Path, renames: int) -> None:
    save_checkpoint(tmp_path / "one", {"n": 0}, {"step": 0})
    die_at_rename(renames, tmp_path / "one", SAVE)
    assert (tmp_path / "one").exists() == (renames == 0)  # at the second it was aside
    assert load_checkpoint(tmp_path / "one") == {"n": 0}
    taken, single = load_latest(tmp_path), load_latest(tmp_path / "one")
    assert taken is not None
    assert taken[1] == {"n": 0}
    assert single == (tmp_path / "one", {"n": 0})
    assert [found.about for found in checkpoints(tmp_path, verify=True)] == [{"step": 0}]
    deleted = prune(tmp_path, 1)
    assert (left(tmp_path), [path.suffix for path in deleted]) == (["one"], [".tmp"])
    assert load_checkpoint(tmp_path / "one") == {"n": 0}


def test_after_such_a_death_the_next_save_takes_its_place(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "one", {"n": 0}, {"step": 0})
    die_at_rename(1, tmp_path / "one", SAVE)
    save_checkpoint(tmp_path / "one", {"n": 2}, {"step": 2})
    assert (load_checkpoint(tmp_path / "one"), len(checkpoints(tmp_path))) == ({"n": 2}, 1)
    assert (len(prune(tmp_path, 1)), left(tmp_path)) == (2, ["one"])


def test_what_the_dead_left_is_tidied_up_and_what_the_living_write_is_not(tmp_path: Path) -> None:
    die_at_rename(0, tmp_path / "one", SAVE)
    die_at_rename(0, tmp_path / "w.safetensors", "save_arrays(sys.argv[1], {})")
    assert len(left(tmp_path)) == 2
    seen: list[Any] = []

    def look() -> np.ndarray:
        seen.append((len(prune(tmp_path, 1, tidy=False)), len(prune(tmp_path, 1)), len(left(tmp_path))))
        return np.ones(1)

    save_checkpoint(tmp_path / "two", {"w": OnDevice(look, (1,), np.dtype(float))})
    assert (seen, left(tmp_path)) == ([(0, 2, 1)], ["two"])


def test_a_temporary_of_our_own_number_that_we_do_not_write_is_of_one_who_had_it_before(tmp_path: Path) -> None:
    die_at_rename(0, tmp_path / "one", SAVE)
    [hidden] = tmp_path.iterdir()
    start, _, end = hidden.name.rpartition("-")
    hidden.rename(tmp_path / f"{start}-{os.getpid()}.{end.partition('.')[2]}")
    assert (len(prune(tmp_path, 1)), left(tmp_path)) == (1, [])


def test_another_machines_temporary_is_left_alone_for_a_day(tmp_path: Path) -> None:
    die_at_rename(0, tmp_path / "one", SAVE)
    [hidden] = tmp_path.iterdir()
    theirs = tmp_path / hidden.name.replace(hidden.name[5:13], "0badc0de")
    hidden.rename(theirs)
    assert (prune(tmp_path, 1), left(tmp_path)) == ([], [theirs.name])
    for path in [*theirs.iterdir(), theirs]:
        os.utime(path, (1e9, 1e9))
    assert (prune(tmp_path, 1), left(tmp_path)) == ([theirs], [])
