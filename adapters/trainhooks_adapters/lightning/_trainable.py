"""LightningTrainable: the module and the optimizers of a Trainer, behind verbs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import trainhooks
from trainhooks_adapters.torch import TorchTrainable, world_of_processes

_OF_OPTIMIZERS: Final = ("lr", "read_lr", "optimizer_step", "gradients")
_SHARDED: Final = ("FSDPStrategy", "ModelParallelStrategy", "DeepSpeedStrategy", "XLAFSDPStrategy")


class LightningTrainable(TorchTrainable):
    """What a Trainer trains: ``trainer.lightning_module``, with its optimizers, schedulers and scaler.

    Args:
        trainer: whose ``fit``, ``validate``, ``test`` or ``predict`` has begun.
    """

    framework = "lightning"

    def __init__(self, trainer: Any) -> None:
        # what stands in for an optimizer where configure_optimizers() gave none has no learning rate
        optimizers = [one for one in trainer.optimizers if type(one).__name__ != "_MockOptimizer"]
        super().__init__(
            trainer.lightning_module,
            optimizers or None,
            lr_scheduler=_schedulers(trainer, optimizers) or None,
            scaler=getattr(trainer.precision_plugin, "scaler", None),
        )
        self._kinds = [one.__name__ for one in type(trainer.strategy).__mro__]
        self._trainer = trainer
        self._is_half = False

    def missing(self, need: str) -> str | None:
        if need == "mid_epoch" and not getattr(self, "_is_half", False):
            return "Lightning goes on inside an epoch from checkpoints of its own alone: fit(ckpt_path=...)."
        if need in _OF_OPTIMIZERS and not self._optimizers:
            return "there is no optimizer: configure_optimizers() gave none, or no fit came before this evaluation."
        if need in self.needs_all_weights and (kind := next((one for one in self._kinds if one in _SHARDED), None)):
            return (
                f"under {kind} no process has all weights. Use Lightning's checkpoints, which hold callbacks' states."
            )
        return super().missing(need)

    @contextmanager
    def half(self) -> Iterator[None]:
        """For a checkpoint of Lightning's: weights and optimizers are in it already, and it goes on inside epochs."""
        self._is_half = True
        try:
            yield
        finally:
            self._is_half = False

    def state_dict(self) -> dict[str, Any]:
        return {} if self._is_half else super().state_dict()

    def random_state(self, loader: Any = None) -> dict[str, Any]:
        return super().random_state(self._data if loader is None else loader)

    def load_random_state(self, state: Mapping[str, Any], loader: Any = None, *, new_only: bool = False) -> None:
        super().load_random_state(state, self._data if loader is None else loader, new_only=new_only)

    @property
    def _data(self) -> Any:
        """What ``fit`` trains on, once Lightning has asked for it."""
        return self._trainer.train_dataloader


def _schedulers(trainer: Any, optimizers: list[Any]) -> list[Any]:
    """The learning rate schedulers of PyTorch's among those that Lightning steps; it takes any object for one."""
    from torch.optim import lr_scheduler

    kinds = (lr_scheduler.LRScheduler, lr_scheduler.ReduceLROnPlateau)  # the second is no subclass before 2.2
    found = [config.scheduler for config in trainer.lr_scheduler_configs]
    return [one for one in found if isinstance(one, kinds) and any(one.optimizer is own for own in optimizers)]


def world_of(trainer: Any) -> trainhooks.World:
    """The processes that train along.

    Raises:
        ValueError: they are not joined by ``torch.distributed``.
    """
    world = world_of_processes(trainer.strategy.root_device)
    if world.size != trainer.world_size:
        raise ValueError(
            f"{trainer.world_size} processes are to train, and torch.distributed joins {world.size}: they could not "
            "agree on metrics and stops. Train with a strategy that is one of torch.distributed's, as 'ddp'."
        )
    return world
