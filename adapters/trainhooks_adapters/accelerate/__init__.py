"""Accelerate: to be written."""

from __future__ import annotations

import trainhooks

__all__ = ["plugin"]


class Plugin:
    """What trainhooks finds: it loads nothing to answer no."""

    @trainhooks.hookimpl
    def trainhooks_frameworks(self) -> dict[str, str]:
        return {"accelerate": "trainhooks[accelerate]"}


plugin = Plugin()
