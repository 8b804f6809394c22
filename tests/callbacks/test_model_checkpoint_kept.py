"""ModelCheckpoint with keep_best and keep_last: which of its files are there after a history."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runs import Numbered, trained
from written import files

from trainhooks import LoopRun, Run
from trainhooks.callbacks.model_checkpoint import ModelCheckpoint
from trainhooks.testing import Do

INF, NAN = math.inf, math.nan
Values = list[float | None]


def checkpoint(folder: Path, **more: Any) -> ModelCheckpoint:
    return ModelCheckpoint(folder / "{epoch}.safetensors", **more)


def kept(folder: Path) -> list[int]:
    """The epochs, from 1, whose files are there; each holds the weights of its own epoch's one step."""
    there = files(folder)
    assert there == {f"{step}.safetensors": step for step in there.values()}
    return sorted(there.values())


@pytest.mark.parametrize(
    "more, values, wanted",
    [
        ({"keep_best": 2}, [3, 1, 4, 2, 5], [2, 4]),
        ({"keep_best": 2, "mode": "max"}, [3, 1, 4, 2, 5], [3, 5]),
        ({"keep_best": 2}, [2, 2, 2], [1, 2]),
        ({"keep_best": 2}, [NAN, 3, NAN, NAN, 4], [2, 5]),
        ({"keep_best": 9}, [3, 1], [1, 2]),
        ({"keep_best": 2}, [3, None, 2, None, 1], [3, 5]),
        ({"keep_best": 2}, [INF, 3, INF], [1, 2]),
        ({"keep_best": 2, "initial_value_threshold": 2.5}, [3, 2, 2.5], [2]),
        ({"keep_last": 2}, [3, 1, None, NAN], [3, 4]),
        ({"keep_best": 1, "keep_last": 1}, [3, 1, 4, 2], [2, 4]),
        ({"keep_best": 1, "keep_last": 2}, [3, 1, NAN, None], [2, 3, 4]),
        ({"keep_best": 2, "keep_last": 1}, [NAN], [1]),
        ({"keep_best": 1, "keep_last": 1, "initial_value_threshold": 0.5}, [1, 2, 3], [3]),
        ({"save_best_only": True, "keep_last": 2}, [4, 3, 9, 2, 9], [2, 4]),
        ({"save_best_only": True, "keep_best": 2}, [4, 3, 9, 2, 3], [2, 4]),
    ],
)
def test_the_best_and_the_newest_stay(more: dict[str, Any], values: Values, wanted: list[int], tmp_path: Path) -> None:
    trained(values, made := checkpoint(tmp_path, **more))
    assert (kept(tmp_path), made.kept_paths) == (wanted, [tmp_path / f"{epoch}.safetensors" for epoch in wanted])


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.sampled_from([-1.0, 0.0, 1.0, 2.0, 3.0, NAN]), min_size=1, max_size=9),
    st.none() | st.integers(1, 3),
    st.none() | st.integers(1, 3),
    st.sampled_from(["min", "max"]),
    st.data(),
)
def test_the_files_that_stay_are_those_that_a_plain_sort_gives_resumed_or_not(
    tmp_path_factory: pytest.TempPathFactory, values: Values, best: int | None, last: int | None, mode: Any, data: Any
) -> None:
    folder, states = tmp_path_factory.mktemp("w"), []
    cut = data.draw(st.integers(1, len(values)), label="epochs before the resume")
    more = {"keep_best": best, "keep_last": last, "mode": mode}
    end = Do("epoch_end", lambda run: states.append(without_model(run.state_dict())), nth=None)
    end.phase = "save"
    trained(values[:cut], checkpoint(folder, **more), end)
    trained(values, checkpoint(folder, **more), Do("epoch_end", id), resume=states[-1])
    epochs = range(1, len(values) + 1)
    sign = 1 if mode == "min" else -1
    good = sorted((sign * value, epoch) for epoch, value in enumerate(values, 1) if not math.isnan(value))
    wanted = {*(epoch for _, epoch in good[: best or 0]), *epochs[max(len(epochs) - (last or 0), 0) :]}
    assert kept(folder) == (sorted(wanted) if best or last else list(epochs))


