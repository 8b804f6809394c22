"""A folder of checkpoints: which are listed, in which order, and which is taken."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from saved_checkpoints import flip, saved

from trainhooks.errors import StateFileError
from trainhooks.store import (
    checkpoints,
    latest_good,
    load_checkpoint,
    load_latest,
    prune,
    save_arrays,
)


def test_nothing_there_is_the_usual_error_and_no_latest(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_checkpoint(tmp_path / "one")
    assert load_latest(tmp_path / "one") is load_latest(tmp_path) is latest_good(tmp_path / "one") is None
    assert checkpoints(tmp_path / "one") == prune(tmp_path / "one", 1) == []


@pytest.mark.parametrize("load", [load_checkpoint, load_latest])
def test_a_file_is_no_checkpoint(tmp_path: Path, load: Any) -> None:
    save_arrays(tmp_path / "w.safetensors", {"kernel": np.zeros(3)})
    with pytest.raises(StateFileError, match="is no folder"):
        load(tmp_path / "w.safetensors")


def test_folders_of_other_things_are_no_checkpoints(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "web").mkdir()
    for name in ("manifest.json", "index.html"):
        (tmp_path / "web" / name).write_text("{}")
    assert checkpoints(tmp_path) == []
    assert load_latest(tmp_path) is None
    assert (prune(tmp_path, 0), sorted(os.listdir(tmp_path))) == ([], ["logs", "web"])


def test_they_are_listed_by_step_then_time_then_name(tmp_path: Path) -> None:
    saved(tmp_path, "a", "b", "c", "d", steps=[10, 9, 10, 10], saved_ats=["2026-02", "2026-03", "2026-01", "2026-01"])
    assert [found.path.name for found in checkpoints(tmp_path)] == ["b", "c", "d", "a"]
    assert latest_good(tmp_path) == tmp_path / "a"


def test_one_whose_manifest_is_damaged_stands_where_its_files_were_written(tmp_path: Path) -> None:
    saved(tmp_path, "z", "y", "x")
    flip(tmp_path / "y" / "manifest.json", 60)
    for number, folder in enumerate("zyx"):  # of a disk that forgets a bit, the times stay as they were
        for file in (tmp_path / folder).iterdir():
            os.utime(file, (number, number))
    listed = [(found.path.name, found.about, found.problem is None) for found in checkpoints(tmp_path)]
    assert listed == [("z", {"step": 0}, True), ("y", {}, False), ("x", {"step": 2}, True)]


def test_sizes_are_looked_at_always_and_digests_when_asked(tmp_path: Path) -> None:
    saved(tmp_path, "a", "b", "c")
    flip(tmp_path / "b" / "arrays.safetensors")
    (tmp_path / "c" / "state.json").unlink()
    gone = "state.json: it is not there"
    assert [found.problem for found in checkpoints(tmp_path)] == [None, None, gone]
    other = "arrays.safetensors: it is not what was written (its SHA-256 is another)"
    assert [found.problem for found in checkpoints(tmp_path, verify=True)] == [None, other, gone]
    assert latest_good(tmp_path) == tmp_path / "a"


def test_a_damaged_one_is_told_of_and_the_one_before_it_taken(tmp_path: Path) -> None:
    saved(tmp_path, "a", "b", "c")
    flip(tmp_path / "b" / "arrays.safetensors")
    (tmp_path / "c" / "manifest.json").write_text("{}")
    with pytest.warns(UserWarning, match="is damaged") as caught:
        taken = load_latest(tmp_path)
    assert taken is not None
    assert (taken[0], taken[1]["name"]) == (tmp_path / "a", "a")
    assert [str(one.message) for one in caught] == [
        f"The checkpoint '{tmp_path}/c' is damaged. manifest.json: it is no manifest of a checkpoint. The checkpoint "
        f"'{tmp_path}/b' is damaged. arrays.safetensors: it is not what was written (its SHA-256 is another). Taken is "
        "'a', the newest that is good."
    ]
    assert caught[0].filename == __file__


def test_damage_to_an_older_one_is_no_matter(tmp_path: Path) -> None:
    saved(tmp_path, "a", "b")
    flip(tmp_path / "a" / "state.json")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        taken = load_latest(tmp_path)
    assert taken is not None
    assert taken[0] == tmp_path / "b"


def test_where_all_are_damaged_nothing_is_taken(tmp_path: Path) -> None:
    saved(tmp_path, "a")
    flip(tmp_path / "a" / "state.json")
    with pytest.raises(StateFileError) as caught:
        load_latest(tmp_path)
    assert str(caught.value) == (
        f"{str(tmp_path)!r} holds no good checkpoint. The checkpoint '{tmp_path}/a' is damaged. state.json: it is not "
        "what was written (its SHA-256 is another)."
    )


@pytest.mark.parametrize("lost", ["", "manifest.json"])
def test_load_latest_takes_the_path_of_one_checkpoint_too(tmp_path: Path, lost: str) -> None:
    saved(tmp_path, "a", "b")
    if not lost:
        taken = load_latest(tmp_path / "a")
        assert taken is not None
        assert (taken[0], taken[1]["name"]) == (tmp_path / "a", "a")
        return
    (tmp_path / "a" / lost).unlink()
    with pytest.raises(StateFileError) as caught:
        load_latest(tmp_path / "a")
    assert str(caught.value) == f"The checkpoint '{tmp_path}/a' is damaged. {lost}: it is not there."
