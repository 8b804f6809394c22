"""Moving averages of a Keras model's weights: ours, and the one that its optimizer keeps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def update_average(model: Any, average: Any, decay: float) -> Any:
    """As ``Trainable.update_average``; snapshots are lists of values, in the order of ``model.weights``.

    Half precision is averaged in float32. Whatever is given back is new: on JAX the next step donates the values that
    the variables hold.
    """
    from keras import ops

    moved = []
    for variable, kept in zip(model.weights, average, strict=True):
        value = ops.stop_gradient(variable.value)
        kind = ops.dtype(value) if hasattr(ops, "dtype") else variable.dtype
        if "float" not in str(kind):
            moved.append(ops.copy(value))
            continue
        if str(kind) not in ("float32", "float64"):
            value, kept = ops.cast(value, "float32"), ops.cast(kept, "float32")
        moved.append(ops.add(ops.multiply(kept, decay), ops.multiply(value, 1 - decay)))
    return moved


def lacks_average(optimizer: Any) -> str | None:
    """Why the optimizer keeps no average, as a sentence that says what to change; None if it keeps one."""
    if optimizer is None:
        return "the model has no optimizer yet: call model.compile(optimizer=Adam(use_ema=True)) first."
    if any(getattr(one, "use_ema", False) for one in _inner(optimizer)):
        return None
    return (
        "its optimizer keeps none: compile(optimizer=Adam(use_ema=True)), "
        "or add trainhooks.callbacks.EMA(decay) to the callbacks."
    )


def optimizer_average(model: Any) -> Any:
    """As ``Trainable.optimizer_average``, in the form of a snapshot.

    What the optimizer does not average has its current value: what is not trainable, as BatchNorm's statistics, and
    everything before the first update, when Keras's averages are still zeros.
    """
    from keras import ops

    averages: dict[int, Any] = {}
    for one in _inner(model.optimizer):
        if getattr(one, "use_ema", False) and one.built and int(ops.convert_to_numpy(one.iterations)):
            # private, in keras 3.15 as since 3.0: there is no public way to them, and case_ema.py pins it
            pairs = zip(one._trainable_variables, one._model_variables_moving_average, strict=True)
            averages |= {id(variable): kept for variable, kept in pairs if kept is not None}
    variables = [averages.get(id(variable), variable) for variable in model.weights]
    return [ops.copy(ops.stop_gradient(variable.value)) for variable in variables]


def _inner(optimizer: Any) -> Iterator[Any]:
    """The optimizers that do the work: inside one that scales the loss, or one that holds several."""
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    yield from getattr(optimizer, "optimizers", [optimizer])
