"""Find the plugins that are installed, ask them when something is first needed, report and skip those that fail."""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from . import offers
from .answers import checked
from .events import EVENTS, Event
from .failures import Failure, PluginError, failures, report
from .hookspecs import PROJECT
from .plugin import HOOKS, Plugin, lock
from .selection import Selection

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from .run import Run

__all__ = [
    "HOOKS",
    "VARIABLE",
    "Failure",
    "Plugin",
    "PluginError",
    "Row",
    "ask",
    "attaches",
    "failures",
    "found",
    "frameworks",
    "register",
    "report",
    "rows",
    "unregister",
    "vocabulary",
]

VARIABLE: Final = "TRAINHOOKS_PLUGINS"
_GUESTS: Final = ("trainhooks_attach", "trainhooks_events")
"""Hooks that every run asks, and that trainhooks's own plugins have not: a run need not load those."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the listing: ``status`` is ``"ok"``, ``"failed"`` or ``"off"``; ``offers`` are names of hooks."""

    name: str
    distribution: str
    version: str
    status: Literal["ok", "failed", "off"]
    offers: tuple[str, ...]
    errors: tuple[str, ...]


_registered: dict[str, Plugin] = {}
_installed: list[Plugin] | None = None


def found() -> list[Plugin]:
    """Every plugin that is installed or registered, by name; of two with one name the second is refused."""
    global _installed
    with lock:
        if _installed is None:
            _installed = _discovered()
        return sorted([*_installed, *_registered.values()], key=lambda one: one.name)


def register(plugin: object, name: str) -> Plugin:
    """Take a plugin that is not installed, for as long as this process lives: in a script, or a test of one's own.

    Raises:
        ValueError: the name is taken.
        PluginError: it has no hook, or one that cannot be called.
        pluggy.PluginValidationError: likewise.
    """
    if name in (one.name for one in found()):
        raise ValueError(f"register({name!r}): there is a plugin of that name. Give yours another.")
    made = Plugin(name, "this process", "", None, own=False)
    made.take(plugin)
    _registered[name] = made
    return made


def unregister(name: str) -> None:
    """Let a plugin go that ``register`` took; one that is not here is left alone."""
    _registered.pop(name, None)


def ask(hook: str, selection: str | None = None, /, **arguments: Any) -> Iterator[tuple[Plugin, Any]]:
    """Each plugin's answer to ``hook`` that is not None, in order; what raises is reported and left out.

    Args:
        hook: the name of one of the hooks.
        selection: which plugins are wanted, as ``plugins=`` was given; those that the environment leaves out stay out.
        arguments: the hook's.

    Raises:
        ValueError: ``selection`` names a plugin that there is not.
    """
    wanted = _wanted(selection, own=hook not in _GUESTS)
    for plugin in sorted(wanted, key=lambda one: one.rank(hook)):
        try:
            answer = plugin.call(hook, arguments)
            answer = None if answer is None else checked(hook, answer)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever a stranger's hook raises must not end anybody's training
            report(plugin, hook, error)
            continue
        if answer is not None:
            yield plugin, answer


def rows(selection: str | None = None) -> list[Row]:
    """Everything that was found, for a listing; loads all that is wanted."""
    wanted = _wanted(selection)
    told = []
    for one in found():
        is_off = one not in wanted
        hooks = () if is_off else one.hooks
        errors = tuple(
            failure.error if failure.what == "import" else f"{failure.what}: {failure.error}"
            for failure in failures
            if (failure.name, failure.distribution) == (one.name, one.distribution)
        )
        status: Literal["ok", "failed", "off"] = "off" if is_off else "failed" if errors else "ok"
        told.append(Row(one.name, one.distribution, one.version, status, hooks, errors))
    return told


def frameworks() -> dict[str, str]:
    """The frameworks that an adapter serves, with the pip requirement of each."""
    served: dict[str, str] = {}
    for _, one in ask("trainhooks_frameworks"):
        served = {**one, **served}
    return dict(sorted(served.items()))


def attaches(selection: str | None = None) -> bool:
    """Whether a plugin may attach callbacks to a run: an adapter that must know beforehand what is listened to asks."""
    return any("trainhooks_attach" in one.hooks for one in _wanted(selection, own=False))


def vocabulary(selection: str | None = None) -> dict[str, Event]:
    """The events that a run knows: ours, and those of plugins."""
    known = dict(EVENTS)
    for _, events in ask("trainhooks_events", selection):
        known |= {one.name: one for one in events if one.name not in known}
    return known


def _wanted(selection: str | None, *, own: bool = True) -> list[Plugin]:
    """The plugins that the environment and ``selection`` both want, ours only with ``own``."""
    everywhere = Selection.parse(os.environ.get(VARIABLE), VARIABLE)
    here = Selection.parse(selection, "plugins")
    if not own and frozenset() in (everywhere.only, here.only):
        return []  # none of others: not even looked for
    plugins = found()
    names = [one.name for one in plugins]
    if wrong := here.unknown(names):
        raise ValueError(f"plugins={selection!r}: {wrong}")
    if wrong := everywhere.unknown(names):
        _tell_once(f"{VARIABLE}={os.environ.get(VARIABLE)!r}: {wrong}")
    return [
        one
        for one in plugins
        if (own or not one.own) and all(each.allows(one.name, own=one.own) for each in (everywhere, here))
    ]


_told: set[str] = set()


def _tell_once(text: str) -> None:
    if text not in _told:
        _told.add(text)
        warnings.warn(text, RuntimeWarning, stacklevel=2)


def _discovered() -> list[Plugin]:
    from importlib.metadata import entry_points  # here, so that `import trainhooks` stays cheap

    made: list[Plugin] = []
    first: dict[str, Plugin] = {}
    entries = [(entry, *_of_whom(entry)) for entry in entry_points(group=PROJECT)]
    # ours first: no distribution takes the name of another's plugin
    for entry, name, version in sorted(entries, key=lambda one: (one[0].name, one[1] != PROJECT, one[1])):
        plugin = Plugin(entry.name, name, version, entry, own=name == PROJECT)
        made.append(plugin)
        taken = first.setdefault(entry.name, plugin)
        if taken is not plugin:
            plugin.refused = f"the name is taken by the {taken.label}"
    return made


def _of_whom(entry: EntryPoint) -> tuple[str, str]:
    return (entry.dist.name, entry.dist.version) if entry.dist else ("an unknown distribution", "unknown")


class _Offers(offers.Offers):
    """What this process's plugins hand down to every run."""

    def events(self, selection: str | None) -> Iterable[offers.OfferedEvent]:
        for plugin, events in ask("trainhooks_events", selection):
            for event in events:
                yield offers.OfferedEvent(event, _failed(plugin))

    def callbacks(self, run: Run, selection: str | None) -> Iterable[offers.OfferedCallback]:
        for plugin, callbacks in ask("trainhooks_attach", selection, run=run):
            for callback in callbacks:
                yield offers.OfferedCallback(plugin.label, callback, _failed(plugin))


def _failed(plugin: Plugin) -> offers.Failed:
    return functools.partial(report, plugin)


offers.given = _Offers()