def without_model(state: dict[str, Any]) -> Any:
    """A state as a file would give it back, without the arrays of the model, which a play does not need."""
    return json.loads(json.dumps({**state, "trainable": None}))


def test_it_says_which_is_the_best_and_which_the_last(tmp_path: Path) -> None:
    trained([3, 1, 4], made := checkpoint(tmp_path, keep_best=1, keep_last=1))
    assert (made.best, made.best_path, made.last_path) == (1.0, tmp_path / "2.safetensors", tmp_path / "3.safetensors")
    trained([3, 1, 4], only := checkpoint(tmp_path, save_best_only=True))
    assert (only.best_path, only.kept_paths) == (tmp_path / "2.safetensors", [])
    trained([3, 1, 4], last := checkpoint(tmp_path, keep_last=1))
    assert (last.best, last.best_path) == (None, None)


def test_one_best_alone_needs_no_name_of_its_own(tmp_path: Path) -> None:
    trained([3, 1, 4], ModelCheckpoint(tmp_path / "w.safetensors", keep_best=1))
    assert files(tmp_path) == {"w.safetensors": 2}


@pytest.mark.parametrize(
    "template, more, rules, lacking",
    [
        (
            "w",
            {"keep_best": 2},
            "keep_best=2",
            "{epoch}",
        ),
        (
            "{val_loss}",
            {"keep_best": 1, "keep_last": 1},
            "keep_best=1 and keep_last=1",
            "{epoch}",
        ),
        (
            "{epoch}",
            {"keep_last": 2, "save_freq": 10},
            "keep_last=2",
            "{batch}",
        ),
        (
            "w",
            {"keep_last": 2, "save_freq": "10m"},
            "keep_last=2",
            "{epoch} and {batch}",
        ),
    ],
)
def test_several_files_under_one_name_are_refused(
    template: str, more: dict[str, Any], rules: str, lacking: str
) -> None:
    with pytest.raises(ValueError) as caught:
        ModelCheckpoint(f"{template}.safetensors", **more)
    assert str(caught.value) == (
        f"ModelCheckpoint(filepath={template + '.safetensors'!r}): by {rules} several files are to stay, so each needs "
        f"a name of its own. Put {lacking} into it."
    )


# What is deleted, and when


def test_an_older_file_is_deleted_after_the_new_one_is_there_and_before_that_is_told(tmp_path: Path) -> None:
    seen: list[list[int]] = []
    look = Do("checkpoint", lambda run: seen.append(kept(tmp_path)), nth=None)
    trained([3, 2, 1], checkpoint(tmp_path, keep_last=1), look)
    assert seen == [[1], [2], [3]]


def test_a_write_that_fails_deletes_nothing(tmp_path: Path) -> None:
    (tmp_path / "3.safetensors").mkdir()
    made = checkpoint(tmp_path, keep_best=1, keep_last=1)
    with pytest.raises(OSError, match="no plain file"):
        trained([3, 2, 1], made)
    (tmp_path / "3.safetensors").rmdir()
    assert (kept(tmp_path), made.best, made.last_path) == ([2], 2.0, tmp_path / "2.safetensors")


def test_only_what_it_wrote_is_deleted(tmp_path: Path) -> None:
    trained([3, 2], checkpoint(tmp_path))
    (tmp_path / "{epoch}.safetensors").touch()
    (tmp_path / "0.safetensors").touch()
    trained([3, 2, 1, 1], checkpoint(tmp_path / "new", keep_last=1))
    names = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.safetensors")}
    assert names == {
        "0.safetensors",
        "1.safetensors",
        "2.safetensors",
        "{epoch}.safetensors",
        str(Path("new") / "4.safetensors"),
    }


def test_a_file_that_is_gone_is_no_error_and_leaves_room_for_another(tmp_path: Path) -> None:
    gone = Do("epoch_end", lambda run: (tmp_path / "1.safetensors").unlink())
    gone.phase = "save"
    made = checkpoint(tmp_path, keep_best=2)
    trained([1, 2, 4], made, gone)
    assert kept(tmp_path) == [2, 3]


