"""All that training a Keras model goes on from: its variables and its optimizer's, as numpy arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trainhooks import errors


def state_of(model: Any) -> dict[str, Any]:
    """The model's variables (weights, and the states of its seed generators) and the optimizer's, in their order."""
    return {
        "model": _values(_of_model(model)),
        "optimizer": _values(_of_optimizer(model)),
        "optimizer_class": _class_of(model),
    }


def load_state(model: Any, state: Mapping[str, Any]) -> None:
    """Take back what ``state_of`` gave; what does not fit is refused before anything is written."""
    if not model.built:
        raise errors.WeightsError(
            "load_state_dict(): the model has no weights yet. Give it an Input layer, or call it on a batch, first."
        )
    optimizer = getattr(model, "optimizer", None)
    if state["optimizer_class"] != _class_of(model):
        raise errors.WeightsError(
            f"load_state_dict(): the state is of {state['optimizer_class']}, the optimizer is {_class_of(model)}. "
            "Nothing was written."
        )
    if optimizer is not None and not optimizer.built and len(state["optimizer"]) > len(optimizer.variables):
        optimizer.build(model.trainable_variables)
    pairs = [
        *_matched("the model", _of_model(model), state["model"]),
        *_matched("the optimizer", _of_optimizer(model), state["optimizer"]),
    ]
    for variable, value in pairs:
        variable.assign(value)


def _class_of(model: Any) -> str:
    """The class of the optimizer, and of the one inside it."""
    optimizer = getattr(model, "optimizer", None)
    inner = getattr(optimizer, "inner_optimizer", None)
    return type(optimizer).__name__ + (f"({type(inner).__name__})" if inner is not None else "")


def _of_model(model: Any) -> list[Any]:
    measured = {id(variable) for variable in model.metrics_variables}
    return [variable for variable in model.variables if id(variable) not in measured]


def _of_optimizer(model: Any) -> list[Any]:
    return list(getattr(getattr(model, "optimizer", None), "variables", None) or ())


def _values(variables: Sequence[Any]) -> list[np.ndarray[Any, Any]]:
    import keras

    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def _matched(what: str, variables: Sequence[Any], values: Sequence[Any]) -> list[tuple[Any, Any]]:
    if len(variables) != len(values):
        raise errors.WeightsError(
            f"load_state_dict(): {what} has {len(variables)} variables, the state {len(values)}. Nothing was written."
        )
    pairs = list(zip(variables, values, strict=True))
    shapes = [
        f"{variable.path!r} is {tuple(variable.shape)}, given {value.shape}"
        for variable, value in pairs
        if tuple(variable.shape) != value.shape
    ]
    if shapes:
        raise errors.weights_mismatch(f"load_state_dict(), {what}", (), (), shapes)
    return pairs
