"""A run that is paused at any event and gone on from, in another process, equals one that never stopped.

for epoch in run.epochs(3):
    for batch in run.train(loader): ...
    for batch in run.test(held_out): ...
"""

from __future__ import annotations

import contextlib
import itertools
import json
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_state import Counter, as_json

from trainhooks import MLP, Callback, LoopRun, Run, fit
from trainhooks.callbacks import EarlyStopping, LearningRateScheduler, ReduceLROnPlateau
from trainhooks.testing import Constant, Do, StopAt, Trace

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(24, 3)).astype(np.float32), RNG.integers(0, 2, 24)
TEST_X, TEST_Y = RNG.normal(size=(12, 3)).astype(np.float32), RNG.integers(0, 2, 12)


class Loader:
    """Batches in an order that the process's own generators draw anew at each pass, as many loaders do."""

    def __len__(self) -> int:
        return 4

    def __iter__(self) -> Iterator[Any]:
        order = list(range(24))
        random.shuffle(order)
        for first in range(0, 24, 6):
            rows = order[first : first + 6]
            noise = np.random.normal(size=(6, 3)).astype(np.float32)  # augmentation, drawn as the batch is fetched
            yield X[rows] + 0.1 * noise, Y[rows]


class Dropout(MLP):
    """The numpy model, of whose inputs each step leaves some out."""

    def train_step(self, batch: Any) -> dict[str, float]:
        x, y = batch
        return super().train_step((x * (np.random.random(x.shape) > 0.2), y))


class Rates(Callback):
    """Notes the learning rate after each batch and each epoch."""

    phase = "save"

    def __init__(self) -> None:
        self.seen: list[float] = []

    def reset(self) -> None:
        self.seen = []

    def on_train_batch_end(self, run: Run) -> None:
        self.seen.append(run.lr)

    def on_epoch_end(self, run: Run) -> None:
        self.seen.append(run.lr)

    def state_dict(self) -> dict[str, Any]:
        return {"seen": list(self.seen)}

    def load_state_dict(self, state: Any) -> None:
        self.seen = list(state["seen"])


def train(
    optimizer: str,
    *extra: Callback,
    resume: Any = None,
    epochs: int = 3,
    patience: int = 9,
    pause_at: int | None = None,
) -> tuple[LoopRun, dict[str, Any]]:
    """Two passes of training and two validations an epoch; and all that can be seen of the run."""
    model = Dropout((3, 5, 2), optimizer=optimizer, lr=0.05, momentum=0.9 if optimizer == "sgd" else 0.0)  # type: ignore[arg-type]
    counter, rates = Counter(), Rates()
    stopper = EarlyStopping(patience=patience, restore_best_weights=True)
    callbacks = [
        LearningRateScheduler(lambda epoch, lr: lr * 0.9),
        ReduceLROnPlateau(patience=1, factor=0.5),
        stopper,
        counter,
        rates,
        *extra,
    ]
    lines = itertools.count()

    def line(run: LoopRun) -> None:
        """One of the owner's own, in which a signal may come; it draws, logs, and changes the learning rate."""
        model.optimizer.lr *= 0.9 + 0.1 * random.random()
        run.log(line=float(np.random.random()))
        if next(lines) == pause_at:
            run.stop("SIGTERM", kind="pause")

    with LoopRun(model, callbacks, resume=resume) as run:
        for _epoch in run.epochs(epochs):
            line(run)
            for batch in run.train(Loader()):
                run.log(model.train_step(batch), n=6)
            line(run)
            for first in range(0, 12, 4):
                for batch in run.test([(TEST_X[first : first + 4], TEST_Y[first : first + 4])], name=f"part{first}"):
                    run.log(model.test_step(batch), n=4)
            line(run)
            for batch in run.train(Loader(), limit=3):
                run.log(model.train_step(batch), n=6)
            line(run)
            for first in run.test(range(0, 12, 4)):
                run.log(model.test_step((TEST_X[first : first + 4], TEST_Y[first : first + 4])), n=4)
            line(run)
    seen = {
        "weights": {name: array.tolist() for name, array in model.state_dict().items() if hasattr(array, "tolist")},
        "history": run.history,
        "counts": (run.step, run.optimizer_step, run.epochs_done, run.epoch, run.validations),
        "counter": (counter.epochs, counter.fired, counter.best.tolist()),
        "stopper": (stopper.wait, stopper.best, stopper.best_epoch, stopper.stopped_epoch),
        "rates": rates.seen,
        "outcome": (run.outcome, run.stop_reason),
    }
    return run, seen


def seed(number: int) -> None:
    random.seed(number)
    np.random.seed(number)


def whole(optimizer: str, **options: Any) -> tuple[list[str], dict[str, Any]]:
    seed(1)
    trace = Trace()
    _, seen = train(optimizer, trace, **options)
    return trace.names, seen


