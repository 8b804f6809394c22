"""The pages of the callbacks: made from their docstrings, and those in docs/ are what the command prints."""

from __future__ import annotations

import inspect
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

*Phase `report`; an exception in it: `raise`; needs `lr`.*
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


def test_the_list_has_one_line_for_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["callbacks"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == callbacks.__all__
    assert [line for line in lines if len(line) > 130 or len(line.split()) < 4] == []


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
