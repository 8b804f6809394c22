"""Slowdown under a clock that is told what each step takes, and the plugin that attaches it."""

from __future__ import annotations

import itertools
import re
import warnings
from collections.abc import Iterator

import pytest
from trainhooks_slowdown import Slowdown, plugin

import trainhooks
from trainhooks import plugins
from trainhooks.testing import Constant, Trace, batches, check_callback

NAME = "slowdown-here"
"""Another than the entry point's, so that these tests run with and without the distribution installed."""


class Clock:
    """A clock that stands still, but for what each step is told to take."""

    def __init__(self, *steps: float) -> None:
        self.steps, self.now, self.calls = list(steps), 0.0, 0

    def __call__(self) -> float:
        self.calls += 1
        if self.calls % 2 == 0:  # the end of a step
            self.now += self.steps.pop(0) if self.steps else 1.0
        return self.now


class Listening(trainhooks.Callback):
    """Keeps what it hears of slow steps."""

    def __init__(self) -> None:
        self.heard: list[tuple[int, float]] = []

    def on_slowdown(self, step: int, ratio: float) -> None:
        self.heard.append((step, ratio))


def told(*steps: float, **settings: float) -> list[str]:
    """What is warned of in a run whose steps take so long."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        callback = Slowdown(warmup=2, clock=Clock(*steps), **settings)  # type: ignore[arg-type]
        trainhooks.fit(Constant(), batches(len(steps)), callbacks=[callback], plugins="none")
    return [str(one.message) for one in caught]


test_it_keeps_every_rule_of_a_callback = check_callback(lambda: Slowdown(clock=itertools.count().__next__))


def test_a_step_much_slower_than_the_median_is_told_of() -> None:
    assert told(9, 1, 1, 4, 1) == ["Slowdown: step 4 took 4 s, 4.0 times the usual 1 s."]


def test_the_first_step_and_those_of_the_warmup_are_not_judged() -> None:
    assert told(1, 1, 9) == []


def test_of_slow_steps_in_a_row_the_first_is_told_of() -> None:
    assert told(1, 1, 1, 4, 4, 1, 8) == [
        "Slowdown: step 4 took 4 s, 4.0 times the usual 1 s.",
        "Slowdown: step 7 took 8 s, 8.0 times the usual 1 s.",
    ]


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"ratio": 1}, "Slowdown(ratio=1): a number above 1"),
        ({"ratio": float("nan")}, "Slowdown(ratio=nan): a number above 1"),
        ({"warmup": 0}, "Slowdown(warmup=0): a whole number, at least 1"),
        ({"window": 2}, "Slowdown(warmup=5, window=2): the window must hold the warmup"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Slowdown(**settings)  # type: ignore[arg-type]


# The plugin


@pytest.fixture
def registered() -> Iterator[None]:
    plugins.register(plugin, NAME)
    yield
    plugins.unregister(NAME)


def attached(*callbacks: trainhooks.Callback, selection: str = NAME) -> list[str]:
    """The callbacks of a run, by the names of their classes."""
    with trainhooks.LoopRun(callbacks=callbacks, plugins=selection) as run:
        return [type(one).__name__ for one in run.bus.callbacks]


@pytest.mark.usefixtures("registered")
def test_it_attaches_itself_after_the_callbacks_of_the_user() -> None:
    assert attached(Trace()) == ["Trace", "Slowdown"]


@pytest.mark.usefixtures("registered")
def test_it_declines_where_the_user_attached_one_and_where_the_environment_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert attached(Slowdown()) == ["Slowdown"]
    monkeypatch.setenv(plugin.VARIABLE, "off")
    assert attached() == []


@pytest.mark.usefixtures("registered")
def test_its_event_is_heard_by_callbacks_of_anybody() -> None:
    listening = Listening()
    slowdown = Slowdown(warmup=1, clock=Clock(1, 1, 5))
    with pytest.warns(UserWarning, match="step 3 took 5 s"):
        trainhooks.fit(Constant(), batches(3), callbacks=[slowdown, listening], plugins=NAME)
    assert listening.heard == [(3, 5.0)]


@pytest.mark.usefixtures("registered")
def test_it_is_offered_by_name() -> None:
    offered = {one.name: callbacks for one, callbacks in plugins.ask("trainhooks_callbacks", NAME)}
    assert offered[NAME] == {"Slowdown": Slowdown}
