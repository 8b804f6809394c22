"""All that training a PyTorch module goes on from, as JSON-able values and numpy arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

import trainhooks

from ._fits import check_fit, check_gradients, classes_of, parameters_in, schedulers_like
from ._given import unwrapped_optimizer
from ._gradients import parameters_of, pending, put_back
from ._tree import like, pack, unpack
from ._weights import import_torch, names_of, to_numpy


@dataclass(frozen=True)
class Parts:
    """What is trained, and what trains it."""

    model: Any
    optimizers: Sequence[Any] = ()
    schedulers: Sequence[Any] = ()
    scalers: Sequence[Any] = ()


@dataclass
class _Leaves:
    """Makes an array of each tensor: at once, or (of one that is on a device) when somebody asks."""

    later: bool
    made: dict[Any, tuple[Any, Any]] = field(default_factory=dict)

    def __call__(self, tensor: Any) -> Any:
        if not self.later or tensor.device.type == "cpu":
            return to_numpy(tensor.detach())
        clone = tensor.detach().clone()
        dtype = to_numpy(import_torch().empty(0, dtype=tensor.dtype)).dtype
        return trainhooks.OnDevice(lambda: _read(clone), tensor.shape, dtype)

    def once(self, tensor: Any) -> Any:
        """As a call, and of weights that are tied one array."""
        if not tensor.data_ptr():  # nothing is in it, or it is a wrapper's and says nothing of where its values are
            return self(tensor)
        memory = (tensor.device, tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride(), tensor.is_conj())
        if memory not in self.made:
            self.made[memory] = (tensor, self(tensor))  # kept, for another must not get its memory meanwhile
        return self.made[memory][1]


def _read(clone: Any) -> Any:
    if clone.is_cuda:  # a writing thread has a stream of its own, which does not wait for the one that clones
        import_torch().cuda.synchronize(clone.device)
    return to_numpy(clone)


def state_of(parts: Parts, model: Mapping[str, Any], later: bool = False) -> dict[str, Any]:
    """What ``load_state`` takes.

    Args:
        parts: what the state is of.
        model: the module's ``state_dict()``.
        later: whether tensors that are on a device are copied there, and come as ``OnDevice``.
    """
    leaf = _Leaves(later)
    optimizers = [unwrapped_optimizer(one) for one in parts.optimizers]
    return {
        "model": {name: pack(model[key], f"the model's {key!r}", leaf.once) for name, key in names_of(model).items()},
        "classes": classes_of(optimizers),
        "parameters": parameters_in(optimizers, parts.model),
        "optimizers": [pack(one.state_dict(), type(one).__name__, leaf) for one in optimizers],
        "gradients": [pack(pending(one), f"a gradient of {type(one).__name__}", leaf) for one in optimizers],
        "schedulers": schedulers_like(parts.schedulers, optimizers),
        "scheduler_states": [
            pack(_without_functions(one.state_dict()), type(one).__name__, leaf) for one in parts.schedulers
        ],
        "scalers": [pack(one.state_dict(), type(one).__name__, leaf) for one in parts.scalers],
    }


def load_state(parts: Parts, own: dict[str, Any], state: Mapping[str, Any]) -> None:
    """Take back what ``state_of`` gave; what does not fit is refused before anything is written.

    Args:
        parts: as they were given when the state was taken.
        own: the module's ``state_dict()`` now, which is changed.
        state: what ``state_of`` gave.

    Raises:
        WeightsError: it says what does not fit.
    """
    optimizers = [unwrapped_optimizer(one) for one in parts.optimizers]
    model = {name: unpack(value, name) for name, value in state["model"].items()}
    kept = [unpack(saved, f"state of {type(one).__name__}") for one, saved in _both(optimizers, state["optimizers"])]
    gradients = [[unpack(one, "a gradient") for one in saved] for saved in state["gradients"]]
    check_fit(parts, own, model, optimizers, kept, state)
    check_gradients(optimizers, gradients)
    for name, key in names_of(own).items():
        own[key] = model[name]
    parts.model.load_state_dict(own)  # with the versions of the modules, which a dictionary of ours would not have
    for optimizer, saved, given in zip(optimizers, kept, gradients, strict=True):
        optimizer.load_state_dict(_of_optimizer(optimizer, saved))
        own_parameters = parameters_of(optimizer)
        put_back(own_parameters, [_placed(*pair) for pair in zip(own_parameters, given, strict=True)])
    for scheduler, one in zip(parts.schedulers, state["scheduler_states"], strict=True):
        scheduler.load_state_dict(like(scheduler.state_dict(), unpack(one, type(scheduler).__name__)))
    for scaler, one in zip(parts.scalers, state["scalers"], strict=True):
        scaler.load_state_dict(unpack(one, type(scaler).__name__))


def _both(optimizers: Sequence[Any], saved: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    return zip(optimizers, saved, strict=False)  # whether they are as many is looked at with all else


def _of_optimizer(optimizer: Any, saved: Mapping[str, Any]) -> dict[str, Any]:
    """The state in the form of what it replaces: settings that are tensors, and the memory order of the parameters."""
    groups = [
        {name: one if name in ("params", "param_names") else like(own.get(name), one) for name, one in group.items()}
        for own, group in zip(optimizer.param_groups, saved["param_groups"], strict=True)
    ]
    numbers = [number for group in saved["param_groups"] for number in group["params"]]
    parameters = dict(zip(numbers, parameters_of(optimizer), strict=True))
    state = {
        number: {name: _placed(parameters[number], one) for name, one in entry.items()}
        if number in parameters and isinstance(entry, dict)
        else entry
        for number, entry in saved["state"].items()
    }
    return {**saved, "state": state, "param_groups": groups}


def _placed(parameter: Any, value: Any) -> Any:
    """``value`` in the memory order of ``parameter``: a fused step walks through both as they lie."""
    torch = import_torch()
    if not isinstance(value, torch.Tensor) or value.layout is not torch.strided or value.shape != parameter.shape:
        return value
    if value.stride() == parameter.stride():
        return value
    return torch.empty_like(parameter, dtype=value.dtype, device=value.device, requires_grad=False).copy_(value)


def _without_functions(value: Any) -> Any:
    """A scheduler's state without its functions: they are code, and whoever makes it again gives them again."""
    if type(value) is dict:
        kept = {key: one for key, one in value.items() if not isinstance(one, _FUNCTIONS)}
        return {key: _without_functions(one) for key, one in kept.items()}
    return [_without_functions(one) for one in value] if type(value) is list else value


_FUNCTIONS = (FunctionType, MethodType, BuiltinFunctionType)
