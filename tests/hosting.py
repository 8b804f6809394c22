"""A plugin for the tests of guests; ``conftest.py`` has its fixtures."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

import trainhooks
from trainhooks import Callback, Run, plugins
from trainhooks.testing import play as plain_play

NAME = "guests-of-a-test"
play = functools.partial(plain_play, plugins=None)
HOST = f"trainhooks plugin '{NAME}' of this process"


class Host:
    """A plugin that attaches what ``offer`` gives for a run."""

    def __init__(self) -> None:
        self.offer: Callable[[Run], Any] = lambda run: None

    @trainhooks.hookimpl
    def trainhooks_attach(self, run: Run) -> Any:
        return self.offer(run)


@pytest.fixture(scope="module")
def registered() -> Iterator[Host]:
    host = Host()
    plugins.register(host, NAME)
    yield host
    plugins.unregister(NAME)


@pytest.fixture
def host(registered: Host) -> Iterator[Host]:
    """The plugin, for one test; what it did wrong is forgotten."""
    before = list(plugins.failures)
    yield registered
    registered.offer = lambda run: None
    plugins.failures[:] = before


class Counter(Callback):
    """A callback with a state: how many epochs it has seen."""

    def __init__(self) -> None:
        self.seen = 0

    def reset(self) -> None:
        self.seen = 0

    def on_epoch_end(self) -> None:
        self.seen += 1

    def state_dict(self) -> dict[str, Any]:
        return {"seen": self.seen}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.seen = state["seen"]


class Fails(Counter):
    def on_epoch_end(self) -> None:
        raise ValueError("no")
