"""``trainhooks plugins``: what is installed, what each offers, and what failed."""

from __future__ import annotations

import os
import warnings
from argparse import Namespace
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from .. import callbacks, plugins
from ..selection import Selection, unknown
from .console import Kind, Mistake, aligned, document, say, title, wrapped
from .trial import attached

_KINDS: Final[dict[str, Kind]] = {"ok": "good", "failed": "bad", "off": "off", "status": "title", "name": "title"}
_HEAD: Final = ("name", "distribution", "version", "status", "offers")
_NAMED: Final = ("callbacks", "frameworks", "events", "demos")


@dataclass
class Listed:
    """A plugin and what it offers, by name; ``refused`` says why a numpy model is refused what it attaches."""

    row: plugins.Row
    named: dict[str, list[str]] = field(default_factory=lambda: {what: [] for what in _NAMED})
    refused: list[str] = field(default_factory=list)

    @property
    def label(self) -> str:
        """As messages call it."""
        return f"plugin {self.row.name!r} of {self.row.distribution} {self.row.version}".rstrip()

    @property
    def attaches(self) -> bool:
        """Whether it attaches callbacks by itself."""
        return "trainhooks_attach" in self.row.offers

    def offers(self) -> str:
        """What it offers, in words."""
        callbacks, served, events, demos = (self.named[what] for what in _NAMED)
        said = [
            _counted("callback", callbacks),
            f"adapter for {', '.join(served)}" if served else "",
            "" if served or "trainhooks_adapter" not in self.row.offers else "adapter",
            "attaches itself" if self.attaches else "",
            *(f"not to a numpy model: {_clause(one)}" for one in self.refused),
            _counted("event", events),
            f"demo of {', '.join(demos)}" if demos else "",
        ]
        return "; ".join(one for one in said if one) or "-"

    def document(self) -> dict[str, Any]:
        """It for a program."""
        row = self.row
        return {
            "name": row.name,
            "distribution": row.distribution,
            "version": row.version,
            "status": row.status,
            "hooks": list(row.offers),
            **self.named,
            "attaches": self.attaches,
            "refused": self.refused,
            "errors": list(row.errors),
        }


def run(asked: Namespace) -> int:
    """List them; 1 where one failed, or ``TRAINHOOKS_PLUGINS`` names one that is not there."""
    environment = os.environ.get(plugins.VARIABLE)
    try:
        listed = every(asked.plugins)
    except ValueError as error:
        raise Mistake(str(error)) from error
    problem = problem_of_selection(environment, [one.row.name for one in listed])
    if asked.json:
        rows = [one.document() for one in listed]
        document({"selection": asked.plugins, "environment": environment, "problem": problem, "plugins": rows})
    else:
        _print(listed)
        if environment is not None:
            say()
            say(f"{plugins.VARIABLE}={environment} is set.")
        if problem:
            title(problem, "bad")
    return 1 if problem or any(one.row.status == "failed" for one in listed) else 0


def every(selection: str | None = None) -> list[Listed]:
    """Every plugin with what it offers; each is loaded and asked.

    Raises:
        ValueError: ``selection`` or the environment cannot be read, or ``selection`` names one that is not there.
    """
    hooks = {"callbacks": "trainhooks_callbacks", "frameworks": "trainhooks_frameworks", "demos": "trainhooks_demos"}
    named: dict[str, dict[str, list[str]]] = {}

    def offer(plugin: plugins.Plugin, what: str, names: Iterable[str]) -> None:
        named.setdefault(plugin.name, {one: [] for one in _NAMED})[what] = list(names)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # what fails stands in the rows
        for what, hook in hooks.items():
            for plugin, answer in plugins.ask(hook, selection):
                offer(plugin, what, answer)
        for plugin, events in plugins.ask("trainhooks_events", selection):
            offer(plugin, "events", [one.name for one in events])
        if selection is None:
            callbacks.names()  # reports a name that is taken
        refused = attached(selection)
        rows = plugins.rows(selection)
    listed = [Listed(row, named[row.name]) if row.name in named and row.offers else Listed(row) for row in rows]
    for one in listed:
        one.refused += refused.get(one.label, [])
    return listed


def problem_of_selection(environment: str | None, known: Iterable[str]) -> str | None:
    """What is wrong with ``TRAINHOOKS_PLUGINS``, as a sentence; None for nothing."""
    try:
        chosen = Selection.parse(environment, plugins.VARIABLE)
    except ValueError as error:
        return f"{error}."
    strange = unknown(chosen.wanted | chosen.but, known)
    return None if strange is None else f"{plugins.VARIABLE}={environment!r}: {strange}"


def _print(listed: list[Listed]) -> None:
    if not listed:
        say("There are no plugins.")
        return
    rows = [_HEAD, *((o.row.name, o.row.distribution, o.row.version, o.row.status, o.offers()) for o in listed)]
    for line in aligned(rows, kinds=_KINDS):
        say(line)
    for one in listed:
        if one.row.errors:
            say()
            title(one.label, "bad")
        for error in one.row.errors:
            for line in error.splitlines() or [""]:
                for part in wrapped(line, first="  "):
                    say(part)


def _clause(sentence: str) -> str:
    return sentence.rstrip(".")


def _counted(what: str, names: list[str]) -> str:
    return f"{what}{'s' if len(names) > 1 else ''} {', '.join(names)}" if names else ""
