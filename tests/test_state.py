"""Stopping at an epoch's end and resuming equals never having stopped.

state = run.state_dict()                       # in on_epoch_end
fit(model, data, epochs=10, seed=0, resume=state)
"""

from __future__ import annotations

import contextlib
import copy
import json
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from trainhooks import Callback, LoopRun, Run, evaluate, every, fit, once
from trainhooks.errors import LoopError
from trainhooks.numpy_model import MLP
from trainhooks.testing import Constant, Do, RaiseAt, StopAt, Trace, batches
from trainhooks.testing.play import Dial

rng = np.random.default_rng(0)
DATA = rng.normal(size=(20, 3)).astype(np.float32), rng.normal(size=(20, 2)).astype(np.float32)


class Counter(Callback):
    """Counts and remembers, as a callback with state does."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.epochs = 0
        self.fired: list[int] = []
        self.best = np.array([np.inf])

    def on_epoch_end(self, logs: Mapping[str, float]) -> None:
        self.epochs += 1
        self.best = np.minimum(self.best, logs["loss"])

    @every(steps=3)
    def on_train_batch_end(self, run: Run) -> None:
        self.fired.append(run.step)

    def state_dict(self) -> dict[str, Any]:
        return {"epochs": self.epochs, "fired": self.fired, "best": self.best}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.epochs, self.fired, self.best = state["epochs"], list(state["fired"]), state["best"]


def as_json(state: dict[str, Any]) -> dict[str, Any]:
    """The state, through JSON and back; arrays go beside it, as a store would write them."""
    arrays: list[np.ndarray] = []

    def put(value: object) -> dict[str, int]:
        assert isinstance(value, np.ndarray), f"{value!r} can be written by no store"
        arrays.append(value.copy())
        return {"array": len(arrays) - 1}

    def get(value: dict[str, Any]) -> Any:
        return arrays[value["array"]] if set(value) == {"array"} else value

    loaded: dict[str, Any] = json.loads(json.dumps(state, default=put, allow_nan=False), object_hook=get)
    return loaded


def trained(epochs: int, *callbacks: Callback, resume: dict[str, Any] | None = None) -> tuple[LoopRun, dict[str, Any]]:
    """A run of ``epochs`` epochs, and all that can be seen of it afterwards."""
    model = MLP((3, 4, 2), loss="mse", lr=0.05, momentum=0.9)
    counters = [Counter(), Counter()]
    run = fit(
        model,
        DATA,
        DATA,
        epochs,
        batch_size=6,
        seed=3,
        validation_freq=2,
        callbacks=[*counters, *callbacks],
        resume=resume,
    )
    seen = {
        "weights": {name: array.tolist() for name, array in model.get_weights().items()},
        "history": run.history,
        "counts": (run.step, run.optimizer_step, run.epochs_done, run.epoch, run.validations),
        "callbacks": [(one.epochs, one.fired, one.best.tolist()) for one in counters],
        "outcome": (run.outcome, run.stop_reason),
    }
    return run, seen


WHOLE = trained(5)[1]


@pytest.mark.parametrize("done", range(6))
def test_resuming_at_any_epochs_end_equals_never_having_stopped(done: int) -> None:
    state = as_json(trained(done)[0].state_dict())
    resumed = trained(5, resume=state)[1]
    assert resumed == WHOLE


@pytest.mark.parametrize("done", range(1, 5))
def test_a_state_taken_in_epoch_end_can_be_gone_on_from(done: int) -> None:
    states: list[dict[str, Any]] = []
    take = Do("epoch_end", lambda run: states.append(as_json(run.state_dict())), nth=done - 1)
    take.phase = "save"
    trained(done + 1, take)
    del states[0]["callbacks"]["Do"]
    assert trained(5, resume=states[0])[1] == WHOLE


def test_a_pause_between_epochs_resumes_as_if_nothing_had_been() -> None:
    paused, _ = trained(5, StopAt("epoch_end", 1, kind="pause"))
    state = paused.state_dict()
    assert (paused.outcome, state["at"], state["progress"]["stops"]) == ("paused", "train", [])
    assert trained(5, resume=as_json(state))[1] == WHOLE


def test_a_resumed_run_says_so_and_a_stopped_one_stays_stopped_and_says_why() -> None:
    run, seen = trained(5, StopAt("epoch_end", 1, reason="enough"))
    trace = Trace()
    again, same = trained(9, trace, resume=run.state_dict())
    assert (run.resumed, again.resumed, again.stop_kind, again.stop_source) == (False, True, "decision", "StopAt")
    assert same == seen
    assert (seen["outcome"], trace.outline()) == (("stopped", "enough"), "setup train[] teardown")


def test_a_held_decision_is_held_on_after_a_resume() -> None:
    run = fit(Constant(), batches(1), epochs=1, min_epochs=3, callbacks=[StopAt("epoch_begin", reason="held")])
    trace = Trace(batches=False)
    again = fit(
        Constant(),
        batches(1),
        epochs=9,
        min_epochs=3,
        callbacks=[trace],
        resume=json.loads(json.dumps(run.state_dict())),
    )
    assert trace.outline() == "setup train[ epoch1[] epoch2[] stop ] teardown"
    assert again.stop_reason == "held"


class DialWithState(Dial):
    def state_dict(self) -> dict[str, Any]:
        return {"lrs": self.lrs}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.lrs = list(state["lrs"])


def test_the_proportions_of_the_groups_survive_a_learning_rate_of_zero() -> None:
    with LoopRun(DialWithState([0.1, 0.2])) as run:
        run.lr = 0.0
    again = LoopRun(DialWithState([0.1, 0.2]), resume=as_json(run.state_dict()))
    assert again.lrs == [0.0, 0.0]
    again.lr = 0.3
    assert again.lrs == [0.3, 0.6]


def test_callback_state_is_portable_between_trainers() -> None:
    counter = Counter()
    state = fit(Constant(loss=2.0), batches(4), epochs=1, callbacks=[counter]).state_dict()
    there = Counter()
    LoopRun(Dial(), [there], resume=state)
    assert (there.epochs, there.fired, there.best.tolist()) == (1, [3], [2.0])


@pytest.mark.parametrize(
    "event, at",
    [
        ("train_batch_begin", "inside a batch"),
        ("test_batch_begin", "inside a batch"),
        ("test_end", "in test_end"),
    ],
)
def test_a_state_taken_where_something_is_half_done_is_refused(event: str, at: str) -> None:
    states: list[dict[str, Any]] = []
    with pytest.warns(UserWarning, match=f"the state was taken {at} of epoch 0, where nobody can go on from"):
        fit(Constant(), batches(1), batches(1), callbacks=[Do(event, lambda run: states.append(run.state_dict()))])
    with pytest.raises(LoopError) as refused:
        LoopRun(resume=states[0])
    assert str(refused.value) == (
        f"load_state_dict(): the state was taken {at} of epoch 0, where nobody can go on from. Take it at the end of a "
        "batch or of an epoch, in a callback with phase='save', which comes after those that decide; or ask for it "
        "with run.save(), which waits for such a place."
    )


@pytest.mark.parametrize("event", ["exception", "teardown", None])
def test_a_state_taken_after_an_exception_in_an_epoch_is_refused(event: str | None) -> None:
    states: list[dict[str, Any]] = []
    take = [] if event is None else [Do(event, lambda run: states.append(run.state_dict()))]
    run = LoopRun(callbacks=take)
    told = "taken after an exception in the midst of epoch 0"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with contextlib.suppress(ZeroDivisionError), run:
            for _epoch in run.epochs(2):
                for _batch in run.train(batches(2)):
                    _ = 1 / 0
        state = states[0] if event else run.state_dict()
    assert [told in str(one.message) for one in caught] == [True]
    with pytest.raises(LoopError, match="was taken after an exception in the midst of epoch 0"):
        LoopRun(resume=state)


@pytest.mark.parametrize("event", ["teardown", None])
def test_a_state_taken_after_a_pause_is_that_of_the_pause(event: str | None) -> None:
    states: list[dict[str, Any]] = []
    take = [] if event is None else [Do(event, lambda run: states.append(run.state_dict()))]
    with LoopRun(callbacks=[StopAt(step=1, kind="pause"), *take]) as run:
        for _epoch in run.epochs(2):
            for _batch in run.train(batches(2)):
                pass
    trace = Trace()
    with LoopRun(callbacks=[trace], resume=states[0] if event else run.state_dict()) as again:
        for _epoch in again.epochs(2):
            for _batch in again.train(batches(2)):
                pass
    assert trace.outline() == "setup train[ epoch0[ batch1[] ] epoch1[ batch0[] batch1[] ] ] teardown"


def test_state_is_loaded_before_training_begins() -> None:
    with LoopRun() as run, pytest.raises(LoopError) as refused:
        run.load_state_dict(run.state_dict())
    assert str(refused.value) == "load_state_dict(): training has begun. Load before it, as with resume=state."


def test_what_is_no_state_is_refused() -> None:
    with pytest.raises(TypeError) as refused:
        LoopRun(resume=3)  # type: ignore[arg-type]
    assert str(refused.value) == ("resume=3: a mapping, as run.state_dict() gives it, or the path of checkpoints")


def test_a_state_is_a_copy_that_training_on_does_not_change() -> None:
    states: list[dict[str, Any]] = []
    copies: list[dict[str, Any]] = []

    def take(run: Run) -> None:
        states.append(run.state_dict())
        copies.append(copy.deepcopy(states[0]))

    trained(3, Do("epoch_end", take))
    assert states[0]["history"] == copies[0]["history"] and states[0]["progress"] == copies[0]["progress"]
    weights = "weights/layer0/kernel"
    assert np.array_equal(states[0]["trainable"][weights], copies[0]["trainable"][weights])


class Resets(Callback):
    def __init__(self) -> None:
        self.resets = 0

    def reset(self) -> None:
        self.resets += 1


def test_reset_is_for_a_new_run_and_never_for_a_resumed_one_or_an_evaluation() -> None:
    callback, seen = Resets(), []
    run = fit(Constant(), batches(1), callbacks=[callback])
    seen.append(callback.resets)
    evaluate(Constant(), batches(1), callbacks=[callback])
    seen.append(callback.resets)
    fit(Constant(), batches(1), epochs=2, callbacks=[callback], resume=run.state_dict())
    seen.append(callback.resets)
    fit(Constant(), batches(1), callbacks=[callback])
    seen.append(callback.resets)
    assert seen == [1, 1, 1, 2]


def test_reset_comes_before_train_begin_and_once_in_a_run() -> None:
    seen = []
    callback = Resets()
    look = Do("train_begin", lambda run: seen.append(callback.resets), None)
    with LoopRun(callbacks=[callback, look]) as run:
        for total in (1, 2):
            for _epoch in run.epochs(total):
                pass
    assert seen == [1, 1]


def test_a_state_taken_after_a_hook_of_epoch_end_raised_is_refused() -> None:
    with pytest.raises(RuntimeError, match="asked for"), LoopRun(callbacks=[RaiseAt("epoch_end")]) as run:
        for _ in run.epochs(1):
            pass
    with pytest.warns(UserWarning, match="taken after an exception"):
        state = run.state_dict()
    with pytest.raises(LoopError):
        LoopRun(resume=state)


class Counts(Callback):
    def __init__(self) -> None:
        self.epochs = 0

    def reset(self) -> None:
        self.epochs = 0

    def on_epoch_end(self) -> None:
        self.epochs += 1


def test_a_callback_that_the_state_does_not_know_begins_anew() -> None:
    used = Counts()
    fit(Constant(), batches(1), epochs=5, callbacks=[used])
    state = fit(Constant(), batches(1), epochs=2).state_dict()
    fit(Constant(), batches(1), epochs=3, callbacks=[used], resume=state)
    assert used.epochs == 1


def test_a_functions_filters_go_on_from_where_the_run_is() -> None:
    def fired(run: LoopRun, epochs: int) -> list[int]:
        seen: list[int] = []
        run.on("epoch_end", every(epochs=4))(lambda run: seen.append(run.epochs_done))
        run.on("epoch_end", once(epoch=1))(lambda run: seen.append(-run.epochs_done))
        with run:
            for _ in run.epochs(epochs):
                pass
        return seen

    first = LoopRun()
    assert fired(first, 6) == [-2, 4]
    assert fired(LoopRun(resume=first.state_dict()), 12) == [8, 12]


def test_a_filter_registered_in_the_middle_of_a_run_counts_from_there() -> None:
    seen: list[int] = []
    with LoopRun() as run:
        for epoch in run.epochs(12):
            if epoch == 6:
                run.on("epoch_end", every(epochs=5))(lambda run: seen.append(run.epochs_done))
    assert seen == [10]


def test_loading_a_second_state_leaves_nothing_of_the_first() -> None:
    stopped = fit(Constant(), batches(1), epochs=3, callbacks=[StopAt("epoch_end")]).state_dict()
    run = LoopRun(resume=stopped)
    run.load_state_dict(fit(Constant(), batches(1), epochs=1).state_dict())
    assert (run.should_stop, run.epochs_done) == (False, 1)


def test_a_run_that_is_over_takes_no_state() -> None:
    over = fit(Constant(), batches(1))
    with pytest.raises(LoopError, match="training has begun"):
        over.load_state_dict(LoopRun().state_dict())
