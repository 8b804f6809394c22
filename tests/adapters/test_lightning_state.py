"""From a state of ours a fit under Lightning goes on at the right epoch, with Lightning's counts; what is refused."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

pytest.importorskip("lightning", reason="lightning is not installed")

import torch
from bench_lightning import Line, rows, wrapped
from torch.utils.data import DataLoader

from trainhooks import Callback, Run, errors
from trainhooks.testing import Do

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")


def state_after_one_epoch(module: Any = None, **trainer: Any) -> Any:
    states: list[Any] = []

    class Take(Callback):
        phase = "save"

        def on_epoch_end(self, run: Run) -> None:
            states.append(run.state_dict())

    wrapped(Take(), max_epochs=1, **trainer).fit(module or Line(), rows(), rows())
    return states[0]


@pytest.mark.parametrize("automatic", [True, False])
def test_from_a_state_of_ours_lightnings_counts_go_on(automatic: bool) -> None:
    class Either(Line):
        automatic_optimization = automatic

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            loss = super().training_step(batch, batch_idx)
            if not automatic:
                self.manual_backward(loss)
                self.optimizers().step()
            return loss

    state, steps = state_after_one_epoch(Either()), list[Any]()
    it = wrapped(resume=state, max_epochs=-1, max_steps=5)
    module = Either()
    module.on_train_batch_end = lambda *rest: steps.append((module.current_epoch, module.global_step))  # type: ignore[method-assign]
    it.fit(module, rows(), rows())
    assert steps == [(1, 4), (1, 5)]
    assert (it.run.step, it.run.optimizer_step, it.run.epochs_done, it.run.outcome) == (5, 5, 2, "completed")


@pytest.mark.parametrize("has_generator", [True, False])
def test_the_order_of_the_data_goes_on_too(has_generator: bool) -> None:
    class Order(Line):
        def __init__(self) -> None:
            super().__init__()
            self.seen: list[Any] = []

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.seen.append(batch.flatten().tolist())
            return super().training_step(batch, batch_idx)

    def fit(order: Order, *callbacks: Any, **how: Any) -> list[Any]:
        torch.manual_seed(3)
        generator = torch.Generator().manual_seed(3) if has_generator else None
        loader = DataLoader(rows().dataset, batch_size=2, shuffle=True, generator=generator)
        wrapped(*callbacks, max_epochs=3, **how).fit(order, loader)
        return order.seen

    states: list[Any] = []
    whole = fit(Order(), Do("epoch_end", lambda run: states.append(run.state_dict()), nth=None))
    assert fit(Order(), resume=states[0]) == whole[3:]
    assert len({str(batch) for batch in whole}) > 3


def test_a_finished_run_that_goes_on_says_that_nothing_is_left() -> None:
    state = state_after_one_epoch()
    it = wrapped(resume=state, max_epochs=1)
    with pytest.warns(UserWarning, match="none is left to train"):
        it.fit(Line(), rows(), rows())
    assert (it.run.outcome, it.run.step) == ("completed", 3)


def test_the_state_of_another_model_is_refused_and_nothing_is_written() -> None:
    class Wide(Line):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(2, 3)

    module = Wide()
    before = [np.array(weight) for weight in module.state_dict().values()]
    with pytest.raises(errors.WeightsError):
        wrapped(resume=state_after_one_epoch(), max_epochs=2).fit(module, rows(), rows())
    assert all(map(np.array_equal, before, module.state_dict().values()))


def test_an_evaluation_goes_on_from_nothing() -> None:
    module = Line()
    before = [np.array(weight) for weight in module.state_dict().values()]
    it = wrapped(resume=state_after_one_epoch(), max_epochs=2)
    it.validate(module, rows(), verbose=False)
    assert all(map(np.array_equal, before, module.state_dict().values()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        it.fit(module, rows(), rows())
    assert it.run.resumed
