"""Failures: what plugins did wrong in this process. Each is told of once, and kept for the listing."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Failure:
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


def report(plugin: Named, what: str, error: BaseException | str, *, warn: bool = True) -> None:
    """Tell what a plugin did wrong, once in a process, and keep it.

    Args:
        plugin: whose fault it is.
        what: ``"import"``, or the hook or method in which it was.
        error: the exception, or a sentence.
        warn: whether it is told of here; not where it was told of already.
    """
    failure = Failure(plugin.name, plugin.distribution, plugin.version, what, _text(error))
    if any((one.name, one.distribution, one.what) == (plugin.name, plugin.distribution, what) for one in failures):
        return
    failures.append(failure)
    if warn:
        where = "" if what == "import" else f"{what}: "
        warnings.warn(f"trainhooks {plugin.label} is skipped: {where}{failure.error}", RuntimeWarning, stacklevel=2)


def _text(error: BaseException | str) -> str:
    if isinstance(error, str):
        return error
    try:
        said = str(error)
    except Exception:  # an exception that cannot even be shown
        said = "(its text cannot be shown)"
    return said if isinstance(error, PluginError) else f"{type(error).__name__}: {said}"
