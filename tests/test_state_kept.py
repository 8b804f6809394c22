"""A callback may have kept the state of a run: it is asked before anything else is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from trainhooks import Callback, LoopRun, Run, World, fit
from trainhooks.errors import LoopError, WeightsError
from trainhooks.numpy_model import MLP
from trainhooks.testing import Constant, Do, StopAt, Trace, batches


class Keeper(Callback):
    """Has its runs go on from ``state``."""

    def __init__(self, state: Mapping[str, Any] | None = None) -> None:
        self.state, self.asked = state, 0

    def resume_from(self, run: Run) -> Mapping[str, Any] | None:
        self.asked += 1
        return self.state


class Told(Callback):
    """Writes down what it knew at ``setup``."""

    def __init__(self) -> None:
        self.at_setup: Any = None
        self.count = 0

    def on_setup(self, run: Run) -> None:
        self.at_setup = (run.resumed, run.epochs_done, self.count)

    def on_epoch_end(self) -> None:
        self.count += 1

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.count = state["count"]


def state_of(epochs: int, *callbacks: Callback) -> Mapping[str, Any]:
    return fit(Constant(), batches(2), epochs=epochs, callbacks=callbacks).state_dict()


def test_a_kept_state_is_back_before_setup() -> None:
    told, trace = Told(), Trace(batches=False)
    fit(Constant(), batches(2), epochs=3, callbacks=[told, trace, Keeper(state_of(2, Told()))])
    assert (told.at_setup, told.count) == ((True, 2, 2), 3)
    assert trace.outline() == "setup train[ epoch2[] ] teardown"


def test_another_rank_goes_on_from_what_the_main_one_kept() -> None:
    class Second(World):
        rank, size = 1, 2

        def broadcast(self, value: Any) -> Any:
            assert value is None  # who keeps the state is not attached here
            return state_of(2)

    class OfMain(Keeper):
        ranks = "main"

    keeper, trace = OfMain(), Trace(batches=False)
    with LoopRun(callbacks=[keeper, trace], world=Second()) as run:
        for _epoch in run.epochs(3):
            list(run.train(batches(2)))
    assert (keeper.asked, trace.outline(), run.step) == (0, "setup train[ epoch2[] ] teardown", 6)


def test_who_kept_nothing_changes_nothing() -> None:
    keeper, trace = Keeper(), Trace(batches=False)
    fit(Constant(), batches(2), epochs=1, callbacks=[keeper, trace])
    assert (keeper.asked, trace.outline()) == (1, "setup train[ epoch0[] ] teardown")


def test_the_first_that_kept_one_is_followed_and_a_state_that_is_given_comes_before_all() -> None:
    first, second, third = Keeper(), Keeper(state_of(1)), Keeper(state_of(2))
    run = fit(Constant(), batches(2), epochs=5, callbacks=[first, second, third, StopAt("train_begin")])
    assert ([one.asked for one in (first, second, third)], run.epochs_done) == ([1, 1, 0], 1)
    run = fit(Constant(), batches(2), epochs=3, callbacks=[second, StopAt("train_begin")], resume=state_of(2))
    assert (second.asked, run.epochs_done) == (1, 2)


def test_a_state_that_does_not_fit_ends_the_run_before_it_begins() -> None:
    other, trace = fit(MLP((1, 1), loss="mse"), batches(0)).state_dict(), Trace()
    with pytest.raises(WeightsError):
        fit(MLP((2, 1), loss="mse"), batches(0), callbacks=[trace, Keeper(other)])
    assert trace.outline() == ""


def test_a_run_knows_where_a_state_can_be_taken() -> None:
    seen: list[Any] = []
    places = ["train_begin", "epoch_begin", "train_batch_begin", "train_batch_end", "test_begin", "test_batch_end"]
    places += ["test_end", "epoch_end", "train_end", "teardown"]

    def look() -> list[Callback]:
        return [Do(place, lambda run, place=place: seen.append((place, run.is_resumable))) for place in places]

    fit(Constant(), batches(1), batches(1), callbacks=look())
    assert seen == [(place, place not in ("train_batch_begin", "test_end")) for place in places]
    with pytest.raises(ZeroDivisionError):
        fit(Constant(), batches(1), callbacks=[*look(), Do("train_batch_end", lambda run: 1 / 0)])
    assert seen[-1] == ("teardown", False)


def test_a_resumed_state_cannot_be_replaced_once_training_has_begun() -> None:
    with pytest.raises(LoopError, match="training has begun"):
        fit(Constant(), batches(1), callbacks=[Do("setup", lambda run: run.load_state_dict(state_of(1)))])
