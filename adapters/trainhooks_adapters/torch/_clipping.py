"""Clip the gradients of PyTorch optimizers just before each of their real updates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from trainhooks import errors

from ._weights import import_torch


def clip_before_updates(
    optimizers: Sequence[Any], norm: float | None, value: float | None, report: Callable[[Any], None]
) -> Callable[[], None]:
    """As ``Trainable.clip_gradients``; the functions and so the numbers are those of ``torch.nn.utils``.

    Raises:
        CapabilityError: (at a step) an optimizer unscales its gradients by itself.
    """

    def before(optimizer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if "grad_scaler" in kwargs:  # an old contract of GradScaler's: such a step unscales where no hook can see it
            raise errors.lacking(
                "GradientClipping",
                "gradients",
                f"{type(optimizer).__name__}.step takes the GradScaler and unscales by itself. Call "
                "scaler.unscale_(optimizer) and torch.nn.utils.clip_grad_norm_ before scaler.step(optimizer).",
            )
        named = "closure" in kwargs
        closure = kwargs["closure"] if named else (*args, None)[1]
        if closure is None:
            if _is_real(optimizer):
                _unscale(optimizer)
                _clip(optimizer, norm, value, report)
            return None

        def clipped() -> Any:  # the gradients of this step are not there yet: the closure makes them
            loss = closure()
            _clip(optimizer, norm, value, report)
            return loss

        return (args, {**kwargs, "closure": clipped}) if named else ((args[0], clipped, *args[2:]), kwargs)

    handles = [_pre_hook(optimizer, before) for optimizer in optimizers]

    def stop() -> None:
        for handle in handles:
            handle.remove()

    return stop


def _clip(optimizer: Any, norm: float | None, value: float | None, report: Callable[[Any], None]) -> None:
    torch = import_torch()
    utils = torch.nn.utils
    parameters = [one for group in optimizer.param_groups for one in group["params"] if one.grad is not None]
    total = _total_norm(parameters)
    report(total)
    if value is not None:
        utils.clip_grad_value_(parameters, value)
        total = _total_norm(parameters) if norm is not None else total
    if norm is not None:  # a norm of 0 scales by exactly 1: without asking the device, nothing is done where it is NaN
        total = torch.where(total.isfinite(), total, torch.zeros_like(total))
        if hasattr(utils, "clip_grads_with_norm_"):
            utils.clip_grads_with_norm_(parameters, norm, total)
        else:
            scale = (norm / (total + 1e-6)).clamp(max=1.0)
            for one in parameters:
                one.grad.detach().mul_(scale.to(one.grad.device))


def _total_norm(parameters: Sequence[Any]) -> Any:
    """The L2 norm of all gradients together, on the device of the first."""
    torch = import_torch()
    gradients = [one.grad for one in parameters]
    if hasattr(torch.nn.utils, "get_total_norm") or not gradients:  # it came with PyTorch 2.6, and works as below
        return torch.nn.utils.get_total_norm(gradients) if gradients else torch.tensor(0.0)
    norms = [torch.linalg.vector_norm(one).to(gradients[0].device) for one in gradients]
    return torch.linalg.vector_norm(torch.stack(norms))


def _is_real(optimizer: Any) -> bool:
    """Whether a fused step that GradScaler asks for will move anything."""
    found_inf = getattr(optimizer, "found_inf", None)
    return found_inf is None or not found_inf.item()


def _unscale(optimizer: Any) -> None:
    """Where GradScaler leaves it to a fused step to unscale: do it now, as ``scaler.unscale_`` does."""
    scale = getattr(optimizer, "grad_scale", None)  # it sets this for the length of such a step
    if scale is None:
        return
    inverse = scale.double().reciprocal().float()
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter.grad is not None:
                parameter.grad.mul_(inverse.to(parameter.grad.device))
    optimizer.grad_scale = None  # what it is for a step after scaler.unscale_


def _pre_hook(optimizer: Any, hook: Callable[..., Any]) -> Any:
    try:
        return optimizer.register_step_pre_hook(hook)
    except AttributeError:  # a wrapper that never ran Optimizer.__init__, as accelerate's: the one inside does the step
        return _pre_hook(optimizer.optimizer, hook)
