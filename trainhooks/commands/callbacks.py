"""``trainhooks callbacks``: those that come with trainhooks and those that plugins offer, or the page of one."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from .. import pages, plugins
from ..callbacks import _by_name
from ..errors import did_you_mean, listing
from .console import Mistake, aligned, document, say, title


@dataclass(frozen=True)
class Offered:
    """A callback by name, and who offers it: ``"trainhooks"``, ``"registered"``, or the plugin in words."""

    name: str
    make: Callable[..., Any]
    by: str
    plugin: plugins.Plugin | None = None

    @property
    def summary(self) -> str:
        """What it does, in a line."""
        return pages.one_line(self.make)

    def page(self) -> str:
        """Its page, as Markdown."""
        return pages.page(self.make, self.name, "" if self.by == "trainhooks" else _in_words(self.by))

    def document(self) -> dict[str, Any]:
        """It for a program."""
        return {
            "name": self.name,
            "offered_by": self.by,
            "plugin": self.plugin.name if self.plugin else None,
            "distribution": self.plugin.distribution if self.plugin else None,
            "summary": self.summary,
            "signature": pages.signature(self.make),
            **pages.settings(self.make),
        }


def run(asked: Namespace) -> int:
    """List them, print the page of one, or write the pages of the built-ins."""
    if asked.write is not None:
        if asked.name is not None:
            raise Mistake("--write writes the page of each: leave out the name")
        files = [str(file) for file in pages.write(asked.write)]
        if asked.json:
            document({"files": files})
        else:
            say("\n".join(files))
        return 0
    try:
        offered = every()
    except ValueError as error:  # TRAINHOOKS_PLUGINS cannot be read
        raise Mistake(str(error)) from error
    if asked.name is not None:
        one = _named(asked.name, offered)
        if asked.json:
            document({**one.document(), "page": one.page()})
        else:
            say(one.page().rstrip("\n"))
        return 0
    if asked.json:
        document({"callbacks": [one.document() for one in offered.values()]})
        return 0
    wide = max(map(len, offered))
    for by, group in groupby(offered.values(), key=lambda one: one.by):
        if by != "trainhooks":
            say()
            title(f"Offered by {_in_words(by)}:")
        for line in aligned([(f"{one.name:{wide}}", one.summary) for one in group]):
            say(line)
    return 0


def every() -> dict[str, Offered]:
    """All that ``make`` knows, by name: the built-ins, those that are registered, those of plugins."""
    others = _by_name._offered()  # first: a plugin may register while it is imported
    found = {one.label: one for one in plugins.found()}
    offered = {name: Offered(name, one, "trainhooks") for name, one in pages.built_ins().items()}
    for name, make in _by_name._registered.items():
        offered.setdefault(name, Offered(name, make, "registered"))
    for name, (make, by) in others.items():
        offered.setdefault(name, Offered(name, make, by, found.get(by)))
    return offered


def _in_words(by: str) -> str:
    return "this process, which registered it" if by == "registered" else f"the {by}"


def _named(name: str, offered: dict[str, Offered]) -> Offered:
    """The callback of that name; small letters will do.

    Raises:
        Mistake: there is none.
    """
    if name in offered:
        return offered[name]
    for one in offered.values():
        if one.name.lower() == name.lower():
            return one
    near = did_you_mean(name, offered) or f" There are {listing(offered)}."
    raise Mistake(f"there is no callback {name!r}.{near}{_by_name.left_out()}")
