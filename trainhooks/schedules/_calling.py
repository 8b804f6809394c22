"""How a user's schedule is called: with a step, or with a step and the rate before it; and ``preview``, which does."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..checks import count
from ._schedule import is_finite, number

if TYPE_CHECKING:
    Rates = np.ndarray[Any, np.dtype[np.float64]]


def preview(schedule: Callable[..., float], steps: int, lr: float | None = None) -> Rates:
    """The rates that ``LearningRateScheduler(schedule)`` would set at steps 0 to ``steps - 1``, without training.

    What a trainer makes of them may be rounded to float32. ``matplotlib.pyplot.plot(preview(schedule, 1000))`` shows
    them.

    Args:
        schedule: a function of (step), or of (step, lr), where ``lr`` is the rate before it.
        steps: how many; at least 0.
        lr: the rate to begin with, which a function of (step, lr) needs; another does not look at it.

    Raises:
        TypeError: ``schedule`` takes neither one nor two arguments, or needs ``lr`` and is given none.
        ValueError: a number is out of its bounds, or the schedule gave no finite number of at least 0.
    """
    total, with_lr = count(steps, f"preview(steps={steps!r})"), takes_lr("preview", schedule)
    rates = np.empty(total)
    if lr is not None:
        now = number("preview", "lr", lr)
    elif with_lr:
        raise TypeError(
            f"preview(schedule={schedule!r}): it takes the rate before it too. Give lr=, the one to begin with."
        )
    for at in range(total):
        now = checked_lr("preview()", schedule(at, now) if with_lr else schedule(at), f"step {at}")
        rates[at] = now
    return rates


def takes_lr(who: str, schedule: Callable[..., float], unit: str = "step") -> bool:
    """Whether it can be called with a step and a rate, rather than with a step alone, as its signature says.

    Raises:
        TypeError: it can be called with neither.
    """
    try:
        signature = inspect.signature(schedule)
    except (TypeError, ValueError):
        raise TypeError(
            f"{who}(schedule={schedule!r}): its arguments cannot be read. "
            f"Give a function: lambda {unit}: ..., or lambda {unit}, lr: ..."
        ) from None
    for arguments in ((0, 0.1), (0,)):
        try:
            signature.bind(*arguments)
        except TypeError:
            continue
        return len(arguments) == 2
    raise TypeError(
        f"{who}(schedule={schedule!r}): it takes {signature}. Give a function of ({unit}) or of ({unit}, lr)."
    )


def checked_lr(who: str, given: Any, where: str) -> float:
    """What a schedule gave, as a float; a scalar of any framework, as optax's and Keras's schedules give, is a number.

    Raises:
        ValueError: it is no finite number of at least 0.
    """
    lr = given
    if getattr(given, "shape", None) == () and "float" in str(getattr(given, "dtype", "")):
        lr = float(given)
    if not (is_finite(lr) and lr >= 0):
        raise ValueError(f"{who}: schedule gave {given!r} for {where}; a learning rate is a finite number, at least 0")
    return float(lr)
