"""The scripts in benchmarks/, as far as they measure nothing: what they are made of, and the table of what they say."""

from __future__ import annotations

import ast
import itertools
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
        Row("theirs over ours", 61.3, 60, 62.5),
        Row("a batch", 1234.5, 1200.4, 1300, "ns", goal=80),
        Row("reads", 1, unit="reads", goal=1),
    ]
    assert (
        markdown(rows, "Measured somewhere.")
        == r"""Measured somewhere.

| what | figure | spread | goal | reached? | beside |
| --- | --- | --- | --- | --- | --- |
| ours over a \| theirs | 0.512 | 0.500 to 0.525 | <= 0.900 | yes | 66 ns over 125 ns |
| the same, slower | 1.030 | 1.020 to 1.041 | <= 1.030 | no | |
| theirs over ours | 61.300 | 60.000 to 62.500 | | | |
| a batch | 1,234 ns | 1,200 to 1,300 | <= 80 ns | no | |
| reads | 1 reads | | <= 1 reads | yes | |
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
