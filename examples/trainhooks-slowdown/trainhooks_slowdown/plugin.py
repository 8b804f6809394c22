"""What the entry point names: the hooks by which trainhooks finds all this."""

from __future__ import annotations

import os
from collections.abc import Callable

import trainhooks

from .slowdown import EVENT, Slowdown

VARIABLE = "TRAINHOOKS_SLOWDOWN"
"""``off``, or the ratio from which on it warns."""


@trainhooks.hookimpl
def trainhooks_callbacks() -> dict[str, Callable[..., trainhooks.Callback]]:
    return {"Slowdown": Slowdown}


@trainhooks.hookimpl
def trainhooks_events() -> list[trainhooks.Event]:
    return [EVENT]


@trainhooks.hookimpl
def trainhooks_attach(run: trainhooks.Run) -> trainhooks.Callback | None:
    """One for each run, unless its user attached one, or wants none."""
    setting = os.environ.get(VARIABLE, "")
    if setting == "off" or any(isinstance(callback, Slowdown) for callback in run.bus.callbacks):
        return None
    return Slowdown(float(setting)) if setting else Slowdown()
