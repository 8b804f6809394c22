"""The pages in docs/: their scripts run, their links lead somewhere, and the kit's rules point at what is there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from trainhooks.testing.adapter_rules import ADAPTER_RULES
from trainhooks.testing.callback_rules import CALLBACK_RULES, REFUSED
from trainhooks.testing.rules import Rule

ROOT = Path(__file__).parent.parent
PAGES = ["write-a-callback.md", "write-an-adapter.md", "publish-a-plugin.md"]
MADE = "frameworks.md"
"""Written by tests/frameworks.py, and as long as it is."""
TWO_SCREENS = 110
WITH_A_WHOLE_PROGRAM = 165
"""Of the page that walks through one, and is under two screens without it."""


def text(page: str) -> str:
    return (ROOT / "docs" / page).read_text(encoding="utf-8")


def without_code(page: str) -> str:
    return re.sub(r"```.*?```", "", text(page), flags=re.DOTALL)


def anchors(page: str) -> set[str]:
    """The headings, as GitHub makes links of them."""
    headings = re.findall(r"^#+ (.+)$", without_code(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def rules() -> Iterator[Rule[object]]:
    for one in (CALLBACK_RULES, REFUSED, ADAPTER_RULES):
        yield from one  # type: ignore[misc]


def test_there_are_these_pages() -> None:
    assert sorted(path.name for path in (ROOT / "docs").glob("*.md")) == sorted([*PAGES, MADE])


@pytest.mark.parametrize("page", PAGES)
def test_the_blocks_of_a_page_are_one_script_and_its_tests_pass(page: str, tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", text(page), re.DOTALL)
    script = "\n".join(blocks)
    (tmp_path / "test_page.py").write_text(script, encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "TRAINHOOKS"))}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_page.py"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", cwd=tmp_path, env=environment, check=False)
    assert blocks
    has_tests = re.search(r"^(def test_|test_\w+ = )", script, re.MULTILINE) is not None
    assert done.returncode == (0 if has_tests else 5), done.stdout + done.stderr  # 5: no test was there to be run
    if has_tests:
        assert re.search(r"^\d+ passed in", done.stdout, re.MULTILINE), done.stdout


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_under_two_screens(page: str) -> None:
    is_a_walk = page == "write-an-adapter.md"
    assert (without_code(page) if is_a_walk else text(page)).count("\n") <= TWO_SCREENS
    assert text(page).count("\n") <= WITH_A_WHOLE_PROGRAM


@pytest.mark.parametrize("page", [*PAGES, MADE])
def test_links_lead_somewhere(page: str) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", without_code(page))
    wrong = []
    for link in links:
        file, _, anchor = link.partition("#")
        if "://" in link:
            continue
        if not (ROOT / "docs" / file).exists() or (anchor and anchor not in anchors(file or page)):
            wrong.append(link)
    assert wrong == []


def test_each_rule_of_the_kit_is_told_under_a_heading_of_its_page() -> None:
    wrong = []
    for rule in rules():
        page, _, anchor = rule.page.removeprefix("docs/").partition("#")
        if page not in PAGES or (anchor and anchor not in anchors(page)):
            wrong.append(f"{rule.name}: {rule.page}")
    assert wrong == []


def test_the_table_of_hooks_is_whole() -> None:
    from trainhooks import plugins

    assert re.findall(r"^\| `(trainhooks_\w+)\(", text("publish-a-plugin.md"), re.MULTILINE) == list(plugins.HOOKS)
