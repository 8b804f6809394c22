"""``trainhooks events``: the vocabulary and its grammar, from the data in ``events.py``, and what plugins add."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .. import plugins
from ..callbacks._by_name import left_out
from ..errors import did_you_mean, listing
from ..events import ALIASES, EVENTS, SCOPES, Event, Scope
from .console import Mistake, aligned, document, painted, say, title, wrapped


@dataclass(frozen=True)
class Known:
    """An event, and the plugin that declares it; None for our own."""

    event: Event
    plugin: plugins.Plugin | None = None

    @property
    def aliases(self) -> list[str]:
        """Other names of its hook."""
        return [f"on_{other}" for other, name in ALIASES.items() if name == self.event.name]

    @property
    def begins(self) -> Scope | None:
        """The scope that it begins."""
        return next((one for one in SCOPES.values() if one.begin == self.event.name), None)

    @property
    def ends(self) -> Scope | None:
        """The scope that it ends."""
        return next((one for one in SCOPES.values() if one.end == self.event.name), None)

    @property
    def within(self) -> tuple[str, ...]:
        """The scopes that it may stand in; of an end the one that it ends."""
        if self.begins:
            return self.begins.parents
        return (self.ends.name,) if self.ends else tuple(SCOPES)

    def where(self) -> str:
        """Where it may stand, as a sentence."""
        if self.event.name == "teardown":
            return (
                "It ends 'run'. It may come without 'setup', and while other scopes are open if training failed or "
                "paused."
            )
        if scope := self.begins:
            place = f"inside {' or '.join(map(repr, scope.parents))}" if scope.parents else "outermost"
            return f"It begins {scope.name!r}, {place}. {scope.end!r} ends that."
        if scope := self.ends:
            return f"It ends {scope.name!r}, which {scope.begin!r} began; nothing else may be open in it."
        return "It may stand anywhere between 'setup' and 'teardown'."

    def document(self) -> dict[str, Any]:
        """It for a program."""
        return {
            "name": self.event.name,
            "hook": self.event.hook,
            "arguments": list(self.event.offers),
            "meaning": self.event.doc,
            "aliases": self.aliases,
            "begins": self.begins.name if self.begins else None,
            "ends": self.ends.name if self.ends else None,
            "within": list(self.within),
            "plugin": self.plugin.name if self.plugin else None,
            "distribution": self.plugin.distribution if self.plugin else None,
        }


def run(asked: Namespace) -> int:
    """Tell of all events, or of one."""
    try:
        known = every()
    except ValueError as error:  # TRAINHOOKS_PLUGINS cannot be read
        raise Mistake(str(error)) from error
    if asked.name is not None:
        one = _named(asked.name, known)
        if asked.json:
            document(one.document())
        else:
            _print_one(one)
        return 0
    if asked.json:
        scopes = [
            {"name": one.name, "begin": one.begin, "end": one.end, "within": list(one.parents)}
            for one in SCOPES.values()
        ]
        document({"events": [one.document() for one in known.values()], "scopes": scopes})
        return 0
    _print_all(list(known.values()))
    return 0


def every() -> dict[str, Known]:
    """Our events and those of plugins, by name."""
    known = {name: Known(event) for name, event in EVENTS.items()}
    for plugin, events in plugins.ask("trainhooks_events"):
        for event in events:
            known.setdefault(event.name, Known(event, plugin))
    return known


def _named(name: str, known: dict[str, Known]) -> Known:
    """The event of a name, which may be that of its hook.

    Raises:
        Mistake: there is none.
    """
    wanted = name if name in known else name.lower().replace("-", "_").removeprefix("on_")
    wanted = ALIASES.get(wanted, wanted)
    if wanted not in known:
        near = did_you_mean(wanted, known) or f" There are {listing(known)}."
        raise Mistake(f"there is no event {name!r}.{near}{left_out()}")
    return known[wanted]


def _print_one(one: Known) -> None:
    say(painted(f"{one.event.hook}({', '.join(one.event.offers)})", "title"))
    say()
    for text in (one.event.doc, one.where()):
        for line in wrapped(text):
            say(line)
    say("A hook takes any of the arguments, by name.")
    if one.aliases:
        say(f"It is also called {', '.join(one.aliases)}, as in older Keras.")
    if one.plugin:
        say(f"Declared by the {one.plugin.label}; it is fired with run.emit({one.event.name!r}, ...).")


def _print_all(known: list[Known]) -> None:
    say("A hook takes any of its event's arguments, and run, by name.")
    say()
    rows = [("hook", "arguments", "when")]
    rows += [(one.event.hook, ", ".join(one.event.args) or "-", one.event.doc) for one in known if not one.plugin]
    for line in aligned(rows, kinds={"hook": "title", "arguments": "title"}):
        say(line)
    for plugin in {one.plugin.name: one.plugin for one in known if one.plugin}.values():
        say()
        title(f"Declared by the {plugin.label}:")
        own = [one.event for one in known if one.plugin is plugin]
        for line in aligned([(one.hook, ", ".join(one.args) or "-", one.doc) for one in own]):
            say(line)
    say()
    title("What stands inside what; each begin has its end, save after an exception or a pause:")
    for line in tree():
        say(line)
    say()
    points = [one.event.name for one in known if not (one.begins or one.ends)]
    for line in wrapped(f"Anywhere between setup and teardown: {', '.join(points)}."):
        say(line)
    say("After exception only teardown follows.")
    older = ", ".join(f"on_{other} is on_{name}" for other, name in ALIASES.items())
    for line in wrapped(f"Older names, as in Keras: {older}.", indent="  "):
        say(line)


def tree() -> list[str]:
    """The scopes as they nest, a line for each place that one may have."""

    def below(parent: str | None, depth: int) -> Iterator[tuple[str, str]]:
        for scope in SCOPES.values():
            if parent in (scope.parents or (None,)):
                yield f"{'  ' * depth}{scope.name}", f"{scope.begin} ... {scope.end}"
                yield from below(scope.name, depth + 1)

    return aligned(list(below(None, 0)), indent="  ")
