"""The plugins that trainhooks itself installs, as its entry points have them."""

from __future__ import annotations

from importlib.metadata import entry_points

OWN = sorted({one.name for one in entry_points(group="trainhooks") if one.value.startswith("trainhooks_adapters.")})
SERVED = [name for name in OWN if name != "demos"]
"""The frameworks that its adapters serve, which are called as the plugins are."""


def quoted(*names: str) -> str:
    """Names as messages list them."""
    return ", ".join(repr(name) for name in sorted(names))
