"""``trainhooks plugins``: what is installed, what each offers, and what failed."""

from __future__ import annotations

import os
import warnings
from argparse import Namespace
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from .. import callbacks, plugins
from ..selection import Selection
from .console import Kind, Mistake, aligned, document, painted, say, wrapped

_KINDS: Final[dict[str, Kind]] = {"ok": "good", "failed": "bad", "off": "off", "status": "title", "name": "title"}
_HEAD: Final = ("name", "distribution", "version", "status", "offers")
_NAMED: Final = ("callbacks", "frameworks", "events", "demos")


@dataclass
class Listed:
    """A plugin and what it offers, by name."""

    row: plugins.Row
    named: dict[str, list[str]] = field(default_factory=lambda: {what: [] for what in _NAMED})

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
            say("\n".join(painted(line, "bad") for line in wrapped(problem)))
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
        rows = plugins.rows(selection)
    return [Listed(row, named[row.name]) if row.name in named and row.offers else Listed(row) for row in rows]


def problem_of_selection(environment: str | None, known: Iterable[str]) -> str | None:
    """What is wrong with ``TRAINHOOKS_PLUGINS``, as a sentence; None for nothing."""
    try:
        strange = Selection.parse(environment, plugins.VARIABLE).unknown(known)
    except ValueError as error:
        return f"{error}."
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
            say(painted(f"plugin {one.row.name!r} of {one.row.distribution} {one.row.version}".rstrip(), "bad"))
        for error in one.row.errors:
            for line in error.splitlines() or [""]:
                for part in wrapped(line, first="  "):
                    say(part)


def _counted(what: str, names: list[str]) -> str:
    return f"{what}{'s' if len(names) > 1 else ''} {', '.join(names)}" if names else ""
