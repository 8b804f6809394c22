"""What plugins hand down to every run, under Keras: callbacks that attach themselves, events of their own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tiny import fit, plain
from trainhooks_adapters.keras import bridge

import trainhooks
from trainhooks import Callback, Event, Run, plugins


class Steps(Callback):
    """Notes each batch, and tells of every second in an event of the plugin's."""

    seen: list[str] = []

    def on_train_batch_end(self, run: Run, batch: int) -> None:
        self.seen.append(f"batch {batch}")
        if batch % 2:
            run.emit("even", step=run.step)

    def on_test_batch_end(self) -> None:
        self.seen.append("test")

    def on_epoch_end(self) -> None:
        raise ValueError("not now")


class Even(Callback):
    def __init__(self) -> None:
        self.steps: list[int] = []

    def on_even(self, step: int) -> None:
        self.steps.append(step)


class Plugin:
    @trainhooks.hookimpl
    def trainhooks_attach(self, run: Run) -> Callback | None:
        return Steps() if run.framework == "keras" else None

    @trainhooks.hookimpl
    def trainhooks_events(self) -> list[Event]:
        return [Event("even", ("step",), "Every second step.")]


@pytest.fixture(autouse=True)
def _plugin() -> Iterator[None]:
    Steps.seen = []
    plugins.register(Plugin(), "steps")
    try:
        yield
    finally:
        plugins.unregister("steps")


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.filterwarnings("ignore:trainhooks plugin 'steps'")
def test_a_callback_that_attaches_itself_hears_batches_and_ends_nobodys_training(native: bool) -> None:
    even, model = Even(), plain()
    if native:
        made: Any = bridge([even])
        fit(model, validate=1, epochs=2, callbacks=[made])
    else:
        made = trainhooks.wrap(model, callbacks=[even])
        fit(made, validate=1, epochs=2)
    assert made.run.outcome == "completed"
    assert (even.steps, Steps.seen) == ([2], ["batch 0", "batch 1", "batch 2", "test"])  # then it raised


def test_one_that_is_not_wanted_is_not_there() -> None:
    made = trainhooks.wrap(plain(), plugins="none")
    fit(made)
    assert (made.run.outcome, Steps.seen) == ("completed", [])
    with pytest.raises(trainhooks.errors.RegistrationError):
        bridge([Even()], plugins="-steps")
