"""Whether a state fits the module, the optimizers, the schedulers and the scalers, all of it before any is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trainhooks import errors

from ._given import index_of_optimizer
from ._gradients import parameters_of
from ._weights import check, import_torch, names_of, tensors_of

if TYPE_CHECKING:
    from ._state import Parts

_WHO = "load_state_dict()"


def classes_of(optimizers: Sequence[Any]) -> list[str]:
    return [type(one).__name__ for one in optimizers]


def parameters_in(optimizers: Sequence[Any], model: Any) -> list[list[list[Any]]]:
    """For each optimizer and each of its groups the parameters: the name in the model, if it has one, and the shape."""
    named = dict(model.named_parameters())
    names = {id(named[key]): name for name, key in names_of(named).items()}
    return [
        [[[names.get(id(one)), list(one.shape)] for one in group["params"]] for group in optimizer.param_groups]
        for optimizer in optimizers
    ]


def schedulers_like(schedulers: Sequence[Any], optimizers: Sequence[Any]) -> list[list[Any]]:
    """For each scheduler its class, with those inside it, and which optimizer it sets."""
    return [[_class_of(one), index_of_optimizer(one, optimizers)] for one in schedulers]


def check_fit(
    parts: Parts,
    own: Mapping[str, Any],
    model: Mapping[str, Any],
    optimizers: Sequence[Any],
    kept: Sequence[Mapping[str, Any]],
    state: Mapping[str, Any],
) -> None:
    """Raise where a state does not fit.

    Args:
        parts: what it must fit.
        own: the module's ``state_dict()`` now.
        model: the saved one, by plain names.
        optimizers: those of ``parts``, without a wrapper.
        kept: their saved states.
        state: the whole, as ``state_of`` gave it.

    Raises:
        WeightsError: it says what does not fit.
    """
    _check_model(own, model)
    _check_same("optimizers", state["classes"], classes_of(optimizers))
    for now, saved, optimizer, held in zip(
        parameters_in(optimizers, parts.model), state["parameters"], optimizers, kept, strict=True
    ):
        _check_parameters(type(optimizer).__name__, now, saved)
        _check_entries(optimizer, held)
    _check_same("schedulers", _told(state["schedulers"]), _told(schedulers_like(parts.schedulers, optimizers)))
    scalers = [len(state["scalers"]), len(parts.scalers)]
    if scalers[0] != scalers[1]:
        raise _unfit(f"the state is of {_many(scalers[0], 'GradScaler')}, and there {_are(scalers[1])}")
    if any(not saved and scaler.is_enabled() for saved, scaler in zip(state["scalers"], parts.scalers, strict=True)):
        raise _unfit("the state is of a GradScaler with enabled=False, and there is one that is enabled")


def check_gradients(optimizers: Sequence[Any], gradients: Sequence[Sequence[Any]]) -> None:
    """Raise where a gradient that was not yet used is not that of a parameter.

    Raises:
        WeightsError: it says which.
    """
    for optimizer, given in zip(optimizers, gradients, strict=True):
        for number, (parameter, gradient) in enumerate(zip(parameters_of(optimizer), given, strict=True)):
            if gradient is not None and gradient.shape != parameter.shape:
                raise _unfit(
                    f"the gradient of {type(optimizer).__name__} for parameter {number} is {tuple(gradient.shape)}, "
                    f"and the parameter {tuple(parameter.shape)}"
                )


def _check_model(own: Mapping[str, Any], model: Mapping[str, Any]) -> None:
    now = {name: own[key] for name, key in names_of(own).items()}
    missing, unexpected = [name for name in now if name not in model], [name for name in model if name not in now]
    if missing or unexpected:
        raise errors.weights_mismatch(_WHO, missing, unexpected, [])
    check(_WHO, tensors_of(now), tensors_of(model))


def _check_parameters(who: str, now: list[list[Any]], saved: list[list[Any]]) -> None:
    if [len(group) for group in now] != [len(group) for group in saved]:
        raise _unfit(
            f"the parameter groups of {who} hold {[len(group) for group in now]} parameters, those of the state "
            f"{[len(group) for group in saved]}"
        )
    for group, (ours, theirs) in enumerate(zip(now, saved, strict=True)):
        for (name, shape), (was, had) in zip(ours, theirs, strict=True):
            if name != was and name is not None and was is not None:
                raise _unfit(
                    f"group {group} of {who} holds {name!r} where that of the state holds {was!r}",
                    " Give the optimizer its parameters in the order of then.",
                )
            if shape != list(had):
                raise _unfit(
                    f"group {group} of {who} holds {'a parameter' if name is None else repr(name)} of shape "
                    f"{tuple(shape)} where that of the state has {tuple(had)}"
                )


def _check_entries(optimizer: Any, kept: Mapping[str, Any]) -> None:
    """What an optimizer keeps for a parameter has its shape, or is one number, in those of PyTorch but two."""
    torch = import_torch()
    if not type(optimizer).__module__.startswith("torch.optim.") or type(optimizer).__name__ in ("Adafactor", "LBFGS"):
        return
    numbers = [number for group in kept["param_groups"] for number in group["params"]]
    for number, parameter in zip(numbers, parameters_of(optimizer), strict=True):
        for name, one in kept["state"].get(number, {}).items():
            if isinstance(one, torch.Tensor) and one.ndim and one.shape != parameter.shape:
                raise _unfit(
                    f"{name!r} of {type(optimizer).__name__} for parameter {number} is {tuple(one.shape)}, and the "
                    f"parameter {tuple(parameter.shape)}"
                )


def _check_same(what: str, saved: Sequence[str], now: Sequence[str]) -> None:
    if len(saved) != len(now):
        raise _unfit(f"the state is of {_many(len(saved), what[:-1])}, and there {_are(len(now))}")
    if list(saved) != list(now):
        raise _unfit(f"the state is of {errors.listing(saved)}, and there is {errors.listing(now)}")


def _class_of(scheduler: Any) -> str:
    inner = getattr(scheduler, "_schedulers", ())
    name = type(scheduler).__name__
    return f"{name}({', '.join(map(_class_of, inner))})" if inner else name


def _told(schedulers: Sequence[Sequence[Any]]) -> list[str]:
    several = len({index for _, index in schedulers}) > 1
    return [f"{name} of optimizer {index}" if several else name for name, index in schedulers]


def _many(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"


def _are(n: int) -> str:
    return "is 1" if n == 1 else f"are {n}"


def _unfit(what: str, hint: str = "") -> errors.WeightsError:
    return errors.WeightsError(f"{_WHO}: {what}. Nothing was written.{hint}")
