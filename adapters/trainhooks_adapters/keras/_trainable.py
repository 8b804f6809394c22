"""KerasTrainable: the verbs over a Keras model, on any backend."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

import trainhooks
from trainhooks import errors

from ._averaging import lacks_average, optimizer_average, update_average
from ._graph import embeddings_of, graph_of
from ._profiling import profile
from ._random import load_random_state, random_state
from ._saving import FORMATS, save
from ._state import load_state, snapshot_of, state_of

BATCH_HOOKS: Final = tuple(
    f"on_{kind}_batch_{edge}" for kind in ("train", "test", "predict") for edge in ("begin", "end")
)


class KerasTrainable(trainhooks.Trainable):
    """A Keras model, reached through its callback's ``model`` at each access: on JAX only that is current.

    Weights are indexed by position, since Keras's paths are neither unique nor stable; the path is a label.

    Args:
        get_model: gives the model.
        hooks: the native batch hooks that are subscribed to.
        data: what ``fit`` trains on, where that is known: its own random generators are kept too.
    """

    framework = "keras"
    formats = FORMATS

    def __init__(self, get_model: Callable[[], Any], hooks: frozenset[str], data: Any = None) -> None:
        self._get_model, self._hooks, self._data = get_model, hooks, data

    @property
    def model(self) -> Any:
        return self._get_model()

    @property
    def optimizer(self) -> Any:
        return getattr(self.model, "optimizer", None)

    def missing(self, need: str) -> str | None:
        if f"on_{need}" in BATCH_HOOKS and f"on_{need}" not in self._hooks:
            return (
                "Keras calls batch hooks only if they are there when fit begins: give the callback to wrap or bridge."
            )
        if need == "end_epoch":
            return "Keras's fit cannot end an epoch's batches; give it steps_per_epoch, or stop."
        if need == "mid_epoch":
            return "Keras's fit begins at an epoch, never inside one."
        if need == "batch_logs":
            return "Keras shows running means only: use logs."
        if need == "optimizer_step":
            return "Keras tells nobody of its optimizer's updates: use on_train_batch_end."
        if need == "gradients":
            return "Keras clips inside its optimizers: compile(optimizer=Adam(global_clipnorm=1.0)), or clipvalue=..."
        if need == "data_wait":
            return "Keras fetches a batch after it said that the batch begins."
        if need == "optimizer_average":
            return lacks_average(self.optimizer)
        if need in ("lr", "read_lr"):
            optimizer = self.optimizer
            if optimizer is None:
                return "the model has no optimizer yet: call model.compile(optimizer=...) first."
            config = getattr(optimizer, "inner_optimizer", optimizer).get_config()
            if need == "lr" and not isinstance(config.get("learning_rate"), float):
                return "the optimizer's learning rate is a LearningRateSchedule: give it a float."
        return super().missing(need)

    def get_lrs(self) -> list[float]:
        import keras

        return [float(keras.ops.convert_to_numpy(self.optimizer.learning_rate))]

    def set_lrs(self, lrs: Sequence[float]) -> None:
        if len(lrs) != 1:
            raise ValueError(f"run.lrs = {list(lrs)!r}: the parameter groups are 1, the values {len(lrs)}")
        try:  # not asked beforehand: a scheduler does this at each step, and get_config() reads the rate off the device
            self.optimizer.learning_rate = lrs[0]
        except (AttributeError, TypeError) as error:  # no optimizer, or a LearningRateSchedule in it
            raise errors.lacking("run.lr", "lr", self.missing("lr") or str(error)) from error

    def get_weights(self) -> dict[str, np.ndarray[Any, Any]]:
        model = self.model
        return dict(zip(_names(model), model.get_weights(), strict=True))

    def set_weights(self, weights: Mapping[str, np.ndarray[Any, Any]]) -> None:
        model = self.model
        names = _names(model)
        given = {name.partition(".")[0]: np.asarray(value) for name, value in weights.items()}
        places = [name.partition(".")[0] for name in names]
        shapes = [
            _other_shape(name, variable, given[place])
            for name, place, variable in zip(names, places, model.weights, strict=True)
            if place in given and given[place].shape != tuple(variable.shape)
        ]
        missing = [name for name, place in zip(names, places, strict=True) if place not in given]
        unexpected = [name for name in weights if name.partition(".")[0] not in places]
        if missing or unexpected or shapes:
            raise errors.weights_mismatch("run.set_weights()", missing, unexpected, shapes)
        for name, place in zip(names, places, strict=True):
            if given[place].dtype.kind not in "fiubV":  # numpy calls bfloat16 V
                raise errors.WeightsError(
                    f"run.set_weights(): {name!r} is given as {given[place].dtype}. Nothing was written."
                )
        model.set_weights([given[place] for place in places])

    def snapshot(self) -> Any:
        import keras

        return [keras.ops.copy(keras.ops.stop_gradient(variable.value)) for variable in self.model.weights]

    def restore(self, snapshot: Any) -> None:
        import keras

        model = self.model
        names = _names(model)
        if len(snapshot) != len(names):
            raise errors.WeightsError(
                f"run.restore(): the model has {len(names)} weights, the snapshot {len(snapshot)}. Nothing was written."
            )
        both = list(zip(names, model.weights, snapshot, strict=True))
        if shapes := [_other_shape(name, a, b) for name, a, b in both if tuple(a.shape) != tuple(b.shape)]:
            raise errors.weights_mismatch("run.restore()", (), (), shapes)
        for _, variable, value in both:
            variable.assign(keras.ops.copy(value))  # on JAX the next step donates what is assigned

    def state_dict(self) -> dict[str, Any]:
        return state_of(self.model)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        load_state(self.model, state)

    def state_snapshot(self) -> dict[str, Any]:
        return snapshot_of(self.model)

    def random_state(self, loader: Any = None) -> dict[str, Any]:
        return random_state(self._data if loader is None else loader)

    def load_random_state(self, state: Mapping[str, Any], loader: Any = None, *, new_only: bool = False) -> None:
        load_random_state(state, self._data if loader is None else loader)

    def update_average(self, average: Any, decay: float) -> Any:
        return self.snapshot() if average is None else update_average(self.model, average, decay)

    def optimizer_average(self) -> Any:
        if self.missing("optimizer_average"):
            raise self._lacks("optimizer_average")
        return optimizer_average(self.model)

    def save(self, path: Path) -> None:
        save(self.model, path)

    def graph(self) -> list[tuple[str, str, Sequence[str]]]:
        return graph_of(self.model)

    def embeddings(self) -> dict[str, np.ndarray[Any, Any]]:
        return embeddings_of(self.model)

    def profile(self, folder: Path) -> Callable[[], None]:
        return profile(folder)


def _names(model: Any) -> list[str]:
    return [f"{place}.{variable.path}" for place, variable in enumerate(model.weights)]


def _other_shape(name: str, variable: Any, value: Any) -> str:
    return f"{name!r} is {tuple(variable.shape)}, given {tuple(value.shape)}"
