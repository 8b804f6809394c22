"""NaNGuard: which state is good, and what is a spike."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from test_nan_guard import NAN, Groups, Unsteered, data, logged, train

from trainhooks import MLP, Run
from trainhooks.callbacks.nan_guard import NaNGuard
from trainhooks.errors import WeightsError
from trainhooks.testing import Do

# Which state is good


def test_with_a_number_of_steps_a_state_is_taken_each_so_many() -> None:
    _, told = train(data(1, 8, bad=[(0, 1), (0, 4), (0, 6)]), NaNGuard(save_freq=3))
    assert [one.split(". ")[1].partition(",")[0] for one in told] == [
        f"The state of step {n} is put back" for n in (0, 3, 6)
    ]


def test_with_a_time_a_state_is_taken_when_it_has_passed() -> None:
    _, told = train(data(1, bad=[(0, 3)]), NaNGuard(save_freq="0.000001s"))
    assert "The state of step 3 is put back" in told[0]
    _, told = train(data(2, bad=[(1, 3)]), NaNGuard(save_freq="9h"))
    assert "The state of step 0 is put back" in told[0]


def test_a_state_that_is_not_finite_is_not_taken_and_the_one_before_stays() -> None:
    def spoil(run: Run) -> None:
        next(iter(run.model.weights.values()))[0, 0] = NAN  # after the loss of this batch was measured

    spoiler = Do("train_batch_end", spoil, nth=3)
    _, told = train(data(2), NaNGuard(), spoiler)
    assert [one.partition(",")[0] for one in told] == ["NaNGuard: epoch 1"]
    assert "before batch 1: 'weights/layer0/kernel' is not finite. The state of step 0 is put back" in told[0]


def test_a_nan_before_training_is_an_error() -> None:
    model = MLP((3, 1), loss="mse")
    model.weights["layer0/kernel"][0, 0] = NAN
    with pytest.raises(WeightsError) as caught:
        train(data(), NaNGuard(), model=model)
    assert str(caught.value) == (
        "NaNGuard: 'weights/layer0/kernel' holds a NaN, and there is no good state to go back to."
    )


class Masked(Groups):
    """A model whose state holds a mask of infinities, as attention has it, and things that are no numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.mask = np.array([0.0, -math.inf])
        self.weight = np.zeros(2)

    def state_dict(self) -> dict[str, Any]:
        weights = [self.weight.copy(), {"bytes": np.zeros(1, "V2")}, np.arange(2), "text", None]
        return super().state_dict() | {"mask": self.mask.copy(), "nested": weights}


@pytest.mark.parametrize(
    "name, value, step", [("mask", math.inf, 2), ("mask", NAN, 1), ("weight", math.inf, 1), ("weight", 1.0, 2)]
)
def test_a_mask_of_infinities_may_stay_and_nothing_else_may(name: str, value: float, step: int) -> None:
    def put(run: Run) -> None:
        getattr(run.trainable, name)[0] = value

    _, told = logged([1.0, 1.0, NAN], NaNGuard(save_freq=1), Do("train_batch_end", put, nth=1), model=Masked())
    assert f"The state of step {step} is put back" in told[0]


def test_a_state_that_no_longer_fits_is_a_fault_that_says_so() -> None:
    grow = Do("train_batch_begin", lambda run: setattr(run.trainable, "size", 2))
    run, told = logged([NAN, 1.0], NaNGuard(), grow, model=Unsteered())
    assert (run.stop_kind, run.step, told) == ("fault", 1, [])
    assert run.stop_reason == (
        "epoch 0, batch 0: loss is nan; the good state does not fit the model as it is now (another size)"
    )


def test_one_that_is_added_in_the_midst_of_an_epoch_has_no_state_before_the_next() -> None:
    run, told = train(data(2, bad=[(0, 2)]), Do("train_batch_begin", lambda run: run.add(NaNGuard())))
    assert (run.stop_kind, told) == ("fault", [])
    assert run.stop_reason == "epoch 0, batch 2: loss is nan; there is no good state to go back to"


# A spike


def spiked(values: list[float], **settings: Any) -> list[str]:
    """What is told of in a run whose batches have these losses."""
    return logged(values, NaNGuard(**{"spike": 10, "max_rollbacks": 9, "save_freq": 1} | settings))[1]


def test_a_value_far_above_the_median_is_as_a_nan() -> None:
    (told,) = spiked([*range(1, 12), 60.5, 1])
    assert told == (
        "NaNGuard: epoch 0, batch 11: loss is 60.5, above 10 times its median 6. The state of step 11 is put back, the "
        "learning rate goes from 0.1 to 0.05 (rollback 1 of 9)."
    )


@pytest.mark.parametrize(
    "values",
    [
        [1] * 10 + [10],  # not above
        [1] * 9 + [1000],  # too few to tell
        [1, NAN] * 5 + [1] * 4 + [1000],  # NaN is no value
        [-1] * 20 + [1000],  # a metric that is not positive has no such median
        [0] * 20 + [1000],
        [1] * 60 + [9] * 50 + [80],  # fifty values back, and no further
    ],
)
def test_what_is_no_spike_is_let_alone(values: list[float]) -> None:
    assert [one for one in spiked(values) if "median" in one] == []


def test_a_spike_does_not_enter_the_median_and_is_no_nonfinite_batch() -> None:
    run, _ = logged([1.0] * 10 + [100.0] * 3, guard := NaNGuard(spike=10))
    assert (guard.rollbacks, guard.state_dict()["recent"]) == (3, [1.0] * 10)
    assert run.history[0].logs["nonfinite_batches"] == 0
