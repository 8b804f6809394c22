"""``trainhooks checkpoints``: what is there, what is good, what was deleted."""

from __future__ import annotations

import json
import os
import re
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainhooks.cli import main
from trainhooks.store import load_checkpoint, save_checkpoint, table
from trainhooks.store.listing import Found

NOW = datetime(2026, 3, 4, 12, 0, 0, tzinfo=timezone.utc)


def save(folder: Path, name: str, step: int) -> None:
    """A checkpoint of a step; its files have a fixed size."""
    about = {"epoch": step // 100, "step": step, "framework": "numpy", "metrics": {"loss": 1 / step}, "inside": None}
    save_checkpoint(folder / name, {"w": np.arange(1000.0)}, about)


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_a_table_tells_how_far_each_is_and_how_good() -> None:
    saved = [NOW - timedelta(days=40), NOW - timedelta(minutes=5)]
    found = [
        Found(
            Path("x/backup-1"),
            {"epoch": 3, "step": 300, "metrics": {"loss": 0.123456, "accuracy": 1}, "saved_at": saved[0].isoformat()},
            1_234_567,
            None,
        ),
        Found(
            Path("x/backup-2"),
            {
                "epoch": 3,
                "step": 312,
                "metrics": dict.fromkeys("abcdef", 0.5),
                "saved_at": saved[1].isoformat(),
                "inside": "batch 12 of epoch 3",
            },
            999,
            "state.json: it is not there",
        ),
        Found(Path("x/odd\x1b[31m"), {"metrics": 3, "saved_at": "yesterday", "step": "\n"}, 0, None),
    ]
    head, rule, *rows = table.table(found, verified=False, now=NOW).splitlines()
    assert [re.split("  +", row) for row in (head, *rows)] == [
        ["name", "epoch", "step", "metrics", "size", "saved (UTC)", "state"],
        ["backup-1", "3", "300", "loss 0.1235, accuracy 1", "1.23 MB", "2026-01-23 12:00 (40 d ago)", "not verified"],
        [
            *("backup-2", "3 (batch 12 of epoch 3)", "312", "a 0.5, b 0.5, c 0.5, d 0.5, and 2 more", "999 B"),
            *("2026-03-04 11:55 (5 min ago)", "damaged: state.json: it is not there"),
        ],
        ["odd?[31m", "-", "?", "-", "0 B", "-", "not verified"],
    ]
    assert {row.index("2026") for row in rows[:2]} == {head.index("saved")}
    assert [len(part) for part in rule.split()] == [8, 23, 4, 38, 7, 28, 36]


@pytest.mark.parametrize(
    "count, said",
    [
        *((0, "0 B"), (999, "999 B"), (1000, "1 kB"), (999_499, "999 kB"), (999_500, "1 MB"), (123_456_789, "123 MB")),
        *((1_500_000_000, "1.5 GB"), (5 * 10**15, "5000 TB")),
    ],
)
def test_sizes_are_said_as_people_say_them(count: int, said: str) -> None:
    assert table.size(count) == said


@pytest.mark.parametrize(
    "seconds, said",
    [(-1, "in the future"), (0, "0 s ago"), (59, "59 s ago"), (60, "1 min ago"), (7199, "1 h ago"), (2e5, "2 d ago")],
)
def test_ages_are_told_in_their_largest_unit(seconds: float, said: str) -> None:
    assert table.age(seconds) == said


def run(capsys: pytest.CaptureFixture[str], *arguments: Any) -> tuple[int, list[str], str]:
    """The exit code; of each printed line the first word, and its state where it has one; and what went to stderr."""
    code = main(["checkpoints", *map(str, arguments)])
    printed = capsys.readouterr()
    return code, printed.out.splitlines(), printed.err


def states(lines: list[str]) -> dict[str, str]:
    """From the table: of each checkpoint its state."""
    head = next(n for n, line in enumerate(lines) if line.startswith("name "))
    at = lines[head].index("state")
    return {line.split()[0]: line[at:] for line in lines[head + 2 :]}


def test_without_verify_good_ones_are_said_not_to_be_verified(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for step in (200, 100):
        save(tmp_path, f"c{step}", step)
    damage(tmp_path / "c100" / "arrays.safetensors")
    code, lines, err = run(capsys, tmp_path)
    assert (code, err, list(states(lines).items())) == (0, "", [("c100", "not verified"), ("c200", "not verified")])


def test_verify_reads_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for step in (100, 200):
        save(tmp_path, f"c{step}", step)
    assert run(capsys, tmp_path, "--verify")[0] == 0
    damage(tmp_path / "c100" / "arrays.safetensors")
    code, lines, _ = run(capsys, tmp_path, "--verify")
    assert (code, states(lines)) == (
        1,
        {
            "c100": "damaged: arrays.safetensors: it is not what was written (its SHA-256 is another)",
            "c200": "good",
        },
    )


def test_a_damaged_one_is_told_of_without_verify_where_its_sizes_show_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path, "c100", 100)
    (tmp_path / "c100" / "state.json").write_text("")
    code, lines, _ = run(capsys, tmp_path)
    assert (code, states(lines)["c100"][:45]) == (1, "damaged: state.json: it is 0 bytes long, and ")


def test_prune_deletes_and_says_what(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for step in (100, 200, 300):
        save(tmp_path, f"c{step}", step)
    damage(tmp_path / "c200" / "arrays.safetensors")
    code, lines, _ = run(capsys, tmp_path, "--prune", 1)
    assert (code, lines[:2], states(lines)) == (0, ["Deleted c100", "Deleted c200"], {"c300": "not verified"})
    assert os.listdir(tmp_path) == ["c300"]
    assert run(capsys, tmp_path, "--prune", 1)[1][0] == "Nothing to delete."


def test_one_checkpoint_can_be_looked_at_and_not_pruned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(tmp_path, "c100", 100)
    assert states(run(capsys, tmp_path / "c100", "--verify")[1]) == {"c100": "good"}
    code, lines, err = run(capsys, tmp_path / "c100", "--prune", 1)
    assert (code, lines, err) == (
        2,
        [],
        f"trainhooks checkpoints: '{tmp_path}/c100' is one checkpoint. Give the folder in which it lies.\n",
    )
    assert load_checkpoint(tmp_path / "c100")


def test_an_empty_folder_holds_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, tmp_path) == (0, [f"There are no checkpoints in {str(tmp_path)!r}."], "")


def test_a_folder_that_is_not_there_is_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, tmp_path / "x") == (2, [], f"trainhooks checkpoints: there is no folder '{tmp_path}/x'\n")