EVENTS, WHOLE = whole("sgd")
PLACES = [
    (event, nth) for event in sorted(set(EVENTS) - {"setup", "teardown", "stop"}) for nth in range(EVENTS.count(event))
]


@pytest.mark.parametrize("event, nth", PLACES)
def test_paused_at_any_event_and_gone_on_from_it_equals_never_having_stopped(event: str, nth: int) -> None:
    seed(1)
    paused, seen = train("sgd", StopAt(event, nth, kind="pause"))
    if paused.outcome == "completed":  # asked for when nothing was left to do
        assert {**seen, "outcome": ("completed", None)} == WHOLE
        return
    assert paused.outcome == "paused"
    state = as_json(paused.state_dict())
    seed(99)  # another process
    assert train("sgd", resume=state)[1] == WHOLE


@pytest.mark.parametrize("nth", range(15))
def test_a_signal_in_the_owners_own_lines_is_gone_on_from_as_well(nth: int) -> None:
    seed(1)
    paused, seen = train("sgd", pause_at=nth)
    if paused.outcome == "completed":
        assert {**seen, "outcome": ("completed", None)} == WHOLE
        return
    seed(99)
    assert train("sgd", resume=as_json(paused.state_dict()))[1] == WHOLE


@pytest.mark.parametrize("event, nth", PLACES[::7])
def test_adam_and_a_decision_to_stop_too(event: str, nth: int) -> None:
    _, uninterrupted = whole("adam", epochs=6, patience=1)
    assert uninterrupted["outcome"][0] == "stopped"
    seed(1)
    paused, _ = train("adam", StopAt(event, nth, kind="pause"), epochs=6, patience=1)
    state = as_json(paused.state_dict())
    seed(99)
    told = pytest.warns(UserWarning, match="stays stopped") if state["progress"]["stops"] else contextlib.nullcontext()
    with told:
        assert train("adam", resume=state, epochs=6, patience=1)[1] == uninterrupted


@pytest.mark.parametrize("decides, nth", [("train_batch_end", 9), ("test_batch_end", 6)])
@pytest.mark.parametrize("after", range(6))
def test_a_pause_after_a_decision_in_the_same_epoch_ends_that_epoch_when_it_is_gone_on_from(
    decides: str, nth: int, after: int
) -> None:
    def stops() -> Callback:
        return StopAt(decides, nth, reason="enough")

    _, uninterrupted = whole_with(stops())
    seed(1)
    at_once = Do("stop", lambda run: run.stop("SIGTERM", kind="pause"))
    paused, _ = train("sgd", stops(), StopAt("test_batch_end", 6 + after, kind="pause") if after else at_once)
    assert (paused.outcome, paused.epochs_done) == ("paused", 1)
    seed(99)
    with pytest.warns(UserWarning, match="this run was stopped before: enough"):
        again, seen = train("sgd", StopAt("teardown"), resume=as_json(paused.state_dict()))
    assert (seen, again.stop_source) == (uninterrupted, "StopAt")


@pytest.mark.parametrize("nth", range(8))
def test_an_epoch_that_was_asked_to_end_is_not_trained_on(nth: int) -> None:
    def ends() -> Callback:
        return Do("train_batch_end", lambda run: run.end_epoch(), 2)

    _, uninterrupted = whole_with(ends())
    seed(1)
    paused, _ = train("sgd", ends(), StopAt("test_batch_end", nth, kind="pause"))
    seed(99)
    assert train("sgd", Do("teardown", lambda run: None), resume=as_json(paused.state_dict()))[1] == uninterrupted


def whole_with(*callbacks: Callback) -> tuple[LoopRun, dict[str, Any]]:
    seed(1)
    return train("sgd", *callbacks)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(PLACES), min_size=1, max_size=4), st.integers(0, 3))
def test_paused_again_and_again_it_ends_the_same(places: list[tuple[str, int]], stale: int) -> None:
    state = None
    seed(1)
    for event, nth in places:
        run, seen = train("sgd", StopAt(event, nth, kind="pause"), resume=state)
        if run.outcome == "completed":
            assert {**seen, "outcome": ("completed", None)} == WHOLE
            return
        state = as_json(run.state_dict())
        seed(50 + stale)
    assert train("sgd", resume=state)[1] == WHOLE


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(PLACES), st.sampled_from(PLACES))
def test_saved_at_any_event_and_broken_off_later_it_goes_on_from_what_was_saved(
    saved: tuple[str, int], broken: tuple[str, int]
) -> None:
    class Keeps(Callback):
        states: list[Any]
        places: list[str]

        def save(self, run: Run) -> None:
            self.states.append(as_json(run.state_dict()))

    keeper = Keeps()
    keeper.states = []
    seed(1)
    with contextlib.suppress(ZeroDivisionError):
        train(
            "sgd", keeper, Do(saved[0], lambda run: run.save(), saved[1]), Do(broken[0], lambda run: 1 / 0, broken[1])
        )
    if keeper.states:
        seed(99)
        assert train("sgd", resume=keeper.states[-1])[1] == WHOLE


