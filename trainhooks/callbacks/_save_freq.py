"""save_freq: how often a file is written, told so that a time cannot be taken for a number of steps."""

from __future__ import annotations

import math
import re
from datetime import timedelta
from typing import Final

from ..checks import whole
from ..filters import Filter, every

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600}


def seconds_of(text: str) -> float | None:
    """Of a time as text with its unit, as ``"10m"``; None where it is none."""
    time = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([smh])", text)
    return float(time[1]) * _SECONDS[time[2]] if time else None


def due_inside_epochs(who: str, save_freq: object) -> Filter | None:
    """When a batch's end is due; None for the ends of epochs.

    Args:
        who: the callback, as messages call it.
        save_freq: ``"epoch"``; a number of training steps; or a time, as text with its unit or as a ``timedelta``.

    Raises:
        ValueError: it is none of these, or not above 0.
    """
    if save_freq == "epoch":
        return None
    seconds = 0.0
    if isinstance(save_freq, timedelta):
        seconds = save_freq.total_seconds()
    elif isinstance(save_freq, str):
        seconds = seconds_of(save_freq) or 0.0
    elif (steps := whole(save_freq)) is not None and steps >= 1:
        return every(steps=steps)
    if 0 < seconds < math.inf:
        return every(seconds=seconds)
    raise ValueError(
        f"{who}(save_freq={save_freq!r}): 'epoch'; a number of steps, at least 1; or a time above 0, as "
        "'600s', '10m', '2h' or a datetime.timedelta"
    )
