"""NaNGuard under PyTorch: what an optimizer, a scaler and gradients remember is of the good state again."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import pytest

import trainhooks
from trainhooks import Callback
from trainhooks.callbacks.nan_guard import NaNGuard

torch = pytest.importorskip("torch")


def data(steps: int = 6, bad: Sequence[int] = ()) -> list[Any]:
    generator = torch.Generator().manual_seed(0)
    made = [torch.randn(4, 2, generator=generator) for _ in range(steps)]
    for batch in bad:
        made[batch][0, 1] = math.nan
    return made


class Training:
    """One epoch over ``batches``, in a loop that accumulates the gradients of ``accumulate`` batches."""

    def __init__(
        self, batches: list[Any], *callbacks: Callback, make: Any = None, accumulate: int = 1, **options: Any
    ) -> None:
        torch.manual_seed(0)
        self.model = model = torch.nn.Linear(2, 1)
        self.optimizer = optimizer = (make or (lambda p: torch.optim.Adam(p, 0.5)))(list(model.parameters()))
        self.lrs: list[float] = []
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with trainhooks.wrap(model, optimizer=optimizer, callbacks=callbacks, **options) as run:
                for _ in run.epochs(1):
                    for number, x in enumerate(run.train(batches)):
                        self.lrs.append(run.lr)
                        loss = (model(x) - 1).square().mean()
                        loss.backward()
                        if number % accumulate == accumulate - 1:
                            optimizer.step()
                            optimizer.zero_grad()
                        run.log(loss=loss)
        self.run = run
        self.told = [str(one.message) for one in caught]

    @property
    def state(self) -> str:
        """All that it would go on from, the numbers as they are."""
        return repr((self.model.state_dict(), self.optimizer.state_dict()))


def test_after_a_poisoned_batch_weights_and_moments_are_those_of_a_training_without_it() -> None:
    batches = data(bad=[0, 3])
    guarded = Training(batches, NaNGuard(save_freq=1, lr_factor=1))
    plain = Training([batches[number] for number in (1, 2, 4, 5)])
    assert guarded.state == plain.state
    assert [one.partition(". ")[0] for one in guarded.told] == [
        f"NaNGuard: epoch 0, batch {batch}: loss is nan" for batch in (0, 3)
    ]


def test_the_same_state_is_put_back_as_often_as_is_needed_and_training_does_not_change_it() -> None:
    batches = data(bad=[2, 5])
    guarded = Training(batches, NaNGuard(lr_factor=1))
    assert guarded.state == Training([]).state  # a NaN at the end: all is as it was at the epoch's begin
    assert len(guarded.told) == 2


@pytest.mark.parametrize("tensor", [False, True])
def test_the_learning_rates_of_all_groups_fall_and_a_tensor_stays_one(tensor: bool) -> None:
    def make(parameters: Any) -> Any:
        rates = [torch.tensor(rate) if tensor else rate for rate in (0.5, 0.125)]
        groups = [{"params": [one], "lr": rate} for one, rate in zip(parameters, rates, strict=True)]
        return torch.optim.SGD(groups, momentum=0.9, lr=1.0)

    guarded = Training(data(bad=[1, 2]), NaNGuard(), make=make)
    assert guarded.lrs == [0.5, 0.5, 0.25, 0.125, 0.125, 0.125]
    assert guarded.run.lrs == [0.125, 0.03125]
    assert [torch.is_tensor(group["lr"]) for group in guarded.optimizer.param_groups] == [tensor] * 2


def test_gradients_that_are_accumulated_do_not_keep_the_nan() -> None:
    batches = data(bad=[2])
    guarded = Training(batches, NaNGuard(save_freq=2), accumulate=2)
    assert len(guarded.told) == 1
    assert all(torch.isfinite(one).all() for one in guarded.model.state_dict().values())


def test_an_update_that_a_scaler_skips_is_none_of_its_business() -> None:
    torch.manual_seed(0)
    model = torch.nn.Linear(2, 1)
    optimizer, scaler = torch.optim.SGD(model.parameters(), 0.1), torch.amp.GradScaler("cpu", init_scale=2.0**120)
    guard = NaNGuard()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with trainhooks.wrap(model, optimizer=optimizer, callbacks=[guard], scaler=scaler) as run:
            for _ in run.epochs(1):
                for x in run.train(data()):
                    loss = (model(x) * 1e4).square().mean()
                    scaler.scale(loss).backward()
                    scaler.step(optimizer)
                    scaler.update()
                    optimizer.zero_grad()
                    run.log(loss=loss)
    assert (guard.rollbacks, scaler.get_scale() < 2.0**120) == (0, True)


def test_bfloat16_is_looked_at_as_well() -> None:
    model = torch.nn.Linear(2, 1).bfloat16()
    with torch.no_grad():
        model.weight[0, 0] = math.nan
    with (
        pytest.raises(trainhooks.errors.WeightsError, match=r"NaNGuard: 'model/.*weight.*' holds a NaN"),
        trainhooks.wrap(model, callbacks=[NaNGuard()]) as run,
    ):
        for _ in run.epochs(1):
            pass
