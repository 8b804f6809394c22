"""NaNGuard: what it cannot do, and says so."""

from __future__ import annotations

import math
from typing import Any

import pytest
from test_nan_guard import NAN, Unsteered, data, train

from trainhooks import LoopRun, fit
from trainhooks.callbacks.nan_guard import NaNGuard
from trainhooks.errors import CapabilityError, MissingMetricError
from trainhooks.testing import Constant, StopAt, batches


def test_a_metric_that_no_batch_has_is_an_error_and_the_nearest_is_named() -> None:
    with pytest.raises(MissingMetricError) as caught:
        train(data(), NaNGuard("los"))
    assert str(caught.value) == (
        "NaNGuard(monitor='los'): epoch 0 ended, and no batch had that metric. There are 'loss', 'nonfinite_batches', "
        "'rollbacks'. Did you mean 'loss'?"
    )


def test_an_epoch_that_did_not_train_or_was_cut_short_misses_nothing() -> None:
    guard, stop = NaNGuard(), StopAt(step=1)
    with LoopRun(Unsteered(), [guard, stop]) as run:
        for epoch in run.epochs(2):
            for batch in run.train(batches(2 * epoch)):
                if batch % 2:  # the loss of two
                    run.log(loss=1.0)
    assert (run.epochs_done, run.step, guard.rollbacks) == (2, 1, 0)


def test_without_a_state_to_put_back_it_is_refused() -> None:
    with pytest.raises(CapabilityError, match=r"^NaNGuard needs 'state', which this trainer lacks"):
        fit(Constant(), batches(1), callbacks=[NaNGuard()])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"lr_factor": 0}, "NaNGuard(lr_factor=0): in (0, 1], 1 to leave the learning rate as it is"),
        ({"lr_factor": NAN}, "NaNGuard(lr_factor=nan): in (0, 1], 1 to leave the learning rate as it is"),
        ({"lr_factor": True}, "NaNGuard(lr_factor=True): in (0, 1], 1 to leave the learning rate as it is"),
        ({"spike": 1}, "NaNGuard(spike=1): how many times the median is too much, above 1; or None"),
        ({"spike": math.inf}, "NaNGuard(spike=inf): how many times the median is too much, above 1; or None"),
        ({"max_rollbacks": -1}, "NaNGuard(max_rollbacks=-1): a whole number, at least 0"),
        ({"max_rollbacks": True}, "NaNGuard(max_rollbacks=True): a whole number, at least 0"),
        (
            {"save_freq": 0},
            "NaNGuard(save_freq=0): 'epoch'; a number of steps, at least 1; or a time above 0, as '600s', '10m', '2h' "
            "or a datetime.timedelta",
        ),
    ],
)
def test_what_has_no_meaning_is_refused(settings: Any, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        NaNGuard(**settings)
    assert str(caught.value) == message
