"""Failures: what plugins did wrong in this process. Each is told of once, and kept for the listing."""

from __future__ import annotations

import sys
import warnings
from typing import NamedTuple, Protocol

from .errors import said


class Failure(NamedTuple):
    """What a plugin did wrong.

    Attributes:
        name: of its entry point.
        distribution: that it came with.
        version: of that.
        what: ``"import"``, or the hook or the callback's method in which it was.
        error: the exception's type and text.
    """

    name: str
    distribution: str
    version: str
    what: str
    error: str


class Named(Protocol):
    """A plugin, as far as it is told of here."""

    @property
    def name(self) -> str: ...
    @property
    def distribution(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def label(self) -> str: ...


class PluginError(Exception):
    """Why a plugin is refused, in a sentence."""


failures: list[Failure] = []
"""What went wrong in this process, in order."""


def report(plugin: Named, what: str, error: BaseException | str, *, then: str | None = None) -> None:
    """Tell what a plugin did wrong, once in a process, and keep it.

    Args:
        plugin: whose fault it is.
        what: ``"import"``, or the hook or method in which it was.
        error: the exception, or a sentence.
        then: what became of the callback in whose method it was; training goes on with it by default.
    """
    failure = Failure(plugin.name, plugin.distribution, plugin.version, what, _text(error))
    if any((one.name, one.distribution, one.what) == (plugin.name, plugin.distribution, what) for one in failures):
        return
    failures.append(failure)
    if what == "import":
        told = f" is skipped: {failure.error}"
    elif what.startswith("trainhooks_"):
        told = f" is skipped: {what}: {failure.error}"
    else:
        told = f": {what} raised {failure.error} ({then or 'training goes on'})"
    warn(f"trainhooks {plugin.label}{told}")


def warn(text: str) -> None:
    """Warn of a plugin; where warnings are errors, it is said on stderr: nobody's training ends by it."""
    try:
        warnings.warn(text, RuntimeWarning, stacklevel=3)
    except RuntimeWarning:
        print(text, file=sys.stderr)


def _text(error: BaseException | str) -> str:
    return str(error) if isinstance(error, (str, PluginError)) else said(error)
