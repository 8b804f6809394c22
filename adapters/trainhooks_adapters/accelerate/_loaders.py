"""The loaders that Accelerate prepared: which of their orders comes next, and that they end where they are left."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class PreparedLoaders:
    """Those that a run has met.

    The order of a prepared loader can depend on how often it was iterated over (``use_seedable_sampler``, a dataset
    with ``set_epoch``); a loader in a new process counts from 0 again, and one that is left early does not count that
    time. And the ``gradient_state`` takes one that is left for the one that is running, and maybe at its last batch.

    Args:
        gradient_state: the accelerator's.
    """

    def __init__(self, gradient_state: Any) -> None:
        self._gradient_state = gradient_state
        self._met: list[Any] = []

    def is_one(self, loader: Any) -> bool:
        from accelerate.data_loader import DataLoaderStateMixin

        return isinstance(loader, DataLoaderStateMixin)

    def state(self, loader: Any) -> dict[str, Any]:
        """How often it was iterated over; nothing of any other loader."""
        loader = getattr(loader, "iterable", loader)  # what tqdm has around it
        if not self.is_one(loader):
            return {}
        self._meet(loader)
        return {"iteration": loader.iteration}

    def load(self, state: Mapping[str, Any], loader: Any, new_only: bool) -> None:
        """Take back what ``state`` gave; with ``new_only`` not of a loader that was met before."""
        loader = getattr(loader, "iterable", loader)
        if "iteration" in state and self.is_one(loader) and not (new_only and self._has_met(loader)):
            loader.set_epoch(state["iteration"])
            self._meet(loader)

    def end(self) -> None:
        """Have those that were left early be over: as if they had come to their end."""
        running = self._gradient_state.dataloader_references
        for loader in self._met:
            if any(loader is one for one in running):
                loader.end()
                loader.set_epoch(loader.iteration + 1)

    def _has_met(self, loader: Any) -> bool:
        return any(loader is one for one in self._met)

    def _meet(self, loader: Any) -> None:
        if not self._has_met(loader):
            self._met.append(loader)
