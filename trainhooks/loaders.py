"""Loaders: what each loader of an epoch goes on from, in a run that goes on in another process.

Most loaders have no place that could be kept; but some have a ``state_dict`` of their own, and some draw their order
from a random generator that they were given.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .trainable import Trainable


class Loaders:
    """The loaders of one run, each under the key of its pass in an epoch: its kind, its name, and how many of these
    came before.

    Args:
        trainable: knows its framework's loaders.
    """

    def __init__(self, trainable: Trainable) -> None:
        self.trainable = trainable
        self._waiting: dict[str, Any] = {}
        """What loaders go on from, each until it is taken."""
        self._known: dict[str, Any] = {}
        """The loaders of this run."""
        self._placed: list[Any] = []
        """Those that have been brought to their place, while others have not."""

    def go_on(self, states: Mapping[str, Any]) -> None:
        """Have the loaders of the run go on from there."""
        self._waiting, self._known, self._placed = dict(states), {}, []

    def states(self) -> dict[str, Any]:
        """What each goes on from, as it is now: a loader, or its generator, may serve several passes."""
        known = {
            key: {
                "state": self.state_of(loader, inside=False),
                "random": self.trainable.random_state(loader),
            }
            for key, loader in self._known.items()
        }
        return {**self._waiting, **known}

    def state_of(self, loader: Any, *, inside: bool) -> Any:
        """What a loader that keeps its place says of it; None for any other."""
        return self.trainable.loader_state(loader, inside=inside) if keeps_state(loader) else None

    def begin(self, key: str, loader: Any) -> None:
        """A pass begins, or was done before: its loader goes on from where it was, if it has not done so yet."""
        kept = self._waiting.pop(key, None)
        if kept is not None:
            is_new = not any(loader is one for one in self._placed)
            self._placed = [*self._placed, loader] if self._waiting else []  # once all are taken nobody asks again
            self.trainable.load_random_state(kept["random"], loader, new_only=True)
            if is_new and keeps_state(loader) and kept["state"] is not None:
                self.trainable.load_loader_state(loader, kept["state"])
        self._know(key, loader)

    def go_on_inside(self, key: str, loader: Any) -> None:
        """A pass goes on in its midst: another over the same loader goes on from there as well."""
        self._waiting.pop(key, None)
        self._placed.append(loader)
        self._know(key, loader)

    def _know(self, key: str, loader: Any) -> None:
        if keeps_state(loader) or self.trainable.draws_by_itself(loader):  # of no other is a reference kept
            self._known[key] = loader


def keeps_state(loader: Any) -> bool:
    """Whether a loader knows by itself where it is, as torchdata's StatefulDataLoader."""
    return callable(getattr(loader, "state_dict", None)) and callable(getattr(loader, "load_state_dict", None))