@pytest.mark.parametrize("keep", ["0", "-1", "two", "1.5"])
def test_how_many_to_keep_is_a_count_from_1(tmp_path: Path, capsys: pytest.CaptureFixture[str], keep: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["checkpoints", str(tmp_path), f"--prune={keep}"])
    assert caught.value.code == 2
    assert f"argument --prune: {keep!r} is no count from 1" in capsys.readouterr().err


def test_a_program_reads_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for step in (100, 200, 300):
        save(tmp_path, f"c{step}", step)
    damage(tmp_path / "c300" / "arrays.safetensors")
    code, lines, err = run(capsys, tmp_path, "--prune", 1, "--verify", "--json")
    told = json.loads("\n".join(lines))
    (good, bad) = told.pop("checkpoints")
    assert (code, err, told) == (1, "", {"folder": str(tmp_path), "deleted": ["c100"]})
    assert good.pop("size") > 8000
    assert good == {
        "name": "c200",
        "path": str(tmp_path / "c200"),
        "epoch": 2,
        "step": 200,
        "inside": None,
        "metrics": {"loss": 1 / 200},
        "saved_at": None,
        "state": "good",
        "problem": None,
    }
    assert (bad["name"], bad["state"], bad["problem"]) == (
        "c300",
        "damaged",
        "arrays.safetensors: it is not what was written (its SHA-256 is another)",
    )


def test_an_empty_folder_is_a_document_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, lines, err = run(capsys, tmp_path, "--json")
    assert (code, json.loads("\n".join(lines)), err) == (
        0,
        {"folder": str(tmp_path), "deleted": [], "checkpoints": []},
        "",
    )
