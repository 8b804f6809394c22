"""AccelerateTrainable: what Accelerate prepared, behind verbs; and the processes that it joins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import trainhooks
from trainhooks_adapters.torch import TorchTrainable, world_of_processes

from ._loaders import PreparedLoaders

_SHARDED: Final = ("FSDP", "DEEPSPEED", "MEGATRON_LM")


class AccelerateTrainable(TorchTrainable):
    """A prepared model and its optimizers, behind verbs; for the arguments see ``wrap``."""

    framework = "accelerate"

    def __init__(self, accelerator: Any, model: Any, optimizer: Any = None, *, lr_scheduler: Any = None) -> None:
        if model is None:
            raise TypeError(
                "wrap(accelerator): the model is needed too. Give what prepare() gave: "
                "trainhooks.wrap(accelerator, model=model, optimizer=optimizer, callbacks=[...])."
            )
        super().__init__(model, optimizer, lr_scheduler=_inside(lr_scheduler), scaler=accelerator.scaler)
        self._accelerator = accelerator
        self._loaders = PreparedLoaders(accelerator.gradient_state)

    def missing(self, need: str) -> str | None:
        if need in ("lr", "read_lr", "optimizer_step", "gradients") and not self._optimizers:
            return "it was given no optimizer. Use trainhooks.wrap(accelerator, model=model, optimizer=optimizer)."
        kind = self._accelerator.distributed_type.value if need in self.needs_all_weights else None
        if kind in _SHARDED:
            return f"under {kind} no process has all weights. Use accelerator.save_state(), with RunState(run) in it."
        return super().missing(need)

    def random_state(self, loader: Any = None) -> dict[str, Any]:
        return super().random_state(loader) | self._loaders.state(loader)

    def load_random_state(self, state: Mapping[str, Any], loader: Any = None, *, new_only: bool = False) -> None:
        super().load_random_state(state, loader, new_only=new_only)
        self._loaders.load(state, loader, new_only)

    def draws_by_itself(self, loader: Any) -> bool:
        return self._loaders.is_one(loader) or super().draws_by_itself(loader)

    def loader_state(self, loader: Any, *, inside: bool) -> Any:
        if self._loaders.is_one(loader) and not loader.use_stateful_dataloader:
            return None  # it has a state_dict(), which only that of torchdata inside could answer
        return super().loader_state(loader, inside=inside)

    def end_loaders(self) -> None:
        """Have the loaders that were left early be over."""
        self._loaders.end()


def world_of(accelerator: Any) -> trainhooks.World:
    """The processes that train along.

    Raises:
        ValueError: they are not joined by ``torch.distributed``.
    """
    world = world_of_processes(accelerator.device)
    if world.size != accelerator.num_processes:
        raise ValueError(
            f"wrap(accelerator): {accelerator.num_processes} processes train ({accelerator.distributed_type.value}), "
            f"and torch.distributed joins {world.size}: they could not agree on metrics and stops. Train with a "
            "backend of torch.distributed."
        )
    return world


def _inside(scheduler: Any) -> Any:
    """The schedulers inside of those that ``prepare`` gave."""
    if isinstance(scheduler, (list, tuple)):
        return [_inside(one) for one in scheduler]
    return getattr(scheduler, "scheduler", scheduler)