def nested(*callbacks: Callback, resume: Any = None) -> tuple[LoopRun, dict[str, Any]]:
    """A validation inside every other training batch."""
    model = Dropout((3, 5, 2), optimizer="adam", lr=0.05)
    rates, counter = Rates(), Counter()
    with LoopRun(model, [counter, rates, *callbacks], resume=resume) as run:
        for _epoch in run.epochs(2):
            for batch in run.train(Loader()):
                run.log(model.train_step(batch), n=6)
                if run.batch % 2:
                    for first in run.test(range(0, 12, 4)):
                        run.log(model.test_step((TEST_X[first : first + 4], TEST_Y[first : first + 4])), n=4)
    weights = {name: array.tolist() for name, array in model.get_weights().items()}
    return run, {"weights": weights, "history": run.history, "rates": rates.seen, "counter": counter.fired}


@pytest.mark.parametrize("event", ["test_begin", "test_batch_begin", "test_batch_end", "test_end", "train_batch_begin"])
@pytest.mark.parametrize("nth", range(4))
def test_a_pause_in_a_validation_inside_a_batch_waits_for_that_batch(event: str, nth: int) -> None:
    seed(1)
    trace = Trace()
    uninterrupted = nested(trace)[1]
    seed(1)
    paused_trace = Trace()
    paused, _ = nested(StopAt(event, nth, kind="pause"), paused_trace)
    assert (paused.outcome, paused_trace.names[-2]) == ("paused", "train_batch_end")
    seed(99)
    assert nested(resume=as_json(paused.state_dict()))[1] == uninterrupted


def test_a_loader_that_keeps_its_place_is_told_it_and_draws_nothing_again() -> None:
    class Stateful:
        def __init__(self) -> None:
            self.order, self.at, self.drawn = np.random.default_rng(5), 0, 0

        def __iter__(self) -> Iterator[int]:
            first, self.at = self.at, 0
            if not first:
                self.rows = [int(row) for row in self.order.permutation(5)]
            for self.at in range(first + 1, 6):
                self.drawn += 1
                yield self.rows[self.at - 1]
            self.at = 0

        def state_dict(self) -> dict[str, Any]:
            return {"at": self.at, "rows": self.rows, "order": self.order.bit_generator.state}

        def load_state_dict(self, state: Any) -> None:
            self.at, self.rows = state["at"], list(state["rows"])
            self.order.bit_generator.state = state["order"]

    def run_it(*callbacks: Callback, resume: Any = None) -> tuple[LoopRun, list[int], int]:
        loader, seen = Stateful(), []
        with LoopRun(callbacks=callbacks, resume=resume) as run:
            for _epoch in run.epochs(3):
                for row in run.train(loader):
                    seen.append(row)
        return run, seen, loader.drawn

    _, rows, drawn = run_it()
    for step in range(1, 15):
        paused, before, _ = run_it(StopAt(step=step, kind="pause"))
        _, after, drawn_again = run_it(resume=json.loads(json.dumps(paused.state_dict())))
        assert (before + after, drawn_again) == (rows, drawn - step)


def test_a_prediction_begins_anew_since_nothing_was_kept_of_its_outputs() -> None:
    def run_it(*callbacks: Callback, resume: Any = None) -> tuple[LoopRun, list[float]]:
        seen: list[float] = []
        with LoopRun(callbacks=callbacks, resume=resume) as run:
            for _epoch in run.epochs(1):
                list(run.train(range(2)))
                for _batch in run.predict(range(3)):
                    seen.append(random.random())
        return run, seen

    seed(1)
    whole = run_it()[1]
    seed(1)
    paused, part = run_it(StopAt("predict_batch_end", 1, kind="pause"))
    seed(99)
    assert (part, run_it(resume=paused.state_dict())[1]) == (whole[:2], whole)


@pytest.mark.parametrize("given", [None, 3])
@pytest.mark.parametrize("step", range(1, 12))
def test_fit_goes_on_in_the_order_that_it_had_with_a_seed_or_without(given: int | None, step: int) -> None:
    class Rows(Constant):
        def __init__(self) -> None:
            super().__init__()
            self.seen: list[int] = []

        def train_step(self, batch: Any) -> dict[str, float]:
            self.seen += batch.tolist()
            return {"loss": float(batch.sum())}

    first, second = Rows(), Rows()
    paused = fit(first, np.arange(10), epochs=3, batch_size=3, seed=given, callbacks=[StopAt(step=step, kind="pause")])
    again = fit(second, np.arange(10), epochs=3, batch_size=3, seed=given, resume=paused.state_dict())
    rows = first.seen + second.seen
    assert [sorted(rows[first : first + 10]) for first in (0, 10, 20)] == [list(range(10))] * 3
    if given is not None:
        whole = Rows()
        run = fit(whole, np.arange(10), epochs=3, batch_size=3, seed=given)
        assert (rows, again.history) == (whole.seen, run.history)
