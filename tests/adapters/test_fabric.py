"""Callbacks around a user's own loop over what Lightning Fabric set up."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("lightning_fabric", reason="lightning is not installed")

import torch
from bench_fabric import FabricBench
from bench_prepared import DATA
from lightning_fabric import Fabric
from lightning_fabric.strategies import ModelParallelStrategy
from prepared_cases import *  # noqa: F403  # the cases are this file's tests too
from trainhooks_adapters import fabric

import trainhooks
from trainhooks.callbacks import ModelCheckpoint
from trainhooks.testing import Do


@pytest.fixture
def made() -> Any:
    return FabricBench


@pytest.fixture
def adapter() -> Any:
    return fabric


@pytest.fixture
def name() -> str:
    return "fabric"


@pytest.fixture
def keep() -> Any:
    """``fabric.save`` and ``fabric.load``, with a run's state in them, and the generator that shuffles."""

    def kept(bench: FabricBench, run: Any) -> Any:
        parts = {"model": bench.model, "optimizer": bench.optimizer, "run": fabric.RunState(run)}

        def save(path: Any) -> None:
            bench.target.save(path, {**parts, "random": torch.get_rng_state()})

        def load(path: Any) -> None:
            found: dict[str, Any] = {**parts, "random": None}
            bench.target.load(path, found)
            torch.set_rng_state(found["random"])

        return save, load

    return kept


class Ordered:
    """A loop whose loader shuffles by a sampler's epoch, which Fabric counts; it notes the rows."""

    def __init__(self, resume: Any = None, *callbacks: Any) -> None:
        target = Fabric(accelerator="cpu", devices=1)
        sampler = torch.utils.data.DistributedSampler(DATA, num_replicas=1, rank=0)
        self.loader = target.setup_dataloaders(torch.utils.data.DataLoader(DATA, batch_size=1, sampler=sampler))
        self.rows: list[list[float]] = []
        model = target.setup(torch.nn.Linear(2, 1))
        self.run = fabric.wrap(target, model, None, callbacks, resume=resume, plugins="none")

    def train(self, epochs: int) -> list[list[float]]:
        with self.run as run:
            for _ in run.epochs(epochs):
                self.rows.append([])
                for (x,) in run.train(self.loader):
                    self.rows[-1].append(x[0, 0].item())
        return self.rows


@pytest.mark.parametrize("at", ["the end of an epoch", "the midst of one"])
def test_a_resumed_runs_sampler_goes_on_with_the_order_of_its_epoch(at: str) -> None:
    states: list[Any] = []
    take = Do("epoch_end", lambda run: states.append(run.state_dict()), nth=1)
    if at == "the midst of one":
        take = Do("train_batch_end", lambda run: states.append(run.state_dict()), nth=8)
    whole = Ordered(None, take).train(4)
    assert len({str(rows) for rows in whole}) == 4
    assert Ordered(states[0]).train(4) == (whole[2:] if at == "the end of an epoch" else [whole[1][3:], *whole[2:]])


def test_processes_that_are_not_launched_yet_are_refused_in_words() -> None:
    target = Fabric(accelerator="cpu", devices=2, strategy="ddp_spawn")
    with pytest.raises(ValueError, match=r"2 processes are to train, .* joins 1: .* Call fabric.launch\(\) first"):
        trainhooks.wrap(target, model=torch.nn.Linear(1, 1))


def test_where_the_model_is_sharded_what_needs_all_of_it_is_refused_in_words() -> None:
    def parallelize(model: Any, mesh: Any) -> Any:
        return model

    strategy = ModelParallelStrategy(parallelize, data_parallel_size=1, tensor_parallel_size=1)
    target = Fabric(accelerator="cpu", devices=1, strategy=strategy)
    with pytest.raises(trainhooks.errors.CapabilityError, match="under ModelParallelStrategy no process has all weigh"):
        trainhooks.wrap(target, model=torch.nn.Linear(1, 1), callbacks=[ModelCheckpoint("best.safetensors")])


@pytest.mark.parametrize("package", ["lightning.fabric", "lightning_fabric"])
def test_both_packages_are_served(package: str) -> None:
    class Bench(FabricBench):
        fabric = pytest.importorskip(package, reason=f"{package} is not installed").Fabric

    bench = Bench()
    assert bench.wrap([]).framework == "fabric"
    assert list(bench.wrap([]).get_weights()) == ["weight", "bias"]


def test_the_plugin_takes_a_fabric_alone() -> None:
    assert fabric.plugin.trainhooks_adapter(torch.nn.Linear(1, 1)) is None
    assert fabric.plugin.trainhooks_adapter(Fabric(accelerator="cpu", devices=1)) is not None
