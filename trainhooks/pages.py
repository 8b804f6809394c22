"""A page of documentation for each callback, made from its signature and its docstring."""

from __future__ import annotations

import ast
import inspect
import itertools
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from . import callbacks
from .callback import Callback
from .errors import did_you_mean, listing

_SECTIONS: Final = {"Args:": "Arguments", "Attributes:": "Attributes", "Raises:": "Errors", "Returns:": "Returns"}


def built_ins() -> dict[str, type[Callback]]:
    """The callbacks that come with trainhooks, by name."""
    return {name: getattr(callbacks, name) for name in callbacks.__all__}


def find(name: str) -> type[Callback]:
    """The callback of that name; small letters will do.

    Raises:
        ValueError: there is none.
    """
    known = built_ins()
    for one in known:
        if one.lower() == name.lower():
            return known[one]
    near = did_you_mean(name, known) or f" There are {listing(known)}."
    raise ValueError(f"there is no callback {name!r}.{near}")


def one_line(callback: type[Callback]) -> str:
    """What it does: the first sentence of its docstring."""
    paragraph = " ".join((inspect.getdoc(callback) or "").partition("\n\n")[0].split())
    sentence = re.split(r"(?<=[.:;])\s", paragraph)[0]
    return sentence.rstrip(".:;").replace("``", "")


def page(callback: type[Callback]) -> str:
    """Its page, as Markdown."""
    lines = (inspect.getdoc(callback) or "").splitlines()
    needs = [f"`{need}`" for need in sorted(callback.requires)]
    facts = [f"phase `{callback.phase}`", f"an exception in it: `{callback.on_error}`"]
    if needs:
        facts.append(f"needs {', '.join(needs)}")
    parts = [f"# {callback.__name__}", "", "```python", _signature(callback), "```", "", *_markdown(lines), ""]
    return "\n".join([*parts, f"*{'; '.join(facts)}.*".replace("*phase", "*Phase"), ""])


def write(folder: Path) -> list[Path]:
    """Write the page of each built-in into ``folder``; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, callback in built_ins().items():
        file = folder / f"{name}.md"
        file.write_text(page(callback), encoding="utf-8")
        files.append(file)
    return files


def _signature(callback: type[Callback]) -> str:
    parameters = [
        one.replace(annotation=inspect.Parameter.empty)
        for name, one in inspect.signature(callback.__init__).parameters.items()
        if name != "self"
    ]
    short = f"{callback.__name__}{inspect.Signature(parameters)}".replace("'", '"')
    if len(short) <= 88:
        return short
    shown = ([] if one == "/" else [f"    {one},"] for one in _shown(parameters))
    return "\n".join([f"{callback.__name__}(", *(line for lines in shown for line in lines), ")"])


def _shown(parameters: list[inspect.Parameter]) -> Iterator[str]:
    starred = False
    for one in parameters:
        if one.kind is one.KEYWORD_ONLY and not starred:
            yield "*"
        starred = starred or one.kind in (one.KEYWORD_ONLY, one.VAR_POSITIONAL)
        yield str(one).replace("'", '"')


def _markdown(lines: list[str]) -> Iterator[str]:
    """A docstring in Markdown: its sections as lists, its examples fenced."""
    section = fenced = False
    columns: list[slice] = []
    """Of the table that a rule of ``=`` has begun."""
    for number, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        if fenced and line and not indent:
            fenced = False
            yield "```"
            yield ""
        if line.startswith("==="):
            columns = columns or [slice(*one.span()) for one in re.finditer("=+", line)]
            columns[-1] = slice(columns[-1].start, None)
            continue
        if columns and line:
            yield f"| {' | '.join(_cell(line[column]) for column in columns)} |"
            if lines[number - 1].startswith("===") and lines[number + 1].startswith("==="):
                yield "|" + " --- |" * len(columns)
            continue
        columns = []
        if line in _SECTIONS:
            section = True
            yield f"**{_SECTIONS[line]}**"
            yield ""
        elif section and line and not indent:
            section = False
            yield _code(line)
        elif section and indent == 4:
            name, colon, text = line.strip().partition(": ")
            yield f"- `{name}`: {_code(text)}" if colon else f"- {_code(line.strip())}"
        elif section and line:
            yield f"  {_code(line.strip())}"
        elif fenced:
            if line or _goes_on(lines, number):
                yield line[4:]
        elif line.endswith("::"):
            fenced = True
            if line != "::":
                yield _code(line[:-1])
                yield ""
            yield f"```{_language(lines[number + 1 :])}"
        else:
            yield _code(line)
    if fenced:
        yield "```"


def _goes_on(lines: list[str], number: int) -> bool:
    """Whether the example has more lines after this empty one; the one right after its begin is none of it."""
    if lines[number - 1].endswith("::"):
        return False
    after = next((line for line in lines[number:] if line), "")
    return after.startswith("    ")


def _cell(text: str) -> str:
    return _code(text.strip()).replace("<", "\\<")  # an HTML tag, otherwise


def _language(rest: list[str]) -> str:
    """What the example that ``rest`` begins with is written in."""
    block = itertools.takewhile(lambda line: not line or line.startswith("    "), rest)
    try:
        ast.parse(textwrap.dedent("\n".join(block)))
    except SyntaxError:
        return "text"
    return "python"


def _code(line: str) -> str:
    return line.replace("``", "`")
