"""The README is run: its first script on every Keras backend, its other blocks in order; its figures are looked up."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import trainhooks
from trainhooks.testing.adapter_rules import ADAPTER_RULES
from trainhooks.testing.callback_rules import CALLBACK_RULES

README = Path(__file__).parent.parent / "README.md"
TEXT = README.read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
FIRST, SAME, NATIVE, OTHERS, REST = BLOCKS[0], BLOCKS[1], BLOCKS[2], BLOCKS[3:-1], BLOCKS[-1]


def run_script(script: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
        check=False,
    )


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_the_first_script_runs_and_each_trainer_is_stopped_by_the_same_object(backend: str, tmp_path: Path) -> None:
    for needed in ("keras", "torch", backend):
        if find_spec(needed) is None:
            pytest.skip(f"{needed} is not installed")
    done = run_script(REST + FIRST + SAME + NATIVE, tmp_path, KERAS_BACKEND=backend)
    assert done.returncode == 0, done.stderr
    line = r"^(\w+): stopped after epoch (\d+), val_loss has not improved on \S+ of epoch (\d+) for 3 checks$"
    said = re.findall(line, done.stdout, re.MULTILINE)
    assert done.stdout.splitlines()[-1] == "completed"
    assert [framework for framework, _, _ in said] == ["keras", "torch", "numpy"]
    assert [int(stopped) - int(best) for _, stopped, best in said] == [3, 3, 3]


def test_what_the_first_script_prints_has_the_shape_that_the_readme_shows() -> None:
    shown = re.search(r"```text\n(.*?)```", TEXT, re.DOTALL)
    assert shown is not None
    lines = shown[1].splitlines()
    assert [line.split(":")[0] for line in lines] == ["keras", "torch", "numpy"]
    assert all(re.search(r": stopped after epoch \d+, val_loss has not improved on", line) for line in lines)


def test_the_other_blocks_run_in_order(tmp_path: Path) -> None:
    done = run_script("\n".join(OTHERS), tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Typo.on_epoch_ends: there is no such event. Did you mean 'on_epoch_end'?" in done.stdout
    assert "epoch 0: {'loss': 0.5}" in done.stdout
    shown = re.search(r"# (\[0\. .*\])$", TEXT, re.MULTILINE)
    assert shown is not None and shown[1] in done.stdout


def test_the_line_of_callbacks_is_that_of_every_example() -> None:
    here = ast.unparse(ast.parse(SAME).body[-1])
    examples = sorted(README.parent.glob("examples/with_*.py"))
    theirs = [map(ast.unparse, ast.parse(one.read_text(encoding="utf-8")).body) for one in examples]
    assert [one.name for one, lines in zip(examples, theirs, strict=True) if here not in lines] == []
    assert sorted(set(re.findall(r"\(examples/(with_\w+\.py)\)", TEXT))) == [one.name for one in examples]


def test_code_stands_before_line_15() -> None:
    assert TEXT[: TEXT.index("```python")].count("\n") < 15


def test_it_says_how_many_rules_there_are() -> None:
    told = [int(number) for number in re.findall(r"(\d+) rules", TEXT)]
    assert told == [len(CALLBACK_RULES), len(CALLBACK_RULES), len(ADAPTER_RULES)]


def test_the_version_is_the_packages() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", trainhooks.__version__)


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def test_each_figure_that_the_readme_quotes_was_written_by_the_benchmarks() -> None:
    results = (README.parent / "benchmarks" / "RESULTS.md").read_text(encoding="utf-8")
    written = [cells(line)[1:5] for line in results.splitlines() if line.startswith("| ")]
    section = TEXT[TEXT.index("\n## How fast") : TEXT.index("\n### Where the time goes")]
    quoted = [cells(line) for line in section.splitlines() if line.startswith("| ")]
    assert quoted[0] == written[0]
    assert [row for row in quoted if row not in written] == []
    assert len(quoted) > 10
    (date,) = re.findall(r"\d{4}-\d\d-\d\d", results.splitlines()[0])
    assert date in section
