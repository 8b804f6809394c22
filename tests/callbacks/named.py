"""Callbacks of one's own and a plugin that offers some, for the tests of callbacks.make."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from trainhooks import Callback, callbacks, hookimpl, plugins
from trainhooks.errors import listing

OWN = "One of your own is registered with trainhooks.callbacks.register."
BUILT_IN = listing(callbacks.__all__)


class Mine(Callback):
    def __init__(self, level: int, *, word: str = "") -> None:
        self.level, self.word = level, word


class Other(Callback):
    pass


class Offers:
    """A plugin that offers callbacks, and counts how often it was asked."""

    def __init__(self, offered: Any) -> None:
        self.offered, self.asked = offered, 0

    @hookimpl
    def trainhooks_callbacks(self) -> Any:
        self.asked += 1
        return self.offered


def refused(mistake: Callable[[], object], kind: type[Exception]) -> str:
    """What is told of a mistake."""
    with pytest.raises(kind) as caught:
        mistake()
    assert type(caught.value) is kind
    return str(caught.value)


def let_go(told: int) -> None:
    """Let go what a test has registered, and what it was told of plugins after the first so many."""
    for name, by in callbacks.names().items():
        if by == "registered":
            callbacks.unregister(name)
    for name in ("first", "second"):
        plugins.unregister(name)
    del plugins.failures[told:]
