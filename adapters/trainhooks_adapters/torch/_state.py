"""All that training a PyTorch module goes on from, as JSON-able values and numpy arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trainhooks import errors

from ._weights import check, import_torch, plain_names, tensors_of, to_numpy, to_torch


def state_of(model: dict[str, Any], optimizers: Sequence[Any]) -> dict[str, Any]:
    """The module's ``state_dict()`` and the optimizers'."""
    return {
        "model": {name: _plain(model[key], f"the model's {key!r}") for name, key in _names(model).items()},
        "classes": _classes(optimizers),
        "optimizers": [_plain(_unwrapped(one).state_dict(), type(one).__name__) for one in optimizers],
    }


def load_state(model: Any, own: dict[str, Any], optimizers: Sequence[Any], state: Mapping[str, Any]) -> None:
    """Take back what ``state_of`` gave; what does not fit is refused before anything is written.

    Args:
        model: the module.
        own: its ``state_dict()`` now.
        optimizers: as they were given when the state was taken.
        state: what ``state_of`` gave.
    """
    who = "load_state_dict()"
    names = _names(own)
    given = {names.get(name, name): _torch(value, None, name) for name, value in state["model"].items()}
    check(who, tensors_of(own), tensors_of(given))
    if len(state["optimizers"]) != len(optimizers):
        raise errors.WeightsError(
            f"{who}: the state is of {len(state['optimizers'])} optimizers, and there are {len(optimizers)}. "
            "Nothing was written."
        )
    if state["classes"] != _classes(optimizers):
        raise errors.WeightsError(
            f"{who}: the state is of {errors.listing(state['classes'])}, and there is "
            f"{errors.listing(_classes(optimizers))}. Nothing was written."
        )
    both = list(zip(map(_unwrapped, optimizers), state["optimizers"], strict=True))
    for optimizer, saved in both:
        sizes, now = _sizes(saved["param_groups"]), _sizes(optimizer.param_groups)
        if sizes != now:
            raise errors.WeightsError(
                f"{who}: the parameter groups of {type(optimizer).__name__} hold {now} parameters, those of the state "
                f"{sizes}. Nothing was written."
            )
    model.load_state_dict(given)
    for optimizer, saved in both:
        optimizer.load_state_dict(_optimizer_state(optimizer, saved))


def _names(state: Mapping[str, Any]) -> dict[str, str]:
    """For the name of each entry its key: what wrappers put into the keys of weights is taken off."""
    plain = plain_names(state)
    return plain | {key: key for key in state.keys() - set(plain.values())}


def _optimizer_state(optimizer: Any, saved: Mapping[str, Any]) -> dict[str, Any]:
    """As the optimizer's own ``load_state_dict`` takes it: numbered parameters, tensors, tuples where it has tuples."""
    groups = [
        {name: _like(own.get(name), value, name) for name, value in group.items()}
        for own, group in zip(optimizer.param_groups, saved["param_groups"], strict=True)
    ]
    state = {int(number): _torch(one, None, f"state of parameter {number}") for number, one in saved["state"].items()}
    return {**saved, "state": state, "param_groups": groups}


def _classes(optimizers: Sequence[Any]) -> list[str]:
    return [type(_unwrapped(one)).__name__ for one in optimizers]


def _sizes(groups: Sequence[Mapping[str, Any]]) -> list[int]:
    return [len(group["params"]) for group in groups]


def _unwrapped(optimizer: Any) -> Any:
    """A wrapper such as accelerate's hands on to the optimizer inside."""
    base = import_torch().optim.Optimizer
    inner = getattr(optimizer, "optimizer", None)
    return inner if isinstance(inner, base) and not hasattr(optimizer, "_optimizer_step_post_hooks") else optimizer


def _plain(value: Any, what: str) -> Any:
    if isinstance(value, import_torch().Tensor):
        return to_numpy(value.detach())
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        return {key: _plain(one, what) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one, what) for one in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return np.array(value)
    raise errors.WeightsError(
        f"run.state_dict(): {what} holds a {type(value).__name__}, which no file keeps without pickle. "
        "Keep numbers, strings, lists, dictionaries and tensors in it."
    )


def _torch(value: Any, own: Any, what: str) -> Any:
    """A saved value as torch has it; what was a tuple is one again where ``own``, the value now, is."""
    if isinstance(value, np.ndarray):
        return to_torch("load_state_dict()", what, value)
    if isinstance(value, Mapping):
        inner = own if isinstance(own, Mapping) else {}
        return {key: _torch(one, inner.get(key), what) for key, one in value.items()}
    if isinstance(value, list):
        made = [_torch(one, None, what) for one in value]
        return tuple(made) if isinstance(own, tuple) else made
    return value


def _like(own: Any, value: Any, what: str) -> Any:
    """A saved setting in the form of the one it takes the place of: a learning rate that is a tensor stays one."""
    made = _torch(value, own, what)
    tensor = import_torch().Tensor
    if isinstance(made, tensor) and not isinstance(own, tensor):
        return made.item()
    return made
