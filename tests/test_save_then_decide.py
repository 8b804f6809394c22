"""A save that is asked for comes when everybody has seen the event, and what they decided in it is saved.

class Asks(Callback):
    def on_epoch_end(self, run):
        run.save()          # before, or after, EarlyStopping is called at this very event
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator, Mapping
from typing import Any, get_args

import numpy as np
import pytest

from trainhooks import MLP, Callback, LoopRun, Run
from trainhooks.callbacks import EarlyStopping, LearningRateScheduler, ReduceLROnPlateau
from trainhooks.dispatch import Listener, Phase
from trainhooks.events import EVENTS, Event
from trainhooks.testing import Do

X, Y = np.linspace(-1, 1, 8, dtype=np.float32).reshape(4, 2), np.ones((4, 1), np.float32)
ASKED_AT = sorted(set(EVENTS) - {"teardown", "exception"})
"""After those two nothing is saved."""


class Hears(Callback):
    """Calls ``heard(run, event)`` at every event."""

    def listeners(self, events: Mapping[str, Event] = EVENTS) -> Iterator[Listener]:
        for name in ASKED_AT:
            hook = functools.partial(self._hear, name)
            yield Listener(events[name], hook, f"Hears.{name}", phase=self.phase, on_error=self.on_error, owner=self)

    def _hear(self, event: str, run: Run) -> None:
        self.heard(run, event)

    def heard(self, run: Run, event: str) -> None:
        raise NotImplementedError


class Decides(Hears):
    """Counts what it sees, and at the second (or only) ``event`` asks for a stop, and for another learning rate."""

    phase = "decide"

    def __init__(self, event: str) -> None:
        self.event, self.counts = event, dict.fromkeys(ASKED_AT, 0)

    def heard(self, run: Run, event: str) -> None:
        self.counts[event] += 1
        if event == self.event and self.counts[event] == nth_of(event) + 1:
            run.lr = 0.03125
            run.stop("enough", source=self)

    def state_dict(self) -> dict[str, Any]:
        return dict(self.counts)

    def load_state_dict(self, state: Any) -> None:
        self.counts = dict(state)


class Notes(Hears):
    """Comes last at every event, and notes what all have come to."""

    phase = "save"

    def __init__(self, decider: Callback) -> None:
        self.decider, self.noted = decider, list[tuple[str, Any]]()

    def heard(self, run: Run, event: str) -> None:
        stop = [[run.stop_kind, run.stop_reason, run.stop_source]] if run.should_stop else []
        self.noted.append((event, (copy.deepcopy(self.decider.state_dict()), stop, run.lr, run.step)))


class Saves(Callback):
    """Writes checkpoints: into memory; and fires ``checkpoint`` at the end of each epoch."""

    phase = "save"

    def __init__(self, decider: Callback) -> None:
        self.decider, self.saved = decider, list[Any]()

    def on_epoch_end(self, run: Run) -> None:
        run.emit("checkpoint", path="", logs=run.logs)

    def save(self, run: Run) -> None:
        assert run.is_resumable
        state = copy.deepcopy(run.state_dict())
        own = state["callbacks"][type(self.decider).__name__]
        self.saved.append((own, state["progress"]["stops"], state["trainable"]["optimizer/lr"], run.step))


def nth_of(event: str) -> int:
    """Which firing of an event it is about, from 0: the second where there is one."""
    return 0 if event in ("setup", "train_begin", "train_end", "stop") else 1


def train(*callbacks: Callback) -> None:
    model = MLP((2, 1), loss="mse", lr=0.5)
    with LoopRun(model, callbacks) as run:
        for epoch in run.epochs(4):
            for _ in run.train(range(2)):
                run.log(model.train_step((X, Y)))
            for _ in run.test(range(2)):
                run.log(loss=abs(epoch - 1.0))  # the best is epoch 1's
            for _ in run.predict(range(2)):
                run.log(outputs=0)


DECIDERS: dict[str, Any] = {
    "EarlyStopping": lambda event: EarlyStopping(patience=1),
    "ReduceLROnPlateau": lambda event: ReduceLROnPlateau(patience=1, factor=0.5),
    "LearningRateScheduler": lambda event: LearningRateScheduler(lambda epoch, lr: lr * 0.5),
    "at that very event": Decides,
}


def told(event: str, nth: int, noted: list[tuple[str, Any]]) -> Any:
    """What is known after the event that a save asked for at the ``nth`` ``event`` is carried out after."""
    names = [name for name, _ in noted]
    at = [index for index, name in enumerate(names) if name == event][nth]
    while names[at] == "checkpoint" or is_open(names[: at + 1]):
        at += 1
    if names[at + 1 : at + 2] == ["stop"]:  # it was asked for in this event, and is told of first
        at += 1
    return noted[at][1]


def is_open(names: list[str]) -> bool:
    """Whether a batch is half done, or a validation or a prediction."""
    return any(
        names.count(f"{one}_begin") > names.count(f"{one}_end")
        for one in ("train_batch", "test_batch", "predict_batch", "test", "predict")
    )


@pytest.mark.parametrize("asks_first", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("phase", get_args(Phase))
@pytest.mark.parametrize("decider", DECIDERS)
@pytest.mark.parametrize("event", ASKED_AT)
def test_what_is_saved_has_seen_the_event_and_what_was_decided_in_it(
    event: str, decider: str, phase: Phase, asks_first: bool
) -> None:
    left_alone = DECIDERS[decider](event)
    notes = Notes(left_alone)
    train(left_alone, Saves(left_alone), notes)
    nth = nth_of(event)
    if [name for name, _ in notes.noted].count(event) <= nth:
        assert event == "stop"
        assert decider != "EarlyStopping"
        return

    decides = DECIDERS[decider](event)
    asks = Do(event, Run.save, nth)
    asks.phase = phase
    saves = Saves(decides)
    train(*([asks, decides] if asks_first else [decides, asks]), saves)
    assert saves.saved == [told(event, nth, notes.noted)]


@pytest.mark.parametrize("event", sorted(set(ASKED_AT) - {"stop"}))
def test_each_event_was_decided_at(event: str) -> None:
    decides = Decides(event)
    notes = Notes(decides)
    train(decides, Saves(decides), notes)
    _, stop, lr, _ = told(event, nth_of(event), notes.noted)
    assert (stop, lr) == ([["decision", "enough", "Decides"]], 0.03125)
