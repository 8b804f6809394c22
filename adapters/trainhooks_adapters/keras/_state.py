"""All that training a Keras model goes on from: its variables and its optimizers', as numpy arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

import trainhooks
from trainhooks import errors

from ._variables import (
    Optimizer,
    layers_of,
    names_in_optimizer,
    names_of,
    of_model,
    optimizers_of,
    own_variables,
    parts_of,
    places_of,
    trained_by,
)

_BUILD = "Give it an Input layer, or call it on a batch, before fit."
_WHO = "load_state_dict()"


def state_of(model: Any) -> dict[str, Any]:
    """The model's variables (weights, and the states of its seed generators) and those of its optimizers.

    Lookup tables of preprocessing layers, as a ``TextVectorization``'s, are no variables: adapt it again.

    Raises:
        NoWeightsError: the model has not been built yet, as on TensorFlow before its first batch.
    """
    return _collect(model, _array)


def snapshot_of(model: Any) -> dict[str, Any]:
    """As ``state_of``; the values are copied where they are, and come as ``OnDevice``."""
    return _collect(model, _on_device)


def _collect(model: Any, keep: Callable[[Any], Any]) -> dict[str, Any]:
    if not model.built:
        raise errors.NoWeightsError(f"run.state_dict(): the model has no weights yet. {_BUILD}")
    variables = of_model(model)
    places = places_of(variables)
    return {
        "model": {
            "names": names_of(variables),
            "paths": [variable.path for variable in variables],
            "values": [keep(variable) for variable in variables],
        },
        "optimizers": [_collect_one(optimizer, variables, places, keep) for optimizer in optimizers_of(model)],
    }


def _collect_one(
    optimizer: Optimizer, variables: Sequence[Any], places: Mapping[str, int], keep: Callable[[Any], Any]
) -> dict[str, Any]:
    return {
        "where": optimizer.where,
        "trains": trained_by(optimizer.itself, variables),
        "built": bool(optimizer.itself.built),
        "parts": [
            {
                "where": part.where,
                "class": type(part.itself).__name__,
                "names": names_in_optimizer(own_variables(part), places),
                "values": [keep(variable) for variable in own_variables(part)],
            }
            for part in parts_of(optimizer)
        ],
    }


def load_state(model: Any, state: Mapping[str, Any]) -> None:
    """Take back what ``state_of`` gave; what does not fit is refused before anything is written.

    Variables are matched by their order, and by the names that do not change between two processes. An optimizer that
    is not built yet is built for the variables that it had; one that was not, begins anew.

    Raises:
        NoWeightsError: the model has not been built yet.
        WeightsError: the state is of another model, or of other optimizers.
    """
    if not model.built:
        raise errors.NoWeightsError(f"{_WHO}: the model has no weights yet. {_BUILD}")
    try:
        pairs, optimizers = _checked(model, state)
    except (KeyError, IndexError, TypeError, AttributeError) as error:  # what values of another shape lead to
        raise errors.WeightsError(
            f"{_WHO}: this is not what a Keras model's state_dict() gives ({type(error).__name__}: {error}). "
            "Nothing was written."
        ) from error
    for optimizer in optimizers:
        pairs += optimizer.pairs()
    for variable, value in pairs:
        variable.assign(value)
    for layer in layers_of(model):
        if hasattr(layer, "finalize_state") and layer.variables:  # Normalization computes with what it made of them
            layer.finalize_state()


def _checked(model: Any, state: Mapping[str, Any]) -> tuple[list[tuple[Any, Any]], list[_Loading]]:
    """What is to be written into which variable of the model, and its optimizers, once all have been found to fit."""
    variables, places = of_model(model), places_of(of_model(model))
    given = state["model"]
    _check_order(variables, given["paths"])
    pairs = _matched("the model", variables, names_of(variables), given["names"], given["values"])
    optimizers, saved = optimizers_of(model), state["optimizers"]
    _check_classes(
        [(one["where"], one["parts"][0]["class"]) for one in saved],
        [(one.where, type(one.itself).__name__) for one in optimizers],
    )
    return pairs, [_Loading(one, of, variables, places) for one, of in zip(optimizers, saved, strict=True)]


class _Loading:
    """One optimizer that is to take its state back: checked when it is made, without a change.

    Args:
        optimizer: as it is now.
        saved: its state.
        variables: the model's.
        places: as ``places_of`` gives them.
    """

    def __init__(
        self, optimizer: Optimizer, saved: Mapping[str, Any], variables: Sequence[Any], places: Mapping[str, int]
    ) -> None:
        self.optimizer, self.saved, self.places = optimizer, saved, places
        now = optimizer.itself
        self.trained: list[Any] | None = None
        """What it is to be built for, when all else has been checked; None if it is built."""
        self.fresh: Optimizer | None = None
        """One like it, as it is before its first update, where it was not built when the state was taken."""
        checked = optimizer
        if saved["built"] and not now.built:
            if saved["trains"] is None or not all(place < len(variables) for place in saved["trains"]):
                raise errors.WeightsError(
                    f"{_WHO}: {optimizer.where} is not built yet, and trains what is not the model's. Build it before "
                    "fit, with optimizer.build(variables). Nothing was written."
                )
            self.trained = [variables[place] for place in saved["trains"]]
            checked = self._like(self.trained)
        elif now.built and not saved["built"]:
            self.fresh = self._like(list(now._trainable_variables))  # see trained_by
        self._match(checked)

    def pairs(self) -> list[tuple[Any, Any]]:
        """What is to be written into which variable."""
        if self.trained is not None:
            self.optimizer.itself.build(self.trained)
        return self._match(self.optimizer)

    def _like(self, trained: list[Any]) -> Optimizer:
        """One with the same settings: to check against what would be built, and to know what it begins with."""
        itself = self.optimizer.itself
        try:
            made = type(itself).from_config(itself.get_config())
        except Exception as error:  # whatever a user's own get_config raises
            raise errors.WeightsError(
                f"{_WHO}: {self.optimizer.where} is not built as it was when the state was taken, and its get_config() "
                "gives no second one to check it with. Build it before fit, with optimizer.build(variables). Nothing "
                "was written."
            ) from error
        made.build(trained)
        return Optimizer(self.optimizer.where, made)

    def _match(self, optimizer: Optimizer) -> list[tuple[Any, Any]]:
        parts, saved = parts_of(optimizer), self.saved["parts"]
        _check_classes(
            [(part["where"], part["class"]) for part in saved],
            [(part.where, type(part.itself).__name__) for part in parts],
        )
        fresh = [None] * len(parts) if self.fresh is None else parts_of(self.fresh)
        pairs: list[tuple[Any, Any]] = []
        for part, begun, one in zip(parts, fresh, saved, strict=True):
            variables = own_variables(part)
            names = names_in_optimizer(variables, self.places)
            given = one["names"], one["values"]
            if begun is not None:
                values = dict(zip(*given, strict=True))
                made = own_variables(begun)
                given = names, [values.get(name, _array(new)) for name, new in zip(names, made, strict=True)]
            pairs += _matched(f"the optimizer ({part.where})", variables, names, *given)
        return pairs


def _array(variable: Any) -> np.ndarray[Any, Any]:
    import keras

    array = keras.ops.convert_to_numpy(variable.value)
    return array if array.flags.owndata and array.flags.writeable else np.array(array)  # JAX shows its own memory


def _on_device(variable: Any) -> trainhooks.OnDevice:
    import keras

    copy = keras.ops.copy(keras.ops.stop_gradient(variable.value))  # on JAX the next step donates what is there now
    dtype = keras.ops.convert_to_numpy(keras.ops.zeros((0,), variable.dtype)).dtype
    return trainhooks.OnDevice(lambda: keras.ops.convert_to_numpy(copy), variable.shape, dtype)


# What is refused


def _check_classes(given: Sequence[tuple[str, str]], there: Sequence[tuple[str, str]]) -> None:
    if list(given) == list(there):
        return
    if [where for where, _ in given] == [where for where, _ in there]:  # the one that is another
        given, there = zip(*(both for both in zip(given, there, strict=True) if both[0] != both[1]), strict=True)
    raise errors.WeightsError(
        f"{_WHO}: the state is of {_listed(given)}, the optimizer is {_listed(there)}. Nothing was written."
    )


def _listed(classes: Sequence[tuple[str, str]]) -> str:
    named = [kind if where == "optimizer" else f"{kind} ({where})" for where, kind in classes]
    return ", ".join(named) or "none"


def _check_order(variables: Sequence[Any], paths: Sequence[str]) -> None:
    """Where the paths are all the same, numbers and all, so must be their order."""
    now = [variable.path for variable in variables]
    if now != list(paths) and sorted(now) == sorted(paths):
        here, there = next((a, b) for a, b in zip(now, paths, strict=True) if a != b)
        raise errors.WeightsError(
            f"{_WHO}: the model has its variables in another order: {here!r} where the state has {there!r}. "
            "Nothing was written."
        )


def _matched(
    what: str, variables: Sequence[Any], names: Sequence[str], given: Sequence[str], values: Sequence[Any]
) -> list[tuple[Any, Any]]:
    if len(variables) != len(values):
        raise errors.WeightsError(
            f"{_WHO}: {what} has {len(variables)} variables, the state {len(values)}. Nothing was written."
        )
    arrays = [np.asarray(value) for value in values]
    named = zip(variables, names, given, strict=True)
    other = [f"{one.path!r} where the state has {theirs!r}" for one, own, theirs in named if own != theirs]
    if other:
        raise errors.WeightsError(f"{_WHO}: {what} has {'; '.join(other[:3])}. Nothing was written.")
    pairs = list(zip(variables, arrays, strict=True))
    shapes = [
        f"{variable.path!r} is {tuple(variable.shape)}, given {array.shape}"
        for variable, array in pairs
        if tuple(variable.shape) != array.shape
    ]
    if shapes:
        raise errors.weights_mismatch(f"{_WHO}, {what}", (), (), shapes)
    kinds = [f"{one.path!r} is {one.dtype}, given {array.dtype}" for one, array in pairs if not _holds(one, array)]
    if kinds:
        raise errors.WeightsError(f"{_WHO}: {what} is of another type: {'; '.join(kinds[:3])}. Nothing was written.")
    return pairs


def _holds(variable: Any, array: np.ndarray[Any, Any]) -> bool:
    """Whether the variable can take the array as it is; a count or a seed may be wider on another backend."""
    if array.dtype.kind in "iu" and "int" in str(variable.dtype):
        own = np.iinfo(str(variable.dtype))
        return array.size == 0 or bool(own.min <= array.min() and array.max() <= own.max)
    return str(array.dtype) == str(variable.dtype)
