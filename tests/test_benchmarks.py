"""The scripts in benchmarks/, as far as they measure nothing: what they are made of, and the table of what they say."""

from __future__ import annotations

import ast
import importlib
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # not installed: they are run from here

from benchmarks.__main__ import rows_of, scripts  # noqa: E402
from benchmarks.pairs import Row, Times, in_turn  # noqa: E402
from benchmarks.table import markdown  # noqa: E402

TREES = {file.stem: ast.parse(file.read_text()) for file in sorted((ROOT / "benchmarks").glob("*.py"))}
SHARED = {
    node.module for tree in TREES.values() for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level
}


@pytest.mark.parametrize("name", TREES)
def test_a_script_says_what_it_measures(name: str) -> None:
    assert ast.get_docstring(TREES[name])


def test_a_module_that_measures_nothing_is_there_for_others() -> None:
    assert set(TREES) - set(scripts()) <= SHARED | {"__init__", "__main__"}


@pytest.mark.parametrize("name", scripts())
def test_a_script_says_how_it_is_run(name: str) -> None:
    assert f"    python -m benchmarks.{name}" in (ast.get_docstring(TREES[name]) or "")


def test_the_table_shows_each_figure_with_its_spread_and_whether_its_goal_is_reached() -> None:
    rows = [
        Row("ours over a | theirs", 0.51234, 0.5, 0.525, goal=0.9, beside="66 ns over 125 ns"),
        Row("the same, slower", 1.0304, 1.02, 1.041, goal=1.03),
        Row("the same, slowest", 1.5, 1.0301, 1.6, goal=1.03),
        Row("theirs over ours", 61.3, 60, 62.5),
        Row("a batch", 1234.5, 1200.4, 1300, "ns", goal=80),
        Row("reads", 1, unit="reads", goal=1),
    ]
    assert (
        markdown([("one", row) for row in rows], "Measured somewhere.")
        == r"""Measured somewhere.

| script | what | figure | spread | goal | reached? | beside |
| --- | --- | --- | --- | --- | --- | --- |
| one | ours over a \| theirs | 0.512 | 0.500 to 0.525 | <= 0.900 | yes | 66 ns over 125 ns |
| one | the same, slower | 1.030 | 1.020 to 1.041 | <= 1.030 | within the spread | |
| one | the same, slowest | 1.500 | 1.030 to 1.600 | <= 1.030 | no | |
| one | theirs over ours | 61.300 | 60.000 to 62.500 | | | |
| one | a batch | 1,234 ns | 1,200 to 1,300 | <= 80 ns | no | |
| one | reads | 1 reads | | <= 1 reads | yes | |
"""
    )


def test_what_is_run_in_turn_takes_turns_at_being_first_and_at_following_whom() -> None:
    order: list[str] = []
    in_turn({name: lambda name=name: order.append(name) for name in "abc"}, rounds=3)  # type: ignore[misc]
    assert "".join(order) == "abc" + "cba" + "bca" + "bac"  # the first round does not count


def test_a_ratio_is_the_median_of_the_rounds_ratios_with_their_quartiles() -> None:
    def saying(*seconds: float) -> Callable[[], float]:
        return itertools.chain([1e9], seconds).__next__  # what the round that does not count gives is not used

    times = in_turn({"ours": saying(2.0, 6.0, 4.0, 30.0, 5.0), "theirs": saying(1.0, 2.0, 2.0, 10.0, 5.0)}, rounds=5)
    assert times.ratio("ours", "ours", "theirs", goal=2) == Row("ours", 2.0, 2.0, 3.0, goal=2)
    assert times.median("theirs") == 2


def test_a_cost_is_the_median_of_the_rounds_differences_for_each_of_so_many() -> None:
    times = Times({"ours": [4e-6, 6e-6, 9e-6], "theirs": [2e-6, 2e-6, 2e-6]})
    row = times.more("a batch", "ours", "theirs", per=10, goal=80)
    assert (row.value, row.low, row.high, row.unit) == (
        pytest.approx(400),
        pytest.approx(300),
        pytest.approx(550),
        "ns",
    )
    assert times.more("a run", "ours", "theirs", per=1, unit="ms").value == pytest.approx(4e-3)


def test_a_script_that_fails_is_told_of() -> None:
    with pytest.raises(subprocess.CalledProcessError):
        list(rows_of("no_such_script"))


@pytest.mark.parametrize(
    ("row", "reached"),
    [
        (Row("", 1.0), None),
        (Row("", 1.0, goal=1), True),
        (Row("", 1.1, goal=1), False),
        (Row("", 0.9, 0.8, 1.0, goal=1), True),
        (Row("", 0.9, 0.8, 1.1, goal=1), "within the spread"),
        (Row("", 1.1, 1.0, 1.2, goal=1), "within the spread"),
        (Row("", 1.2, 1.1, 1.3, goal=1), False),
    ],
)
def test_a_goal_is_reached_or_missed_only_where_both_quartiles_say_so(row: Row, reached: object) -> None:
    assert row.reached == reached


@pytest.mark.parametrize(
    ("script", "framework"),
    [("torch_loop", "torch"), ("jax_loop", "jax"), ("snapshots", "torch"), ("snapshots", "jax")],
)
def test_a_framework_that_is_missing_is_told_of_in_a_line(
    script: str, framework: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in {"torch", "jax"} if script == "snapshots" else {framework}:
        monkeypatch.setitem(sys.modules, name, None)
    assert list(importlib.import_module(f"benchmarks.{script}").rows()) == []
    lines = capsys.readouterr().err.splitlines()
    assert f"{framework} is not installed: not measured" in lines


def test_a_file_that_cannot_be_written_is_told_of_before_anything_runs(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "imports", "--write", str(tmp_path / "missing" / "RESULTS.md")]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "cannot be written: No such file or directory" in ended.stderr


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C for a group of processes is POSIX's")
def test_what_was_found_before_ctrl_c_is_written(tmp_path: Path) -> None:
    file = tmp_path / "RESULTS.md"
    command = [sys.executable, "-m", "benchmarks", "device_reads", "imports", "--write", str(file)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if line == "imports\n":
                os.killpg(child.pid, signal.SIGINT)
    assert child.returncode == 1
    text = file.read_text()
    assert text.endswith("not measured to the end: imports.\n")
    assert "| script | what |" in text
