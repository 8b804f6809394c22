"""Schedule: a formula with its arguments; and the one check for each kind of argument."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..checks import is_number, whole

Function = Callable[[Any], float]
"""Anything that gives a rate for a step."""


class Schedule(functools.partial[float]):
    """A function of the step, made by ``cosine(...)`` and its kin.

    It is a ``functools.partial`` of a function of its module, which is why it can be pickled, and why the state of
    PyTorch's ``LambdaLR``, which keeps the attributes of such an object, holds nothing of it.

    Raises:
        ValueError: (when called) the step is no finite number, or below 0.
    """

    def __call__(self, step: float, /) -> float:
        if not 0 <= step < math.inf:  # put this way round, NaN is refused too
            raise ValueError(f"{self!r}: step {step!r} is no number of at least 0")
        at = whole(step)  # an int for who looks it up in a list; numpy's would reckon in its own precision
        return float(super().__call__(float(step) if at is None else at))

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.keywords.items())
        return f"{self.func.__name__.lstrip('_')}({arguments})"


def power(base: float, exponent: float) -> float:
    """``base ** exponent``; infinity where that is too large for a float."""
    try:
        return float(base**exponent)
    except OverflowError:
        return math.inf


def is_finite(value: Any) -> bool:
    """Whether it is a real and finite number of any type, and no boolean."""
    return is_number(value) and math.isfinite(value)


def number(
    who: str, name: str, value: Any, *, above: float | None = None, least: float = 0, most: float = math.inf
) -> float:
    """A finite number in its bounds, as a float.

    Raises:
        ValueError: it is none, or out of them.
    """
    if is_finite(value) and (least <= value <= most if above is None else value > above):
        return float(value)
    bounds = f"at least {least:g}" if above is None else f"above {above:g}"
    if most < math.inf:
        bounds += f" and at most {most:g}"
    raise ValueError(f"{who}({name}={value!r}): a finite number, {bounds}")


def rising(who: str, name: str, values: Any) -> tuple[int, ...]:
    """Steps at which something changes, each after the one before.

    Raises:
        ValueError: they are none.
    """
    steps: list[int] = []
    for value in values if isinstance(values, Iterable) else [None]:
        step = whole(value)
        if step is None or step < (steps[-1] + 1 if steps else 1):
            raise ValueError(f"{who}({name}={values!r}): whole numbers that rise, the first at least 1")
        steps.append(step)
    return tuple(steps)


def several(who: str, name: str, values: Any) -> list[Any]:
    """Values that stand in a list.

    Raises:
        TypeError: they do not.
    """
    if isinstance(values, Iterable) and not isinstance(values, (str, Mapping)):
        return list(values)
    raise TypeError(f"{who}({name}={values!r}): a list, of one more than there are milestones")


def function(who: str, name: str, value: Function) -> Function:
    """What can be called with a step alone.

    Raises:
        TypeError: it cannot.
    """
    who = f"{who}({name}={value!r})"
    if not callable(value):
        raise TypeError(f"{who}: a schedule is a function of (step). constant(0.1) is one that stays at 0.1.")
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):  # a builtin does not show it
        return value
    try:
        signature.bind(0)
    except TypeError:
        raise TypeError(f"{who}: it takes {signature}. What is composed is a function of (step) alone.") from None
    return value
