"""TorchWorld: the processes that torch.distributed joins."""

from __future__ import annotations

import sys
from typing import Any, TypeVar

import trainhooks

from ._weights import import_torch

T = TypeVar("T")


class TorchWorld(trainhooks.World):
    """The processes of the default group of ``torch.distributed``, whatever began it.

    Args:
        device: where this process has its share of a collective; of ``nccl`` its GPU.
    """

    def __init__(self, device: Any = "cpu") -> None:
        self._distributed = import_torch().distributed
        self._device = device
        self.rank, self.size = self._distributed.get_rank(), self._distributed.get_world_size()

    def gather(self, value: T) -> list[T]:
        told: list[Any] = [None] * self.size
        self._distributed.all_gather_object(told, value)
        return told

    def any(self, flag: bool) -> bool:  # asked at each batch, so without pickling
        told = import_torch().tensor(float(flag), device=self._device)
        self._distributed.all_reduce(told)
        return bool(told.item())

    def broadcast(self, value: T) -> T:  # may be as large as a model: to gather it would take as much for each rank
        told = [value if self.is_main else None]
        self._distributed.broadcast_object_list(told, src=0)
        return told[0]  # type: ignore[return-value]  # every rank has the main one's

    def barrier(self) -> None:
        self._distributed.barrier()


def world_of_processes(device: Any = "cpu") -> trainhooks.World:
    """The processes that ``torch.distributed`` joins now, or this one alone.

    Args:
        device: as for ``TorchWorld``.
    """
    return TorchWorld(device) if _are_several() else trainhooks.World()


def device_of(model: Any) -> Any:
    """Where a model is: a backend may join GPUs alone."""
    return next((one.device for one in model.parameters()), "cpu")


def is_sharded(model: Any) -> bool:
    """Whether each of several processes has a part of the model alone, as under FSDP."""
    return _are_several() and any(
        type(one).__name__ in ("FullyShardedDataParallel", "DTensor") for one in (*model.modules(), *model.parameters())
    )


def _are_several() -> bool:
    distributed = sys.modules.get("torch.distributed")  # who has not imported it has joined nobody
    if distributed is None or not (distributed.is_available() and distributed.is_initialized()):
        return False
    return bool(distributed.get_world_size() > 1)
