"""A page of documentation for each callback, made from its signature and its docstring."""

from __future__ import annotations

import ast
import inspect
import itertools
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from . import callbacks
from .callback import Callback

_PHASES: Final = {
    "observe": "in each event it runs first",
    "decide": "in each event it runs after those that observe",
    "report": "in each event it runs after those that decide, whose decisions it tells of",
    "save": "in each event it runs last, so that what it writes holds the decisions of the others",
}
_ON_ERROR: Final = {
    "raise": "ends training",
    "warn": "is told once as a warning, and training goes on with it",
    "disable": "is told as a warning, and training goes on without it",
}
_RANKS: Final = {"main": "in the main one alone", "all": "in each"}
_SECTIONS: Final = {"Args:": "Arguments", "Attributes:": "Attributes", "Raises:": "Errors", "Returns:": "Returns"}


def built_ins() -> dict[str, type[Callback]]:
    """The callbacks that come with trainhooks, by name."""
    return {name: getattr(callbacks, name) for name in callbacks.__all__}


def one_line(callback: Callable[..., Any]) -> str:
    """What it does: the first sentence of its docstring."""
    paragraph = " ".join(_docstring(callback).partition("\n\n")[0].split())
    sentence = re.split(r"(?<=[.:;])\s", paragraph)[0]
    return sentence.rstrip(".:;").replace("``", "")


def page(callback: Callable[..., Any], name: str | None = None, offered_by: str = "") -> str:
    """Its page, as Markdown.

    Args:
        callback: a class, or a function that makes one.
        name: by which it is asked for; by default its own.
        offered_by: who offers it, in words; empty for what comes with trainhooks.
    """
    own = str(getattr(callback, "__name__", type(callback).__name__))
    called = signature(callback)
    module = "trainhooks.callbacks" if not offered_by else _importable(callback)
    code = [f"from {module} import {own}", "", called] if module else [called]
    parts = [f"# {name or own}", "", "```python", *code, "```", "", *_markdown(_docstring(callback).splitlines())]
    facts = list(_facts(callback))
    if offered_by:
        facts.insert(0, f'Offered by {offered_by}: `trainhooks.callbacks.make("{name or own}", ...)`.')
    if facts:
        parts += ["", "**How it runs**", "", *(f"- {fact}" for fact in facts)]
    return "\n".join(parts).rstrip() + "\n"


def settings(callback: Callable[..., Any]) -> dict[str, Any]:
    """Its ``phase``, ``on_error``, ``ranks`` and ``requires``; None for what an argument says, or a function makes."""
    names = ("phase", "on_error", "ranks", "requires")
    if not isinstance(callback, type):
        return dict.fromkeys(names)
    arguments = _parameters(callback)
    told: dict[str, Any] = {name: None if name in arguments else getattr(callback, name, None) for name in names}
    if told["requires"] is not None:
        needs = told["requires"]
        told["requires"] = [needs] if isinstance(needs, str) else sorted(needs)
    return told


def _facts(callback: Callable[..., Any]) -> Iterator[str]:
    told = settings(callback)
    if not isinstance(callback, type):
        return
    if told["phase"] is None:
        yield "Phase: as its argument `phase` says."
    else:
        yield f"Phase `{told['phase']}`: {_PHASES.get(told['phase'], 'there is none of that name')}."
    if told["on_error"] is None:
        yield "An exception in it: as its argument `on_error` says."
    else:
        yield f"An exception in it {_ON_ERROR.get(told['on_error'], 'is dealt with in no known way')}."
    if told["ranks"] is None:
        yield "Where several processes train, it runs where its argument `ranks` says."
    else:
        yield f"Where several processes train, it runs {_RANKS.get(told['ranks'], 'nowhere')}."
    if told["requires"]:
        yield f"The trainer must have {' and '.join(f'`{need}`' for need in told['requires'])}."


def _docstring(callback: Callable[..., Any]) -> str:
    """Its own: an object that is called has that of its class, which tells of no callback."""
    return inspect.getdoc(callback) or "" if hasattr(callback, "__name__") else ""


def _importable(callback: Callable[..., Any]) -> str | None:
    """The module from which its name gives it."""
    module, name = getattr(callback, "__module__", None), getattr(callback, "__name__", "")
    return module if getattr(sys.modules.get(module or ""), name, None) is callback else None


def write(folder: Path) -> list[Path]:
    """Write the page of each built-in into ``folder``; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, callback in built_ins().items():
        file = folder / f"{name}.md"
        file.write_text(page(callback), encoding="utf-8")
        files.append(file)
    return files


def signature(callback: Callable[..., Any]) -> str:
    """How it is called, over several lines where it is long."""
    name = getattr(callback, "__name__", type(callback).__name__)
    parameters = [one.replace(annotation=inspect.Parameter.empty) for one in _parameters(callback).values()]
    short = f"{name}{inspect.Signature(parameters)}".replace("'", '"')
    if len(short) <= 88:
        return short
    shown = ([] if one == "/" else [f"    {one},"] for one in _shown(parameters))
    return "\n".join([f"{name}(", *(line for lines in shown for line in lines), ")"])


def _parameters(callback: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    try:
        found = inspect.signature(callback.__init__ if isinstance(callback, type) else callback).parameters  # type: ignore[misc]
    except (TypeError, ValueError):  # what is written in C has none
        return {}
    return {name: one for name, one in found.items() if name != "self"}


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
