"""FabricTrainable: what Fabric set up, behind verbs; and the processes that it launched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import trainhooks
from trainhooks_adapters.torch import TorchTrainable, world_of_processes

_SHARDED: Final = ("FSDPStrategy", "ModelParallelStrategy", "DeepSpeedStrategy", "XLAFSDPStrategy")


class FabricTrainable(TorchTrainable):
    """A model that Fabric set up and its optimizers, behind verbs; for the arguments see ``wrap``."""

    framework = "fabric"

    def __init__(self, fabric: Any, model: Any, optimizer: Any = None, *, lr_scheduler: Any = None) -> None:
        if model is None:
            raise TypeError(
                "wrap(fabric): the model is needed too. Give what setup() gave: "
                "trainhooks.wrap(fabric, model=model, optimizer=optimizer, callbacks=[...])."
            )
        scaler = getattr(fabric.strategy.precision, "scaler", None)
        super().__init__(_plain(model), _inside(optimizer), lr_scheduler=lr_scheduler, scaler=scaler)
        self.model, self.optimizer = model, optimizer
        self._strategy = fabric.strategy
        self._met: list[Any] = []
        """The loaders whose count was read or set."""

    def missing(self, need: str) -> str | None:
        if need in ("lr", "read_lr", "optimizer_step", "gradients") and not self._optimizers:
            return "it was given no optimizer. Use trainhooks.wrap(fabric, model=model, optimizer=optimizer)."
        kinds = [one.__name__ for one in type(self._strategy).__mro__] if need in self.needs_all_weights else []
        if kind := next((one for one in kinds if one in _SHARDED), None):
            return f"under {kind} no process has all weights. Use fabric.save(), with RunState(run) in it."
        return super().missing(need)

    # A loader of Fabric's has its DistributedSampler shuffle by how often it was iterated over, which a new process
    # counts from 0 again. The count has no public name (lightning 2.3 to 2.6).

    def random_state(self, loader: Any = None) -> dict[str, Any]:
        state, loader = super().random_state(loader), getattr(loader, "iterable", loader)  # what tqdm has around it
        if not hasattr(loader, "_num_iter_calls"):
            return state
        self._meet(loader)
        return {**state, "iteration": loader._num_iter_calls}

    def load_random_state(self, state: Mapping[str, Any], loader: Any = None, *, new_only: bool = False) -> None:
        super().load_random_state(state, loader, new_only=new_only)
        loader = getattr(loader, "iterable", loader)
        if "iteration" in state and hasattr(loader, "_num_iter_calls"):
            if not (new_only and any(loader is one for one in self._met)):
                loader._num_iter_calls = state["iteration"]
            self._meet(loader)

    def draws_by_itself(self, loader: Any) -> bool:
        return hasattr(loader, "_num_iter_calls") or super().draws_by_itself(loader)

    def _meet(self, loader: Any) -> None:
        if not any(loader is one for one in self._met):
            self._met.append(loader)


def world_of(fabric: Any) -> trainhooks.World:
    """The processes that train along.

    Raises:
        ValueError: they are not joined by ``torch.distributed``.
    """
    world = world_of_processes(fabric.device)
    if world.size != fabric.world_size:
        raise ValueError(
            f"wrap(fabric): {fabric.world_size} processes are to train, and torch.distributed joins {world.size}: they "
            "could not agree on metrics and stops. Call fabric.launch() first, and train with a backend of "
            "torch.distributed."
        )
    return world


def _plain(model: Any) -> Any:
    """The module inside what ``setup`` gave, compiled or not."""
    inside = getattr(model, "_orig_mod", model)  # torch.compile's, 2.0 to 2.13
    return inside.module if type(inside).__name__ == "_FabricModule" else model


def _inside(optimizer: Any) -> Any:
    """The optimizers inside of those that ``setup`` gave."""
    if isinstance(optimizer, (list, tuple)):
        return [_inside(one) for one in optimizer]
    return getattr(optimizer, "optimizer", optimizer)
