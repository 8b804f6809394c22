"""Callbacks around a user's own loop over what Accelerate prepared."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("accelerate", reason="accelerate is not installed")

import torch
from accelerate import Accelerator, DataLoaderConfiguration
from bench_accelerate import AccelerateBench
from bench_prepared import DATA
from prepared_cases import *  # noqa: F403  # the cases are this file's tests too
from trainhooks_adapters import accelerate

from trainhooks.testing import Do


@pytest.fixture
def made() -> Any:
    return AccelerateBench


@pytest.fixture
def adapter() -> Any:
    return accelerate


@pytest.fixture
def name() -> str:
    return "accelerate"


@pytest.fixture
def keep() -> Any:
    """``save_state`` and ``load_state``, with a run's state in them."""

    def kept(bench: AccelerateBench, run: Any) -> Any:
        bench.target.register_for_checkpointing(accelerate.RunState(run))
        return (lambda path: bench.target.save_state(str(path))), (lambda path: bench.target.load_state(str(path)))

    return kept


class Ordered:
    """A loop whose prepared loader shuffles by its seed and by how often it was iterated over; it notes the rows."""

    def __init__(self, resume: Any = None, *callbacks: Any) -> None:
        torch.manual_seed(0)
        self.accelerator = Accelerator(cpu=True, dataloader_config=DataLoaderConfiguration(use_seedable_sampler=True))
        loader = torch.utils.data.DataLoader(DATA, batch_size=1, shuffle=True)
        model = torch.nn.Linear(2, 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        self.model, self.optimizer, self.loader = self.accelerator.prepare(model, optimizer, loader)
        self.rows: list[list[float]] = []
        self.run = accelerate.wrap(
            self.accelerator, self.model, self.optimizer, callbacks, resume=resume, plugins="none"
        )

    def train(self, epochs: int, end_at: int | None = None) -> Ordered:
        with self.run as run:
            for _ in run.epochs(epochs):
                self.rows.append([])
                for (x,) in run.train(self.loader):
                    self.rows[-1].append(x[0, 0].item())
                    if run.batch == end_at:
                        run.end_epoch()
        return self


@pytest.mark.parametrize("last", [2, 5])
def test_a_loader_that_is_left_early_is_over_and_its_next_order_is_a_new_one(last: int) -> None:
    loop, whole = Ordered(), Ordered().train(3).rows
    state = loop.accelerator.gradient_state
    over: list[Any] = []
    loop.run.on("epoch_end", phase="report")(lambda: over.append((state.active_dataloader, state.end_of_dataloader)))
    loop.train(3, end_at=last)
    assert over == [(None, False)] * 3
    assert loop.rows == [rows[: last + 1] for rows in whole]


def test_a_break_or_an_exception_leaves_no_loader_running_either() -> None:
    for left_by in (StopIteration, ValueError):
        loop = Ordered()
        try:
            with loop.run as run:
                for _ in run.epochs(1):
                    for _ in run.train(loop.loader):
                        if left_by is ValueError:
                            raise ValueError("of the user")
                        break
        except ValueError:
            pass
        assert not loop.accelerator.gradient_state.in_dataloader


@pytest.mark.parametrize("at", ["the end of an epoch", "the midst of one"])
def test_a_resumed_runs_loader_goes_on_with_the_order_of_its_epoch(at: str) -> None:
    states: list[Any] = []
    take = Do("epoch_end", lambda run: states.append(run.state_dict()), nth=1)
    if at == "the midst of one":
        take = Do("train_batch_end", lambda run: states.append(run.state_dict()), nth=8)
    whole = Ordered(None, take).train(4).rows
    assert len({str(rows) for rows in whole}) == 4
    again = Ordered(states[0]).train(4).rows
    assert again == (whole[2:] if at == "the end of an epoch" else [whole[1][3:], *whole[2:]])


def test_the_plugin_takes_an_accelerator_alone() -> None:
    assert accelerate.plugin.trainhooks_adapter(torch.nn.Linear(1, 1)) is None
    assert accelerate.plugin.trainhooks_adapter(Accelerator(cpu=True)) is not None
