"""Discovery: the entry points of the group ``trainhooks`` among all that is installed, readable or not."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .errors import said
from .hookspecs import PROJECT
from .plugin import Plugin

if TYPE_CHECKING:
    from importlib.metadata import Distribution, EntryPoint


def discovered() -> list[Plugin]:
    """A plugin for each entry point, by name. One with the name of another is refused, and so is an unreadable one."""
    made: list[Plugin] = []
    first: dict[str, Plugin] = {}
    # ours first: no distribution takes the name of another's plugin
    for plugin in sorted(_found(), key=lambda one: (one.name, not one.own, one.distribution)):
        made.append(plugin)
        taken = first.setdefault(plugin.name, plugin)
        if taken is not plugin:
            plugin.refused = f"the name is taken by the {taken.label}"
    return made


def _found() -> list[Plugin]:
    from importlib.metadata import entry_points  # here, so that `import trainhooks` stays cheap

    try:
        return [_plugin(entry, entry.dist) for entry in entry_points(group=PROJECT)]
    except Exception:  # one distribution whose metadata cannot be read ends the reading of all: now one by one
        return list(_one_by_one())


def _one_by_one() -> Iterator[Plugin]:
    from importlib.metadata import distributions

    seen: set[str] = set()
    for dist in distributions():
        name, version = _about(dist)
        if name in seen:
            continue  # the first on the path is the one that is imported
        seen.add(name)
        try:
            entries = [entry for entry in dist.entry_points if entry.group == PROJECT]
        except Exception as error:  # whatever is in a stranger's file
            unread = Plugin(name, name, version, None, own=False)
            unread.refused = f"its entry points cannot be read: {said(error)}"
            yield unread
        else:
            yield from (_plugin(entry, dist) for entry in entries)


def _plugin(entry: EntryPoint, dist: Distribution | None) -> Plugin:
    name, version = _about(dist)
    return Plugin(entry.name, name, version, entry, own=name == PROJECT)


def _about(dist: Distribution | None) -> tuple[str, str]:
    """Its name and version, as far as they can be read."""
    with contextlib.suppress(Exception), warnings.catch_warnings():  # METADATA that is none: what can be read of it
        warnings.simplefilter("ignore", DeprecationWarning)  # Python's own, of a name that is not in it
        if dist is not None and dist.name:
            return dist.name, dist.version or "unknown"
    where = getattr(dist, "_path", None)  # of a folder on the disk, the name of that
    return (where.name if where is not None else "an unknown distribution"), "unknown"
