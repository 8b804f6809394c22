"""IgniteTrainable: the verbs over the module and the optimizer that an engine's process function trains."""

from __future__ import annotations

from typing import Any

import trainhooks
from trainhooks_adapters.torch import TorchTrainable

_LACKING = {
    "mid_epoch": "Ignite's engine asks for its data anew when it begins, so that a run goes on at an epoch.",
    "optimizer_average": "PyTorch's optimizers keep none: add trainhooks.callbacks.EMA(decay) to the callbacks.",
}


class IgniteTrainable(TorchTrainable):
    """What is trained, where the engine's owner has given it.

    Attributes:
        without_state: a checkpoint of Ignite's is being made, which has model and optimizer beside it.
    """

    framework = "ignite"
    without_state = False

    def missing(self, need: str) -> str | None:
        if need == "state" and self.without_state:
            return "Ignite's checkpoint keeps it."
        if need in ("lr", "read_lr", "optimizer_step", "gradients") and not self._optimizers:
            return "an Ignite engine does not show its optimizer: wrap(engine, model=model, optimizer=optimizer)."
        return _LACKING.get(need) or super().missing(need)


class EngineOnly(trainhooks.Trainable):
    """An engine whose owner has not said what it trains."""

    framework = "ignite"
    without_state = False

    def missing(self, need: str) -> str | None:
        if need in _LACKING or super().missing(need) is None:
            return _LACKING.get(need)
        return "an Ignite engine does not show its model: wrap(engine, model=model, optimizer=optimizer)."


def trainable_of(model: Any, optimizer: Any, lr_scheduler: Any) -> IgniteTrainable | EngineOnly:
    """The verbs that can be had of these.

    Raises:
        TypeError: there is an optimizer or a scheduler, and no model.
    """
    if model is not None:
        return IgniteTrainable(model, optimizer, lr_scheduler=lr_scheduler)
    if optimizer is not None or lr_scheduler is not None:
        raise TypeError("wrap(engine, optimizer=...): give the model as well, as model=model.")
    return EngineOnly()
