"""Find the plugins that are installed, ask them when something is first needed, report and skip those that fail."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from . import offers
from .answers import checked
from .discovery import discovered
from .events import EVENTS, Event
from .failures import Failure, PluginError, failures, report, warn
from .plugin import HOOKS, Plugin, lock
from .selection import Selection, unknown

if TYPE_CHECKING:
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
_HERE: Final = "this process"
_GUESTS: Final = ("trainhooks_attach", "trainhooks_events")
"""Hooks that every run asks, and that trainhooks's own plugins have not: a run need not load those."""


class Row(NamedTuple):
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
            _installed = discovered()
        return sorted([*_installed, *_registered.values()], key=lambda one: one.name)


class _Registered(Plugin):
    """One that its ``with`` lets go."""

    def __enter__(self) -> Plugin:
        return self

    def __exit__(self, *raised: object) -> None:
        unregister(self.name)


def register(plugin: object, name: str) -> _Registered:
    """Take a plugin that is not installed, for as long as this process lives: in a script, or a test of one's own.

    What comes back is a context manager too, which lets it go: ``with plugins.register(Plugin(), "mine"): ...``

    Raises:
        ValueError: the name is taken.
        PluginError: it has no hook, or one that cannot be called.
        pluggy.PluginValidationError: likewise.
    """
    if not isinstance(name, str) or not name.strip() or name == "none" or name.startswith("-") or "," in name:
        raise ValueError(f"register({name!r}): a name is a text by which {VARIABLE} can choose it, as 'slack'")
    if name in (one.name for one in found()):
        raise ValueError(f"register({name!r}): there is a plugin of that name. Give yours another.")
    made = _Registered(name, _HERE, "", None, own=False)
    made.take(plugin)
    _registered[name] = made
    return made


def unregister(name: str) -> None:
    """Let a plugin go that ``register`` took; one that is not here is left alone."""
    if _registered.pop(name, None) is not None:
        failures[:] = [one for one in failures if (one.name, one.distribution) != (name, _HERE)]


def ask(hook: str, selection: str | None = None, /, **arguments: Any) -> Iterator[tuple[Plugin, Any]]:
    """Each plugin's answer to ``hook`` that is not None, in order; what raises is reported and left out.

    Args:
        hook: the name of one of the hooks.
        selection: which plugins are wanted, as ``plugins=`` was given; those that the environment leaves out stay out.
        arguments: the hook's.

    Raises:
        ValueError: ``selection`` names a plugin that there is not.
    """
    for plugin in _in_order(hook, selection):
        answer = _answer(plugin, hook, arguments)
        if answer is not None:
            yield plugin, answer


def _in_order(hook: str, selection: str | None) -> list[Plugin]:
    """The plugins that are to be asked, those that have not the hook among them."""
    return sorted(_wanted(selection, own=hook not in _GUESTS), key=lambda one: one.rank(hook))


def _answer(plugin: Plugin, hook: str, arguments: Mapping[str, Any]) -> Any:
    try:
        answer = plugin.call(hook, arguments)
        return None if answer is None else checked(hook, answer)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever a stranger's hook raises must not end anybody's training
        report(plugin, hook, error)
        return None


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
    if wrong := unknown(here.wanted, names):
        raise ValueError(f"plugins={selection!r}: {wrong}")
    if wrong := unknown(here.but, names):  # left out where it is installed, and not missed where it is not
        _tell_once(f"plugins={selection!r}: {wrong}")
    if wrong := unknown(everywhere.wanted | everywhere.but, names):
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
        warn(text)


class _Offers(offers.Offers):
    """What this process's plugins hand down to every run."""

    def events(self, selection: str | None) -> Iterable[offers.OfferedEvent]:
        for plugin, events in ask("trainhooks_events", selection):
            for event in events:
                yield offers.OfferedEvent(event, _failed(plugin))

    def callbacks(self, run: Run, selection: str | None) -> Iterable[offers.OfferedCallback]:
        for plugin in _in_order("trainhooks_attach", selection):
            before = {id(one) for one in run.bus.callbacks}
            answered = _answer(plugin, "trainhooks_attach", {"run": run}) or []
            added = [one for one in run.bus.callbacks if id(one) not in before]
            for callback in added:  # by run.add: there it would be as one of the user's own, and could end the training
                run.bus.remove(callback)
            for callback in [*added, *answered]:
                yield offers.OfferedCallback(plugin.name, plugin.label, callback, _failed(plugin))


def _failed(plugin: Plugin) -> offers.Failed:
    return functools.partial(report, plugin)


offers.given = _Offers()
