"""Plugin: one entry point of the group ``trainhooks``, loaded when it is first asked.

Each has a pluggy manager of its own: pluggy keeps a plugin that it has refused, and lets one hook that raises end the
call of all.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal

import pluggy

from .errors import did_you_mean, listing
from .failures import PluginError, report
from .hookspecs import PROJECT, Specs
from .version import __version__

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

HOOKS: Final = tuple(name for name in vars(Specs) if name.startswith(f"{PROJECT}_"))

lock = threading.RLock()
"""Held while plugins are found."""
_PATIENCE: Final = 10.0
"""Seconds that a thread waits for another that loads a plugin; in a deadlock of imports it then goes on without."""


class Plugin:
    """One plugin: an entry point, loaded when it is first asked.

    Attributes:
        name, distribution, version: what messages call it by.
        own: whether it comes with trainhooks.
    """

    def __init__(self, name: str, distribution: str, version: str, entry: EntryPoint | None, *, own: bool) -> None:
        self.name, self.distribution, self.version, self.own = name, distribution, version, own
        self._entry = entry
        self.refused: str | None = None
        """Why it is not even loaded."""
        self._manager: pluggy.PluginManager | None = None
        self._state: Literal["new", "loading", "ok", "failed"] = "new"
        self._loader = 0
        self._loaded = threading.Event()

    @property
    def label(self) -> str:
        """As ``plugin 'slack' of trainhooks-slack 1.2``."""
        return f"plugin {self.name!r} of {self.distribution} {self.version}".rstrip()

    @property
    def is_good(self) -> bool:
        """Whether it could be loaded; loads it.

        No lock is held meanwhile: a stranger's module may start threads of its own, and wait for them. Another thread
        that asks waits for a while; the one that loads it, whose import asks for plugins, is answered no.
        """
        with lock:
            is_mine = self._state == "new"
            if is_mine:
                self._state, self._loader = "loading", threading.get_ident()
        if is_mine:
            self._load()
        elif self._state == "loading" and self._loader != threading.get_ident():
            self._loaded.wait(_PATIENCE)
        return self._state == "ok"

    def _load(self) -> None:
        try:
            if self.refused is not None:
                raise PluginError(self.refused)
            if self._entry is not None:
                _check_version(self._entry)
                self.take(self._entry.load())
        except KeyboardInterrupt:
            self._state = "new"
            raise
        except BaseException as error:  # sys.exit() in a stranger's module too must not end anybody's training
            self._state = "failed"
            report(self, "import", error)
        finally:
            self._loaded.set()

    @property
    def hooks(self) -> tuple[str, ...]:
        """The hooks that it has; loads it."""
        return tuple(hook for hook in HOOKS if self._impl(hook) is not None)

    def rank(self, hook: str) -> int:
        """Its place among those that have ``hook``: -1 for ``tryfirst``, 1 for ``trylast``."""
        impl = self._impl(hook)
        return 0 if impl is None else bool(impl.trylast) - bool(impl.tryfirst)

    def call(self, hook: str, arguments: Mapping[str, Any]) -> Any:
        """What its hook answers, or None; loads it."""
        if self._impl(hook) is None or self._manager is None:
            return None
        (answer,) = getattr(self._manager.hook, hook)(**arguments) or (None,)
        return answer

    def take(self, plugin: object) -> None:
        """Register the object behind the name.

        Raises:
            PluginError: it has no hook, or one that cannot be called.
        """
        if isinstance(plugin, type):
            raise PluginError(f"{plugin.__qualname__} is a class: have the entry point name an object of it")
        manager = pluggy.PluginManager(PROJECT)
        manager.add_hookspecs(Specs)
        manager.register(plugin, self.name)
        callers = manager.get_hookcallers(plugin) or []
        for caller in callers:
            if not caller.has_spec():
                if all(impl.optionalhook for impl in caller.get_hookimpls()):
                    continue  # of another version of trainhooks, and its author says that he can do without
                near = did_you_mean(caller.name, HOOKS) or f" There are {listing(HOOKS)}."
                raise PluginError(f"there is no hook {caller.name!r}.{near}")
            if any(impl.hookwrapper or impl.wrapper for impl in caller.get_hookimpls()):
                raise PluginError(f"{caller.name} is a wrapper, and a plugin is asked alone: make it a plain hook")
        named = [hook for hook in HOOKS if hook not in {one.name for one in callers}]
        if bare := [hook for hook in named if callable(inspect.getattr_static(plugin, hook, None))]:
            raise PluginError(f"{listing(bare)} is not marked with @trainhooks.hookimpl")
        if not callers:
            raise PluginError(
                f"nothing in it is marked with @trainhooks.hookimpl and named as a hook. There are {listing(HOOKS)}."
            )
        self._manager, self._state = manager, "ok"

    def _impl(self, hook: str) -> Any:
        if not self.is_good or self._manager is None:
            return None
        return next(iter(getattr(self._manager.hook, hook).get_hookimpls()), None)


def _check_version(entry: EntryPoint) -> None:
    """Refuse a distribution that was made for another trainhooks: pip asks when it installs, and not when we change."""
    asked = [text for text in (entry.dist.requires if entry.dist else None) or () if PROJECT in text.lower()]
    if not asked:
        return
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    for text in asked:
        try:
            one = Requirement(text)
        except InvalidRequirement:
            continue  # of whatever it is, it is pip's to tell
        if canonicalize_name(one.name) != PROJECT or not (one.marker is None or one.marker.evaluate({"extra": ""})):
            continue
        if not one.specifier.contains(__version__, prereleases=True):
            raise PluginError(f"it needs {PROJECT}{one.specifier}, and this is {PROJECT} {__version__}")
