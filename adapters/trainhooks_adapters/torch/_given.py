"""What a user gave beside the module, checked: its optimizers, learning rate schedulers and gradient scalers."""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from typing import Any

from ._weights import import_torch


def optimizers_in(given: Any) -> tuple[Any, ...]:
    """One optimizer, or several; none where nothing is given.

    Raises:
        TypeError: something else is among them.
        ValueError: one is given twice, or the list is empty.
    """
    if given is None:
        return ()
    optimizers = _listed(given)
    for one in optimizers:
        if not isinstance(one, import_torch().optim.Optimizer):
            hint = class_hint(one)
            if isinstance(getattr(one, "optimizer", None), import_torch().optim.Optimizer):
                hint = " It has one inside: give that, as optimizer=scheduler.optimizer."
                if isinstance(one, _schedulers()):
                    hint = f"{hint[:-1]}, and this as lr_scheduler=scheduler."
            raise TypeError(
                f"wrap(optimizer=...): {reprlib.repr(one)} is no torch.optim.Optimizer.{hint} "
                "Give the optimizer whose step() the loop calls, or a list of them."
            )
    if not _each_once(optimizers):
        raise ValueError(f"wrap(optimizer={given!r}): one or more optimizers, each once")
    return optimizers


def schedulers_in(given: Any, optimizers: Sequence[Any]) -> tuple[Any, ...]:
    """One learning rate scheduler, or several; the optimizer that each sets must be among ``optimizers``.

    Raises:
        TypeError: something else is among them.
        ValueError: one is given twice, the list is empty, or its optimizer was not given.
    """
    if given is None:
        return ()
    schedulers = _listed(given)
    for one in schedulers:
        if not isinstance(one, _schedulers()):
            hint = class_hint(one)
            if isinstance(getattr(one, "scheduler", None), _schedulers()):
                hint = " It has one inside: give that, as lr_scheduler=scheduler.scheduler."
            raise TypeError(
                f"wrap(lr_scheduler=...): {reprlib.repr(one)} is no torch.optim.lr_scheduler.LRScheduler.{hint} "
                "Give the scheduler whose step() the loop calls, or a list of them."
            )
    if not _each_once(schedulers):
        raise ValueError(f"wrap(lr_scheduler={given!r}): one or more schedulers, each once")
    for one in schedulers:
        if index_of_optimizer(one, optimizers) is None and getattr(one, "optimizer", None) is not None:
            raise ValueError(
                f"wrap(lr_scheduler=...): {type(one).__name__} sets the learning rate of an optimizer that was not "
                "given. Give that too, as optimizer=scheduler.optimizer."
            )
    return schedulers


def scalers_in(given: Any) -> tuple[Any, ...]:
    """One gradient scaler, or several.

    Raises:
        TypeError: something else is among them.
        ValueError: one is given twice, or the list is empty.
    """
    if given is None:
        return ()
    torch = import_torch()
    kind = getattr(torch.amp, "GradScaler", None) or torch.cuda.amp.GradScaler  # that of torch.amp came with 2.3
    scalers = _listed(given)
    for one in scalers:
        if not isinstance(one, kind):
            raise TypeError(
                f"wrap(scaler=...): {reprlib.repr(one)} is no torch.amp.GradScaler.{class_hint(one)} "
                "Give the scaler whose step(optimizer) the loop calls, or a list of them."
            )
    if not _each_once(scalers):
        raise ValueError(f"wrap(scaler={given!r}): one or more scalers, each once")
    return scalers


def unwrapped_optimizer(optimizer: Any) -> Any:
    """A wrapper such as accelerate's hands on to the optimizer inside."""
    base = import_torch().optim.Optimizer
    inner = getattr(optimizer, "optimizer", None)
    return inner if isinstance(inner, base) and not hasattr(optimizer, "_optimizer_step_post_hooks") else optimizer


def index_of_optimizer(scheduler: Any, optimizers: Sequence[Any]) -> int | None:
    """The place among ``optimizers`` of the one whose learning rate ``scheduler`` sets."""
    own = getattr(scheduler, "optimizer", None)
    for index, one in enumerate(optimizers):
        if own is one or own is unwrapped_optimizer(one):
            return index
    return None


def class_hint(value: object) -> str:
    return f" It is a class: make one, as {value.__name__}(...)." if isinstance(value, type) else ""


def _schedulers() -> tuple[type, ...]:
    module = import_torch().optim.lr_scheduler
    return (module.LRScheduler, module.ReduceLROnPlateau)  # the second is no subclass before 2.2


def _listed(given: Any) -> tuple[Any, ...]:
    return tuple(given) if isinstance(given, (list, tuple)) else (given,)


def _each_once(given: Sequence[Any]) -> bool:
    return 0 < len(given) == len({id(one) for one in given})
