"""The pages of the callbacks: made from their docstrings, and those in docs/ are what the command prints."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import pytest

from trainhooks import Callback, callbacks, pages
from trainhooks.cli import main

DOCS = Path(__file__).parent.parent / "docs" / "callbacks"


class Beep(Callback):
    """Beep when ``monitor`` is high. It is loud.

    ::

        Beep("loss")

        Beep("val_loss", above=2.0)

    What it prints::

        beep beep

    ======= ===========
    above   how loud
    ======= ===========
    0.5     ``quiet``
    <more>  very loud,
    ======= ===========

    Args:
        monitor: key of the metric,
            in the logs.
        above: how high.

    After it: nothing.

    Raises:
        ValueError: ``above`` is NaN.
    """

    phase = "report"
    requires = {"lr"}

    def __init__(self, monitor: str, *, above: float = 1.0) -> None: ...


def test_a_page_is_the_signature_and_the_docstring_as_markdown() -> None:
    assert (
        pages.page(Beep)
        == """\
# Beep

```python
from trainhooks.callbacks import Beep

Beep(monitor, *, above=1.0)
```

Beep when `monitor` is high. It is loud.

```python
Beep("loss")

Beep("val_loss", above=2.0)
```

What it prints:

```text
beep beep
```

| above | how loud |
| --- | --- |
| 0.5 | `quiet` |
| \\<more> | very loud, |

**Arguments**

- `monitor`: key of the metric,
  in the logs.
- `above`: how high.

After it: nothing.

**Errors**

- `ValueError`: `above` is NaN.

**How it runs**

- Phase `report`: in each event it runs after those that decide, whose decisions it tells of.
- An exception in it ends training.
- Where several processes train, it runs in each.
- The trainer must have `lr`.
"""
    )
    assert pages.one_line(Beep) == "Beep when monitor is high"


@pytest.mark.parametrize("name", callbacks.__all__)
def test_each_argument_of_each_built_in_has_a_line_on_its_page(name: str) -> None:
    shown = pages.page(getattr(callbacks, name))
    heads = [line.partition("`: ")[0][3:] for line in shown.splitlines() if line.startswith("- `")]
    named = {one for head in heads for one in head.split(", ")}
    arguments = list(inspect.signature(getattr(callbacks, name)).parameters)
    assert [one for one in arguments if one not in named] == []


@pytest.mark.parametrize("name", callbacks.__all__)
def test_the_page_in_the_docs_is_the_one_that_the_command_prints(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["callbacks", name.lower()]) == 0
    written = (DOCS / f"{name}.md").read_text(encoding="utf-8")
    assert written == capsys.readouterr().out, "python -m trainhooks callbacks --write docs/callbacks"


def test_there_is_no_page_of_a_callback_that_is_gone() -> None:
    assert sorted(path.stem for path in DOCS.glob("*.md")) == sorted(callbacks.__all__)


@pytest.mark.parametrize(
    "name, told",
    [
        (
            "RemoteMonitor",
            [
                "- Phase `report`: in each event it runs after those that decide, whose decisions it tells of.",
                "- An exception in it: as its argument `on_error` says.",
                "- Where several processes train, it runs in the main one alone.",
            ],
        ),
        (
            "LambdaCallback",
            [
                "- Phase: as its argument `phase` says.",
                "- An exception in it: as its argument `on_error` says.",
                "- Where several processes train, it runs where its argument `ranks` says.",
            ],
        ),
        (
            "CSVLogger",
            [
                "- Phase `report`: in each event it runs after those that decide, whose decisions it tells of.",
                "- An exception in it is told once as a warning, and training goes on with it.",
                "- Where several processes train, it runs in the main one alone.",
            ],
        ),
    ],
)
def test_a_page_ends_with_how_it_runs_save_where_an_argument_says_so(name: str, told: list[str]) -> None:
    shown = pages.page(getattr(callbacks, name))
    assert shown.partition("**How it runs**\n\n")[2].splitlines() == told
    assert shown.splitlines()[3] == f"from trainhooks.callbacks import {name}"


def test_each_is_listed_with_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["callbacks"]) == 0
    lines = capsys.readouterr().out.splitlines()
    heads = [line for line in lines if not line.startswith(" ")]
    assert [line.split()[0] for line in heads] == callbacks.__all__
    assert [line for line in heads if len(line) > 100 or len(line.split()) < 4] == []


def test_a_program_reads_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["callbacks", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["callbacks"]
    assert [one["name"] for one in told] == callbacks.__all__
    assert main(["callbacks", "terminateonnan", "--json"]) == 0
    one = json.loads(capsys.readouterr().out)
    assert one == {
        "name": "TerminateOnNaN",
        "offered_by": "trainhooks",
        "plugin": None,
        "distribution": None,
        "summary": pages.one_line(callbacks.TerminateOnNaN),
        "signature": pages.signature(callbacks.TerminateOnNaN),
        "phase": "decide",
        "on_error": "raise",
        "ranks": "all",
        "requires": [],
        "page": pages.page(callbacks.TerminateOnNaN),
    }
    del one["page"]
    assert one in told


def test_a_name_that_is_none_is_told_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["callbacks", "ModelCheckpont"]) == 2
    assert capsys.readouterr().err == (
        "trainhooks callbacks: there is no callback 'ModelCheckpont'. Did you mean 'ModelCheckpoint'?\n"
    )


def test_the_pages_are_written_into_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["callbacks", "--write", str(tmp_path / "new")]) == 0
    files = [str(tmp_path / "new" / f"{name}.md") for name in callbacks.__all__]
    assert capsys.readouterr().out.splitlines() == files
    assert [path for path in files if not Path(path).read_text(encoding="utf-8").startswith("# ")] == []


def test_to_write_the_pages_is_of_no_one_callback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["callbacks", "Timer", "--write", str(tmp_path)]) == 2
    assert capsys.readouterr().err == "trainhooks callbacks: --write writes the page of each: leave out the name\n"
