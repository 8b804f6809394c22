"""Trainable: what an adapter says of one framework's objects, as a handful of verbs.

An adapter overrides the verbs that its framework can do. What it can do is then derived from what it overrides, so
that a claim and its code cannot disagree; a callback whose ``requires`` is lacking is refused when it is attached.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

from .errors import lacking

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

CAPABILITIES: Final[dict[str, tuple[str, ...]]] = {
    "lr": ("get_lrs", "set_lrs"),
    "read_lr": ("get_lrs",),
    "weights": ("get_weights", "set_weights"),
    "snapshot": ("snapshot", "restore"),
    "state": ("state_dict", "load_state_dict"),
    "save": ("save",),
    "optimizer_step": ("watch_optimizer",),
    "gradients": ("clip_gradients",),
    "average": ("update_average",),
    "optimizer_average": ("optimizer_average",),
    "graph": ("graph",),
    "embeddings": ("embeddings",),
    "profile": ("profile",),
    "end_epoch": (),
    "batch_logs": (),
    "data_wait": (),
    "mid_epoch": (),
    "batches": (),
}
"""Each capability and the verbs that make it. One without verbs is there unless ``missing`` says otherwise.

``batches`` are several batches an epoch, each with values of its own.
"""


class OnDevice:
    """A leaf of a ``state_snapshot`` that is still on its device: an array for whoever asks, and not before.

    Args:
        read: gives the values as a numpy array on the host; called by whoever asks, from any thread.
        shape: of the array.
        dtype: of the array.
    """

    __slots__ = ("_read", "dtype", "shape")

    def __init__(self, read: Callable[[], np.ndarray[Any, Any]], shape: Sequence[int], dtype: np.dtype[Any]) -> None:
        self._read, self.shape, self.dtype = read, tuple(shape), dtype

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        array = self._read()  # anew each time: kept, all that is on the device would be on the host as well
        return array if dtype is None else array.astype(dtype, copy=False)


class Trainable:
    """A model and its optimizer, behind verbs. Without overrides it can do nothing, and says so.

    Attributes:
        framework: its name, as ``"torch"``.
        model: the framework's own model, or None.
        optimizer: the framework's own optimizer, or None.
        formats: the suffixes of the files that ``save`` writes, as ``".pt"``, and in a few words what is in each.
    """

    framework: str = "none"
    model: Any = None
    optimizer: Any = None
    formats: Mapping[str, str] = {}

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
        hint = ""
        if need == "save" and self.missing("weights") is None:
            hint = " There is '.safetensors', which holds the weights under every trainer."
        return f"the {self.framework} adapter does not offer it.{hint}"

    def direction(self, metric: str) -> Literal["min", "max"] | None:
        """Which way a metric is better, where the trainer knows; None has the callback tell it from the name.

        Args:
            metric: as it stands in the logs of an epoch's end, where it is; so what the trainer has told of until then
                is enough to know it.
        """
        return None

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
        """All that training on needs, weights and optimizer, as JSON-able values and numpy arrays.

        They are copies: training on changes nothing in them.
        """
        raise self._lacks("state")

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what ``state_dict`` gave."""
        raise self._lacks("state")

    def state_snapshot(self) -> dict[str, Any]:
        """As ``state_dict``, taken as quickly as can be: what is on a device stays there, copied, as ``OnDevice``.

        Training on changes nothing in it. What an adapter does not override is ``state_dict()``.
        """
        return self.state_dict()

    def random_state(self, loader: Any = None) -> dict[str, Any]:
        """The framework's own random generators, and ``loader``'s, as JSON-able values and numpy arrays.

        Python's and numpy's are not in it: the run sees to them under every trainer.
        """
        return {}

    def load_random_state(self, state: Mapping[str, Any], loader: Any = None, *, new_only: bool = False) -> None:
        """Take back what ``random_state`` gave.

        Args:
            state: what it gave.
            loader: whose generators are set too.
            new_only: set nothing but those of the loader's generators that this run has neither read nor set before.
        """

    def draws_by_itself(self, loader: Any) -> bool:
        """Whether the loader has random generators of its own, which ``random_state`` keeps."""
        return False

    def loader_state(self, loader: Any, *, inside: bool) -> Any:
        """What ``loader.state_dict()`` gives, as JSON-able values and numpy arrays.

        Args:
            loader: one that has ``state_dict`` and ``load_state_dict``.
            inside: whether a pass over it is under way. Where none is, None is what begins every pass anew by itself.
        """
        return loader.state_dict()

    def load_loader_state(self, loader: Any, state: Any) -> None:
        """Have the loader go on from what ``loader_state`` gave."""
        loader.load_state_dict(state)

    def save(self, path: Path) -> None:
        """Write the model in the format of the path's suffix, one of ``formats``."""
        raise self._lacks("save")

    def watch_optimizer(self, call: Callable[[], None]) -> Callable[[], None]:
        """Call ``call()`` after each real optimizer update; returns what ends the watching."""
        raise self._lacks("optimizer_step")

    def clip_gradients(
        self, *, norm: float | None, value: float | None, report: Callable[[Any], None]
    ) -> Callable[[], None]:
        """Clip the gradients just before each real update from now on; returns what ends it.

        Args:
            norm: the largest L2 norm of all gradients together; None for any.
            value: the largest absolute value of each element, applied first; None for any.
            report: called at each update with the L2 norm as it was before, on its device.
        """
        raise self._lacks("gradients")

    def update_average(self, average: Any, decay: float) -> Any:
        """One step of an exponential moving average of the weights, on their device.

        Args:
            average: what this gave the last time, which may be changed in place; None begins with the weights.
            decay: the average becomes ``decay * average + (1 - decay) * weights``; what is no float, as a count of
                batches, is taken over as it is.

        Returns:
            The average, which ``restore`` takes as it does a snapshot.
        """
        raise self._lacks("average")

    def optimizer_average(self) -> Any:
        """The moving average of the weights that the optimizer itself keeps, which ``restore`` takes."""
        raise self._lacks("optimizer_average")

    def graph(self) -> list[tuple[str, str, Sequence[str]]]:
        """The model as nodes: for each its name, where ``/`` makes groups, its kind, and the names of its inputs."""
        raise self._lacks("graph")

    def embeddings(self) -> dict[str, np.ndarray[Any, Any]]:
        """The tables of the embedding layers on the host, by the layers' names; a row for each entry."""
        raise self._lacks("embeddings")

    def profile(self, folder: Path) -> Callable[[], None]:
        """Begin to profile, with the framework's own profiler; what is returned ends it and writes into ``folder``."""
        raise self._lacks("profile")

    def _lacks(self, need: str) -> Exception:
        return lacking("run", need, self.missing(need) or "it was not overridden.")


class ModelOnly(Trainable):
    """Any object as a model, with no verb at all: for a loop whose trainer is nobody's adapter."""

    def __init__(self, model: object) -> None:
        self.model = model
        self.framework = type(model).__name__
