"""Gradients that a loop still adds up when a state is taken, for a step that comes only some batches later."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_SPENT = "_spent_at_version"
"""An attribute of a gradient that its optimizer has used: its version then, which any later change moves on."""


def parameters_of(optimizer: Any) -> list[Any]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def spend(optimizer: Any) -> None:
    """Remember, just after a step, that it has used the gradients that are there."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            gradient = parameter.grad
            if gradient is not None:
                setattr(gradient, _SPENT, gradient._version)


def pending(optimizer: Any) -> list[Any]:
    """For each parameter its gradient, or None: there is none, or a step has used it and nothing was added since.

    Many a loop leaves used gradients until the next batch begins; kept, they would make the state larger for nothing.
    """
    gradients = [parameter.grad for parameter in parameters_of(optimizer)]
    return [None if one is None or getattr(one, _SPENT, None) == one._version else one for one in gradients]


def put_back(parameters: Sequence[Any], gradients: Sequence[Any]) -> None:
    """Set the gradients that ``pending`` gave, now on the host; a parameter that had none has none."""
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = None if gradient is None else gradient.to(parameter.device, parameter.dtype)
