"""The random generators that a PyTorch run draws from: the global ones of its devices, and a loader's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ._weights import import_torch, to_numpy


class Generators:
    """PyTorch's global generators, and those that loaders and their samplers were given."""

    def __init__(self) -> None:
        self._met: list[Any] = []
        """The loaders' generators that were read or set."""

    def state(self, loader: Any) -> dict[str, Any]:
        """Where they are now.

        Of CUDA there is a state of each device, once a tensor has been there; before, nothing has been drawn.
        """
        torch = import_torch()
        state: dict[str, Any] = {"cpu": to_numpy(torch.get_rng_state())}
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            state["cuda"] = [to_numpy(one) for one in torch.cuda.get_rng_state_all()]
        if _has_mps():
            state["mps"] = to_numpy(torch.mps.get_rng_state())
        return {**state, "loader": [to_numpy(one.get_state()) for one in self._of(loader)]}

    def load(self, state: Mapping[str, Any], loader: Any, new_only: bool = False) -> None:
        """Take back what ``state`` gave; what is of a device that is not here is left.

        Args:
            state: what ``state`` gave.
            loader: whose generators are set too.
            new_only: set those alone of the loader's generators that were neither read nor set before: one that
                several loaders share has gone on since.
        """
        met = [*self._met] if new_only else []
        if not new_only:
            self._load_global(state)
        for generator, one in zip(self._of(loader), state.get("loader", ()), strict=False):
            saved = _bytes(one)
            if saved.shape == generator.get_state().shape and not _is_in(generator, met):  # a GPU's is shorter
                generator.set_state(saved)

    def are_in(self, loader: Any) -> bool:
        """Whether the loader was given generators of its own."""
        return bool(self._of(loader))

    def _load_global(self, state: Mapping[str, Any]) -> None:
        torch = import_torch()
        if "cpu" in state:
            torch.set_rng_state(_bytes(state["cpu"]))
        if "cuda" in state and torch.cuda.is_available():
            for device, one in zip(range(torch.cuda.device_count()), state["cuda"], strict=False):
                torch.cuda.set_rng_state(_bytes(one), device)
        if "mps" in state and _has_mps():
            torch.mps.set_rng_state(_bytes(state["mps"]))

    def _of(self, loader: Any) -> list[Any]:
        """Those that were given to the loader's parts, each once and always in the same order."""
        loader = getattr(loader, "iterable", loader)  # what tqdm has around it
        batch_sampler = getattr(loader, "batch_sampler", None)
        parts = (loader, getattr(loader, "sampler", None), batch_sampler, getattr(batch_sampler, "sampler", None))
        found: list[Any] = []
        for part in (*parts, getattr(loader, "dataset", None)):
            generator = getattr(part, "generator", None)
            if isinstance(generator, import_torch().Generator) and not _is_in(generator, found):
                found.append(generator)
        self._met += [one for one in found if not _is_in(one, self._met)]
        return found


def _has_mps() -> bool:
    found: bool = import_torch().backends.mps.is_available()
    return found


def _bytes(state: Any) -> Any:
    return import_torch().from_numpy(np.array(state, np.uint8))


def _is_in(generator: Any, those: Sequence[Any]) -> bool:
    return any(generator is one for one in those)
