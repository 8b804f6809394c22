"""A moving average of a module's weights, where they are."""

from __future__ import annotations

from typing import Any

from ._weights import import_torch, tensors_of


def update_average(average: dict[str, Any], state: dict[str, Any], decay: float) -> None:
    """Move ``average``, a snapshot, towards ``state``, the module's ``state_dict()``, in place.

    The numbers are those of ``torch.optim.swa_utils.get_ema_multi_avg_fn``; half precision is averaged in float32.
    """
    torch, weights = import_torch(), tensors_of(state)
    for key, value in state.items():
        if key not in weights:
            average[key] = value  # what a module keeps beside its weights, as it is
            continue
        kept = average.get(key)
        if kept is None or kept.shape != value.shape:  # new since, as the rows of a resized embedding
            average[key] = value.detach().clone()
        elif not (value.is_floating_point() or value.is_complex()):
            kept.copy_(value)
        else:
            if kept.is_floating_point() and kept.element_size() < 4:
                kept = average[key] = kept.float()
            with torch.no_grad():
                kept.lerp_(value.to(kept.dtype), 1 - decay)
