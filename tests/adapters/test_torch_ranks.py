"""Two processes that torch.distributed joins, on the CPU: they decide alike, end together, and one of them writes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="torch is not installed")

import torch
from trainhooks_adapters.torch import TorchWorld, wrap
from two_ranks import check_both

import trainhooks
from trainhooks.callbacks import BackupAndRestore, EarlyStopping, ModelCheckpoint


def test_two_processes_decide_alike_and_one_of_them_writes(tmp_path: Path) -> None:
    check_both("torch", tmp_path)


@pytest.fixture
def second_of_two(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As in a group of two, of which nobody is asked."""
    store = torch.distributed.HashStore()
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda *group: 2)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda *group: 1)
    yield
    torch.distributed.destroy_process_group()


def test_a_process_that_is_to_train_for_itself_asks_nobody(second_of_two: None) -> None:
    assert isinstance(wrap(torch.nn.Linear(1, 1)).world, TorchWorld)
    for wrapped in (wrap, trainhooks.wrap):
        with wrapped(torch.nn.Linear(1, 1), world=trainhooks.World()) as run:
            assert list(run.epochs(2)) == [0, 1]
        assert run.world.size == 1


def test_what_needs_all_weights_is_refused_where_no_process_has_them(second_of_two: None, tmp_path: Path) -> None:
    class FullyShardedDataParallel(torch.nn.Linear):  # torch's own wants a GPU, or a group of real processes
        pass

    model = torch.nn.Sequential(FullyShardedDataParallel(1, 1))
    needing: list[Any] = [BackupAndRestore("b"), ModelCheckpoint("m.pt"), EarlyStopping(restore_best_weights=True)]
    for callback in needing:
        with pytest.raises(trainhooks.errors.CapabilityError, match="no process has all weights"):
            wrap(model, callbacks=[callback])
    assert wrap(model, callbacks=[EarlyStopping()]).world.size == 2
