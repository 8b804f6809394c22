"""What all commands share in talking to a terminal, a file or a program."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any, Final, Literal

WIDTH: Final = 100
"""Columns that a line has, where it can be kept to them; a narrower terminal counts."""
_NARROWEST: Final = 24
"""Columns that the last cell of a row has at least; where they are not there it stands below the others."""

Kind = Literal["title", "good", "bad", "off"]
_CODES: Final[dict[Kind, str]] = {"title": "1", "good": "32", "bad": "31", "off": "2"}


class Mistake(Exception):  # noqa: N818 - it is no error of ours
    """What was asked cannot be: exit code 2, and its text on stderr."""


def say(text: str = "") -> None:
    """Print to stdout; what its encoding has not is written as an escape."""
    if sys.stdout is None:  # closed by whoever started this process
        return
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")


def complain(who: str, text: str) -> None:
    """Print to stderr, who it is first."""
    aside(f"{who}: {text}")


def aside(text: str) -> None:
    """Print to stderr."""
    if sys.stderr is not None:  # print would take stdout instead
        print(text, file=sys.stderr)


_reserved: list[IO[str] | None] = []
"""The stdout that is kept for the document."""


@contextlib.contextmanager
def reserved() -> Iterator[None]:
    """Keep stdout for ``document``: what a plugin or a framework prints meanwhile goes to stderr."""
    _reserved.append(sys.stdout)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        _reserved.pop()


def document(value: Mapping[str, Any] | Sequence[Any]) -> None:
    """Print one JSON document: in ASCII and valid, whatever is in it (NaN is the string ``"NaN"``)."""
    import json

    from ..callbacks._json import plain

    text = json.dumps(plain(value), allow_nan=False, indent=2)
    with contextlib.redirect_stdout(_reserved[-1] if _reserved else sys.stdout):
        say(text)


def has_colours(stream: IO[str] | None, environment: Mapping[str, str]) -> bool:
    """Whether to colour what is printed: in a terminal, unless ``NO_COLOR`` or ``TERM=dumb``; with ``FORCE_COLOR`` too.

    As https://no-color.org has it, an empty ``NO_COLOR`` says nothing.
    """
    if environment.get("NO_COLOR"):
        return False
    if environment.get("FORCE_COLOR"):
        return True
    return environment.get("TERM") != "dumb" and stream is not None and stream.isatty()


def painted(text: str, kind: Kind) -> str:
    """The text in its colour, where there are any."""
    return f"\x1b[{_CODES[kind]}m{text}\x1b[0m" if text and has_colours(sys.stdout, os.environ) else text


def title(text: str, kind: Kind = "title") -> None:
    """Print a heading: lines that fit, in their colour."""
    for line in wrapped(text):
        say(painted(line, kind))


def width() -> int:
    """Columns to keep to: 100, and no more than the terminal has."""
    return min(WIDTH, max(40, shutil.get_terminal_size((WIDTH, 24)).columns))


def wrapped(text: str, *, first: str = "", indent: str | None = None) -> list[str]:
    """The text in lines that fit; ``indent`` stands before all but the first, by default as wide as ``first``."""
    later = " " * len(first) if indent is None else indent
    return textwrap.wrap(
        text,
        max(width(), len(later) + _NARROWEST),
        initial_indent=first,
        subsequent_indent=later,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [first.rstrip()]


def aligned(rows: Sequence[Sequence[str]], *, indent: str = "", kinds: Mapping[str, Kind] | None = None) -> list[str]:
    """Rows under one another; the last cell of each is wrapped, in a narrow terminal below the others.

    Args:
        rows: of cells, equally many in each.
        indent: before each line.
        kinds: how to paint a cell, not the last one, that is just this text.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:-1]
    start = len(indent) + sum(widths) + 2 * len(widths)
    lines = []
    for *cells, last in rows:
        shown = indent
        for cell, wide in zip(cells, widths, strict=True):
            kind = (kinds or {}).get(cell)
            shown += (painted(cell, kind) if kind else cell) + " " * (wide - len(cell) + 2)
        if start + min(len(last), _NARROWEST) > width():
            lines += [shown.rstrip(), *wrapped(last, first=f"{indent}    ")]
        else:
            head, *rest = wrapped(last, first=" " * start)
            lines += [(shown + head[start:]).rstrip(), *rest]
    return lines
