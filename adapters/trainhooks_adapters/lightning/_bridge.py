"""The callback that a Trainer takes, of whichever of its two packages."""

from __future__ import annotations

import functools
import importlib
import sys
from typing import Any, Final

import trainhooks
from trainhooks import errors

from ._translation import Translation

NAMESPACES: Final = ("lightning.pytorch", "pytorch_lightning")
"""Where a Trainer comes from: each has classes of its own."""


def imported() -> tuple[Any, ...]:
    """The modules of ``NAMESPACES`` that somebody has imported."""
    return tuple(sys.modules[name] for name in NAMESPACES if hasattr(sys.modules.get(name), "Trainer"))


def make(options: trainhooks.WrapOptions) -> Any:
    """A callback that carries those of ``options``.

    Raises:
        FrameworkNotInstalledError: there is neither package.
    """
    made = _class_for(imported() or (_import(),))()
    made.prepare(options)
    return made


def _import() -> Any:
    for name in NAMESPACES:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name.partition(".")[0]:  # it is there, and lacks something itself
                raise
    raise errors.framework_not_installed("lightning", "lightning")


@functools.cache
def _class_for(modules: tuple[Any, ...]) -> type[Any]:
    """A class that is a Callback of each: a Trainer takes those of its own package alone."""

    def reduce(bridge: Any) -> Any:  # a strategy that spawns processes sends it there
        return make, (bridge.options,)

    return type("Bridge", (Translation, *(module.Callback for module in modules)), {"__reduce__": reduce})
