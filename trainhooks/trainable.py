"""Trainable: what an adapter says of one framework's objects, as a handful of verbs.

An adapter overrides the verbs that its framework can do. What it can do is then derived from what it overrides, so
that a claim and its code cannot disagree; a callback whose ``requires`` is lacking is refused when it is attached.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .errors import lacking

if TYPE_CHECKING:
    import numpy as np

CAPABILITIES: Final[dict[str, tuple[str, ...]]] = {
    "lr": ("get_lrs", "set_lrs"),
    "weights": ("get_weights", "set_weights"),
    "snapshot": ("snapshot", "restore"),
    "state": ("state_dict", "load_state_dict"),
    "save": ("save",),
    "optimizer_step": ("watch_optimizer",),
    "end_epoch": (),
    "batch_logs": (),
}
"""Each capability and the verbs that make it. One without verbs is there unless ``missing`` says otherwise."""


class Trainable:
    """A model and its optimizer, behind verbs. Without overrides it can do nothing, and says so.

    Attributes:
        framework: its name, as ``"torch"``.
        model: the framework's own model, or None.
        optimizer: the framework's own optimizer, or None.
    """

    framework: str = "none"
    model: Any = None
    optimizer: Any = None

    def missing(self, need: str) -> str | None:
        """Why a capability or an event is not to be had, as a sentence that says what to change; None if it is.

        An adapter extends this where an answer depends on the objects at hand.
        """
        verbs = CAPABILITIES.get(need, ())
        own = type(self)
        if all(getattr(own, verb) is not getattr(Trainable, verb) for verb in verbs):
            return None
        if self.framework == "none":
            return "it was given no model. Use trainhooks.wrap(model, ...)."
        return f"the {self.framework} adapter does not offer it."

    def get_lrs(self) -> list[float]:
        """The learning rate of each parameter group."""
        raise self._lacks("lr")

    def set_lrs(self, lrs: Sequence[float]) -> None:
        """Set the learning rate of each parameter group, from the next update on."""
        raise self._lacks("lr")

    def get_weights(self) -> dict[str, np.ndarray[Any, Any]]:
        """Owned copies of the weights on the host, by name."""
        raise self._lacks("weights")

    def set_weights(self, weights: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Write weights by name.

        Raises:
            WeightsError: a name or a shape does not fit; all are checked before any is written.
        """
        raise self._lacks("weights")

    def snapshot(self) -> Any:
        """The framework's own copy of the weights, on its own device; training on does not change it."""
        raise self._lacks("snapshot")

    def restore(self, snapshot: Any) -> None:
        """Write a snapshot back; it stays good for another time."""
        raise self._lacks("snapshot")

    def state_dict(self) -> dict[str, Any]:
        """All that training on needs, weights and optimizer, as JSON-able values and numpy arrays."""
        raise self._lacks("state")

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what ``state_dict`` gave."""
        raise self._lacks("state")

    def save(self, path: Path) -> None:
        """Write the model in the format of the path's suffix."""
        raise self._lacks("save")

    def watch_optimizer(self, call: Callable[[], None]) -> Callable[[], None]:
        """Call ``call()`` after each real optimizer update; returns what ends the watching."""
        raise self._lacks("optimizer_step")

    def _lacks(self, need: str) -> Exception:
        return lacking("run", need, self.missing(need) or "it was not overridden.")


class ModelOnly(Trainable):
    """Any object as a model, with no verb at all: for a loop whose trainer is nobody's adapter."""

    def __init__(self, model: object) -> None:
        self.model = model
        self.framework = type(model).__name__
