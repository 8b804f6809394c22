"""TinyTrainable: what a callback may read and change of a trainer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tinytrainer

import trainhooks
from trainhooks import errors

Arrays = Mapping[str, Any]


class TinyTrainable(trainhooks.Trainable):
    """The verbs over a ``tinytrainer.Trainer``. What is not here, trainhooks refuses by itself, and says so."""

    framework = "tinytrainer"
    formats = {".npz": "the parameters, as Trainer.save writes them"}

    def __init__(self, trainer: tinytrainer.Trainer) -> None:
        self.trainer = trainer
        self.model = trainer.model

    def missing(self, need: str) -> str | None:
        if need == "mid_epoch":
            return "tinytrainer begins at an epoch, never inside one."
        return super().missing(need)

    def get_lrs(self) -> list[float]:
        return [self.trainer.lr]

    def set_lrs(self, lrs: Sequence[float]) -> None:
        if len(lrs) != 1:
            raise ValueError(f"run.lrs = {list(lrs)!r}: tinytrainer has one learning rate")
        self.trainer.lr = lrs[0]

    def get_weights(self) -> dict[str, Any]:
        return _copies(self.model.params)

    def set_weights(self, weights: Arrays) -> None:
        _write(self.model.params, weights, "run.set_weights()")

    def snapshot(self) -> Any:
        return _copies(self.model.params)

    def restore(self, snapshot: Any) -> None:
        _write(self.model.params, snapshot, "run.restore()")

    def state_dict(self) -> dict[str, Any]:
        return {"lr": self.trainer.lr, "arrays": _copies(self._arrays())}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        _write(self._arrays(), state["arrays"], "resume=state")
        self.trainer.lr = state["lr"]

    def random_state(self, loader: Any = None) -> dict[str, Any]:
        return dict(self.trainer.rng.bit_generator.state)

    def load_random_state(self, state: Mapping[str, Any], loader: Any = None, *, new_only: bool = False) -> None:
        if not new_only:
            self.trainer.rng.bit_generator.state = dict(state)

    def watch_optimizer(self, call: Callable[[], None]) -> Callable[[], None]:
        return hooked(self.trainer, Watching(call))

    def update_average(self, average: Any, decay: float) -> Any:
        if average is None:
            return self.snapshot()
        for name, array in self.model.params.items():
            average[name] = (decay * average[name] + (1 - decay) * array).astype(array.dtype)
        return average

    def save(self, path: Path) -> None:
        self.trainer.save(path)

    def _arrays(self) -> dict[str, Any]:
        """Every live array that training changes."""
        kinds = {"params": self.model.params, "velocity": self.trainer.velocity}
        return {f"{kind}/{name}": array for kind, arrays in kinds.items() for name, array in arrays.items()}


class Watching(tinytrainer.Hook):
    """Calls ``call`` after each update."""

    def __init__(self, call: Callable[[], None]) -> None:
        self.call = call

    def updated(self, trainer: tinytrainer.Trainer) -> None:
        self.call()


def hooked(trainer: tinytrainer.Trainer, hook: tinytrainer.Hook) -> Callable[[], None]:
    """Have the trainer tell ``hook``, until what is returned is called."""
    trainer.hooks.append(hook)
    return lambda: trainer.hooks.remove(hook) if hook in trainer.hooks else None


def _copies(arrays: Arrays) -> dict[str, Any]:
    return {name: array.copy() for name, array in arrays.items()}


def _write(own: Arrays, given: Arrays, who: str) -> None:
    """Write ``given`` into the arrays of ``own``, in place: all of them, or none where one does not fit."""
    missing, unexpected = [name for name in own if name not in given], [name for name in given if name not in own]
    shapes = [
        f"{name!r} is {array.shape}, given {np.shape(given[name])}"
        for name, array in own.items()
        if name in given and np.shape(given[name]) != array.shape
    ]
    if missing or unexpected or shapes:
        raise errors.weights_mismatch(who, missing, unexpected, shapes)
    for name, array in own.items():
        array[...] = given[name]