def test_a_file_that_cannot_be_deleted_is_told_and_tried_again(tmp_path: Path) -> None:
    def swap(run: Run) -> None:  # a folder in the file's place cannot be unlinked
        (tmp_path / "1.safetensors").unlink()
        (tmp_path / "1.safetensors").mkdir()

    def back(run: Run) -> None:
        (tmp_path / "1.safetensors").rmdir()
        (tmp_path / "1.safetensors").touch()

    made = checkpoint(tmp_path, keep_last=1)
    with pytest.warns(UserWarning, match=r"ModelCheckpoint: an older file could not be deleted: .*1\.safetensors"):
        run = trained([1, 2, 3], made, Do("epoch_begin", swap, nth=1), Do("epoch_begin", back, nth=2))
    assert (run.outcome, kept(tmp_path)) == ("completed", [3])


def test_it_deletes_in_the_folder_that_it_wrote_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "1.safetensors").touch()
    monkeypatch.chdir(tmp_path)
    first = ModelCheckpoint("{epoch}.safetensors", keep_last=1)
    trained([1], first)
    monkeypatch.chdir(elsewhere)
    second = ModelCheckpoint("{epoch}.safetensors", keep_last=1)
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    trained([1, 2], second, Do("epoch_begin", lambda run: (elsewhere / "1.safetensors").touch()))
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.safetensors")) == [
        str(Path("elsewhere") / "2.safetensors")
    ]


# A second run, and another state


def test_a_second_run_writes_over_no_better_one_and_says_so(tmp_path: Path) -> None:
    made = checkpoint(tmp_path, keep_best=2)
    trained([1, 3, 9], made)
    with pytest.warns(UserWarning, match="not written over") as caught:
        trained([2, 2.5], made)
    path = str(tmp_path / "1.safetensors")
    assert [str(one.message) for one in caught] == [
        f"ModelCheckpoint: {path!r} holds one with val_loss=1, and is not written over with 2.0. "
        "Give each run a folder of its own."
    ]
    assert (kept(tmp_path), made.best) == ([1, 2], 1.0)


def test_what_a_run_kept_counts_in_the_next(tmp_path: Path) -> None:
    made = checkpoint(tmp_path, keep_last=2)
    trained([1, 1, 1, 1], made)
    trained([1], made)
    assert kept(tmp_path) == [1, 4]


def test_of_another_metric_nothing_is_taken_and_nothing_deleted(tmp_path: Path) -> None:
    trained([3, 2], old := checkpoint(tmp_path, keep_best=2))
    new = checkpoint(tmp_path / "new", monitor="loss", keep_best=1)
    with pytest.warns(UserWarning, match="begins anew"):
        new.load_state_dict(old.state_dict())
    trained([3, 2], new)
    (tmp_path / "new" / "1.safetensors").unlink()
    (tmp_path / "new").rmdir()
    assert (kept(tmp_path), new.best) == ([1, 2], 0.5)


@pytest.mark.parametrize("before, after", [({}, {"keep_last": 1}), ({"keep_last": 2}, {})])
def test_where_only_one_of_two_keeps_the_files_of_the_first_are_left_alone(
    before: dict[str, Any], after: dict[str, Any], tmp_path: Path
) -> None:
    trained([3, 2], old := checkpoint(tmp_path / "old", **before))
    new = checkpoint(tmp_path / "new", **after)
    new.load_state_dict(old.state_dict())
    trained([3, 2, 1], new)
    assert (kept(tmp_path / "old"), new.last_path) == ([1, 2], tmp_path / "new" / "3.safetensors")


def test_the_files_of_another_name_are_not_deleted_when_two_change_places(tmp_path: Path) -> None:
    def two() -> list[ModelCheckpoint]:
        return [ModelCheckpoint(tmp_path / f"{name}{{epoch}}.safetensors", keep_last=2) for name in "ab"]

    first, second = two()
    state = trained([1.0, 1.0], first, second).state_dict()
    second, first = two()
    with pytest.warns(UserWarning, match=r"saved with filepath=.* the files of that name are left alone, and stay"):
        run = LoopRun(Numbered(), [first, second], resume=state)
    with run:
        for _ in run.epochs(5):
            pass
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *(f"a{epoch}.safetensors" for epoch in (1, 2, 4, 5)),
        *(f"b{epoch}.safetensors" for epoch in (1, 2, 4, 5)),
    ]
