"""Selection: which plugins are wanted, as ``TRAINHOOKS_PLUGINS`` and ``plugins=`` say it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from .errors import did_you_mean, listing


class Selection(NamedTuple):
    """``"none"``, ``"name,name"`` (these alone) or ``"-name,-name"`` (all but these); nothing stands for all.

    The plugins that come with trainhooks, its adapters among them, are left out by a ``-name`` only.

    Attributes:
        only: the names that are wanted; None for all.
        but: the names that are not.
    """

    only: frozenset[str] | None = None
    but: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, text: str | None, who: str) -> Selection:
        """Read what was given as ``who``.

        Raises:
            TypeError: it is no text.
            ValueError: it cannot be read.
        """
        if text is None:
            return cls()
        if not isinstance(text, str):
            raise TypeError(f"{who}={text!r}: a text, as 'none', 'name,name' or '-name'")
        words = [word.strip() for word in text.split(",") if word.strip()]
        names = [word for word in words if not word.startswith("-")]
        but = frozenset(word[1:].strip() for word in words if word.startswith("-"))
        if ("none" in names and len(words) > 1) or "" in but:
            raise ValueError(f"{who}={text!r}: it is 'none', or names as 'name,name', or as '-name' those to leave out")
        if "none" in names:
            return cls(frozenset())
        return cls(frozenset(names) if names else None, but)

    def allows(self, name: str, *, own: bool) -> bool:
        """Whether the plugin is wanted; ``own`` if it comes with trainhooks."""
        return name not in self.but and (own or self.only is None or name in self.only)

    @property
    def wanted(self) -> frozenset[str]:
        """The names of those that are asked for."""
        return self.only or frozenset()


def unknown(names: Iterable[str], known: Iterable[str]) -> str | None:
    """What is wrong with names of plugins, as a sentence; None where each is known."""
    known = sorted(known)
    strange = sorted(set(names) - set(known))
    if not strange:
        return None
    return f"there is no plugin {listing(strange)}.{did_you_mean(strange[0], known)} There are {listing(known)}."
