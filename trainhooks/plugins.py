"""Find the plugins that are installed, load them when first needed, and keep what failed."""

from __future__ import annotations

import functools
import warnings
from dataclasses import dataclass

import pluggy

from .hookspecs import PROJECT, Specs


@dataclass(frozen=True, slots=True)
class Failure:
    """A plugin that was found and could not be used."""

    name: str
    distribution: str
    version: str
    error: str


failures: list[Failure] = []


@functools.cache
def plugin_manager() -> pluggy.PluginManager:
    """The plugins of this process, in the order of their names; those that fail are reported once, and skipped."""
    from importlib.metadata import entry_points  # here, so that `import trainhooks` stays cheap

    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(Specs)
    for entry in sorted(entry_points(group=PROJECT), key=lambda one: one.name):
        if manager.has_plugin(entry.name):
            continue
        try:
            manager.register(entry.load(), entry.name)
        except Exception as error:  # whatever a stranger's module raises: it must not end anybody's training
            where = entry.dist
            name, version = (where.name, where.version) if where else ("an unknown distribution", "unknown")
            failures.append(Failure(entry.name, name, version, f"{type(error).__name__}: {error}"))
            warnings.warn(
                f"trainhooks plugin {entry.name!r} of {name} {version} is skipped: {failures[-1].error}",
                RuntimeWarning,
                stacklevel=2,
            )
    return manager


def frameworks() -> dict[str, str]:
    """The frameworks that an adapter serves, with the pip requirement of each."""
    served: dict[str, str] = {}
    for one in reversed(plugin_manager().hook.trainhooks_frameworks()):
        served |= one
    return dict(sorted(served.items()))
