"""What is said where a run cannot go on as it was, and what holds where the script was changed."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from test_state import Counter

from trainhooks import MLP, Callback, LoopRun, fit
from trainhooks.callbacks import EarlyStopping
from trainhooks.errors import LoopError, StateFileError, WeightsError
from trainhooks.testing import Constant, StopAt, Trace


def over(*loops: tuple[str, dict[str, Any]], resume: Any = None, pause: Any = None) -> Any:
    """The state after one epoch of these loops of two batches each."""
    with LoopRun(callbacks=[pause or Trace()], resume=resume) as run:
        for _epoch in run.epochs(1):
            for verb, options in loops:
                list(getattr(run, verb)(range(2), **options))
    return run.state_dict()


@pytest.mark.parametrize(
    "loops, wrong",
    [
        ([("train", {}), ("test", {})], "and here that is run.test(name='val')"),
        ([("train", {}), ("train", {})], "and here that is run.train(...)"),
        ([("train", {})], "and here the epoch ends after 1"),
    ],
)
def test_a_loop_that_is_another_is_refused_with_what_it_was(loops: Any, wrong: str) -> None:
    state = over(("train", {}), ("test", {"name": "held_out"}), pause=StopAt("test_batch_end", kind="pause"))
    with pytest.raises(LoopError) as refused:
        over(*loops, resume=state)
    assert str(refused.value) == (
        "the state was taken in run.test(name='held_out'), number 2 of the loops inside epoch 0, "
        f"{wrong}. Go on with the loop that the state was taken in."
    )


def test_the_length_of_the_pass_that_goes_on_is_that_of_what_is_left() -> None:
    state = over(("train", {}), ("test", {}), pause=StopAt("test_batch_end", kind="pause"))
    lengths = []
    with LoopRun(resume=state) as run:
        for _epoch in run.epochs(1):
            for verb in (run.train, run.test, run.test):
                loop = verb(range(2))
                lengths.append((len(loop), len(list(loop))))
    assert lengths == [(2, 0), (1, 1), (2, 2)]


def test_a_loader_that_is_too_short_is_refused() -> None:
    state = over(("train", {}), pause=StopAt(step=2, kind="pause"))
    with pytest.raises(LoopError) as refused:
        over(("train", {"limit": 1}), resume=state)
    assert str(refused.value) == (
        "run.train(...): the state was taken after 2 batches, and the loader has 1. Give it the data that it had."
    )


def test_another_seed_holds_and_is_told_of() -> None:
    paused = fit(Constant(), np.arange(4), batch_size=2, seed=1, callbacks=[StopAt(step=1, kind="pause")])
    with pytest.warns(UserWarning, match=r"^fit: seed was 1 and is 2, which holds\.$"):
        fit(Constant(), np.arange(4), batch_size=2, seed=2, resume=paused.state_dict())


def test_a_stopped_run_goes_on_if_asked() -> None:
    def run_it(**options: Any) -> tuple[list[str], str | None]:
        trace = Trace(batches=False)
        run = fit(Constant(), [1], epochs=3, callbacks=[trace], **options)
        return trace.names, run.outcome

    stopped = fit(Constant(), [1], epochs=3, callbacks=[StopAt("epoch_end", reason="enough")]).state_dict()
    with pytest.warns(UserWarning, match="stopped") as told:
        names, outcome = run_it(resume=stopped)
    assert (names, outcome) == (["setup", "train_begin", "train_end", "teardown"], "stopped")
    assert str(told[0].message) == (
        "this run was stopped before: enough (by StopAt). It stays stopped; resume_stopped=True has it go on."
    )
    names, outcome = run_it(resume=stopped, resume_stopped=True)
    assert (names.count("epoch_end"), outcome) == (2, "completed")


class Every(Callback):
    def __init__(self, n: int, name: str = "a") -> None:
        self.n, self.name = n, name


def test_a_setting_that_was_changed_is_told_of_once_and_the_constructors_holds() -> None:
    saved = [EarlyStopping("loss", patience=3), Every(3), Every(5)]
    state = json.loads(json.dumps(fit(Constant(), [1], epochs=1, callbacks=saved).state_dict()))
    mine = [EarlyStopping("loss", patience=5), Every(3), Every(4, "b")]
    with pytest.warns(UserWarning, match="hold") as told:
        LoopRun(callbacks=mine, resume=state)
    assert [str(one.message) for one in told] == [
        "EarlyStopping(monitor='loss'): saved with patience=3; the constructor's patience=5 hold.",
        "Every_2: saved with n=5, name='a'; the constructor's n=4, name='b' hold.",
    ]


def test_a_state_of_another_shape_names_the_callback() -> None:
    state = fit(Constant(), [1], callbacks=[EarlyStopping("loss")]).state_dict()
    state["callbacks"]["EarlyStopping"] = {"wait": 1}
    with pytest.raises(StateFileError, match=r"^load_state_dict\(\): EarlyStopping cannot take the state {'wait': 1}"):
        LoopRun(callbacks=[EarlyStopping("loss")], resume=state)


def test_a_state_that_does_not_fit_the_model_leaves_the_callbacks_alone() -> None:
    state = fit(MLP((1, 1), loss="mse"), [], epochs=0, callbacks=[Counter()]).state_dict()
    state["callbacks"]["Counter"]["epochs"] = 7
    counter = Counter()
    with pytest.raises(WeightsError):
        LoopRun(MLP((2, 1), loss="mse"), [counter], resume=state)
    assert counter.epochs == 0


def test_a_callback_that_is_no_longer_there_is_told_of() -> None:
    state = fit(Constant(), [1], callbacks=[EarlyStopping("loss"), Trace()]).state_dict()
    with pytest.warns(UserWarning, match="stays behind") as told:
        LoopRun(callbacks=[Counter()], resume=state)
    assert [str(one.message) for one in told] == [
        "the state of 'EarlyStopping' stays behind: the run has no callback of that name to take it."
    ]


def test_a_pass_of_another_length_is_told_of() -> None:
    state = over(("train", {}), pause=StopAt(step=1, kind="pause"))
    with pytest.warns(UserWarning, match="batches") as told:
        over(("train", {"limit": 1}), resume=state)
    assert [str(one.message) for one in told] == [
        "run.train(...): the epoch had 2 batches when the state was taken, and has 1: it goes on after 1 of these."
    ]
