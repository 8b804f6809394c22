"""The tables of what works under which trainer: made of the kit's runs, and still what the adapters and doctor say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import frameworks
import frameworks_table as table
import pytest
from cli_plugins import trainhooks
from own_plugins import SERVED

from trainhooks.commands import tested
from trainhooks.testing.adapter_rules import ADAPTER_RULES
from trainhooks.testing.survey import Abilities
from trainhooks.trainable import CAPABILITIES, Trainable

RELEASES = table.load()
NEWEST = {variant: some[0] for variant, some in table.by_variant(RELEASES).items()}
HERE = [variant for variant in frameworks.served() if not variant.startswith("keras-")]
"""Keras has a process for each backend, in which ``keras_cases/case_frameworks.py`` asks the same."""


@pytest.mark.parametrize("path", table.rendered(RELEASES), ids=lambda path: path.name)
def test_what_is_made_of_the_files_is_up_to_date(path: Path) -> None:
    made = table.rendered(RELEASES)[path]
    assert path.read_text(encoding="utf-8") == made, f"do not edit what is made: {table.COMMAND}"


@pytest.mark.parametrize("variant", frameworks.served())
def test_each_framework_that_is_served_was_tested(variant: str) -> None:
    assert variant in NEWEST, f"python tests/frameworks.py {variant} --write --table"


def test_the_frameworks_that_are_served_are_those_of_the_adapters() -> None:
    assert {frameworks.name_of(variant)[0] for variant in frameworks.served()} == {"numpy", *SERVED}


@pytest.mark.parametrize("variant", NEWEST)
def test_the_newest_release_was_held_to_the_rules_of_now(variant: str) -> None:
    newest = NEWEST[variant]
    assert sorted([*newest["held"], *newest["left_out"]]) == sorted(rule.name for rule in ADAPTER_RULES)
    assert list(newest["capabilities"]) == list(CAPABILITIES)


def test_each_file_is_called_as_what_is_in_it() -> None:
    assert sorted(path.name for path in table.FOLDER.iterdir()) == sorted(map(table.file_name, RELEASES))


@pytest.mark.parametrize("variant", HERE)
def test_an_adapter_says_what_the_table_says(variant: str) -> None:
    try:
        assert frameworks.disagreements(variant) == [], f"python tests/frameworks.py {variant} --write --table"
    except frameworks.AbsentError as absent:
        pytest.skip(f"{variant}: {absent}")


def test_doctor_says_that_a_trainer_lacks_what_is_blank_in_the_table(tmp_path: Path) -> None:
    said = json.loads(trainhooks(tmp_path, "doctor", "--json", KERAS_BACKEND="torch").stdout)["trainers"]
    by_name = {one["framework"]: sorted(one["lacks"]) for one in said}
    blank = {
        variant: sorted(need for need in table.lacks(newest) if need not in newest["conditional"])
        for variant, newest in NEWEST.items()
    }
    assert {variant: by_name.get(frameworks.name_of(variant)[0]) for variant in blank} == blank


def test_each_capability_is_explained_and_the_short_table_shows_some_of_them() -> None:
    assert set(table.MEANS) == set(CAPABILITIES)
    assert set(table.SHORT) < set(CAPABILITIES)


def test_what_was_not_yet_asked_is_neither_offered_nor_lacking() -> None:
    release = {"capabilities": {"lr": None, "read_lr": None}, "conditional": [], "formats": {}}
    assert [table.cell(release, need) for need in ("lr", "graph")] == ["●", "?"]


def test_a_learning_rate_that_can_only_be_read_is_told_apart() -> None:
    release = {"capabilities": {"lr": "no.", "read_lr": None, "graph": "no."}, "conditional": ["graph"], "formats": {}}
    assert [table.cell(release, need) for need in ("lr", "graph")] == ["read", "○"]


def made(version: str, **lacks: str) -> dict[str, Any]:
    """One file."""
    capabilities: dict[str, str | None] = {need: lacks.get(need) for need in CAPABILITIES}
    about: dict[str, Any] = {"name": "mine", "kind": None, "version": version, "python": "3.11", "owns_loop": False}
    about |= {"beside": {}, "conditional": [], "formats": {}, "held": [], "left_out": {}}
    return about | {"capabilities": capabilities}


def test_what_an_older_release_lacks_is_told_with_the_release() -> None:
    text = table.page([made("2.10", graph="no graph."), made("2.9", graph="no graph.", lr="no rate.")])
    assert "| mine | 2.9, 2.10 |" in text
    assert text.endswith("Lacking:\n\n- `graph`: no graph.\n- `lr` (in 2.9): no rate.\n")


# Refusing to write


class Odd(Trainable):
    framework = "odd"

    def missing(self, need: str) -> str | None:
        return "never." if need == "end_epoch" else super().missing(need)


def test_an_adapter_that_contradicts_itself_is_not_written_down() -> None:
    said = Abilities("strange", Odd, dict.fromkeys(CAPABILITIES), {}, False)
    first, *others = frameworks.problems("odd", said)
    assert first == "run.framework is 'strange', and it is served as 'odd'"
    assert "Odd lacks 'end_epoch' without any object (never.), and has it in a run" in others


def test_a_broken_rule_is_not_written_down(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "adapters").mkdir()
    module = "from trainhooks.testing import Bench, check_adapter\ntest_numpy = check_adapter(Bench)\n"
    (tmp_path / "adapters" / "test_numpy_conformance.py").write_text(module)
    assert frameworks.look("numpy", tmp_path / "written", tests=tmp_path) == 1
    assert "Bench breaks 'bench-returns'" in capsys.readouterr().out
    assert not (tmp_path / "written").exists()


# What doctor tells of the release that is there


@pytest.mark.parametrize(
    "there, said",
    [
        (None, "tested with 2.9, 2.10"),
        ("2.9", "tested with 2.9, 2.10"),
        ("2.10+cpu", "tested with 2.9, 2.10"),
        ("2.11", "newer than those tested, 2.9, 2.10"),
        ("2.8.3", "older than those tested, 2.9, 2.10"),
        ("?", "tested with 2.9, 2.10"),
    ],
)
def test_a_release_that_lies_outside_of_those_tested_is_told(there: str | None, said: str) -> None:
    assert tested.in_words(["2.9", "2.10"], there) == said
    assert tested.in_words([], there) == ""
