"""Schedules in steps: the rate drops every so often, or at given steps."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from ..checks import count
from ._schedule import Schedule, number, power, rising, several


def step(lr: float, step_size: int, gamma: float = 0.1) -> Schedule:
    """``lr``, multiplied by ``gamma`` once more every ``step_size`` steps, for ever: PyTorch's ``StepLR``.

    Args:
        lr: the rate at step 0.
        step_size: the steps between two changes; at least 1.
        gamma: the factor; at least 0.

    Raises:
        ValueError: an argument is out of its bounds.
    """
    return Schedule(
        _step,
        lr=number("step", "lr", lr),
        step_size=count(step_size, f"step(step_size={step_size!r})", 1),
        gamma=number("step", "gamma", gamma),
    )


def _step(step: float, lr: float, step_size: int, gamma: float) -> float:
    return lr * power(gamma, step // step_size) if lr else 0.0


def multi_step(lr: float, milestones: Sequence[int], gamma: float = 0.1) -> Schedule:
    """``lr``, multiplied by ``gamma`` once more from each of ``milestones`` on: PyTorch's ``MultiStepLR``.

    After the last of them it stays.

    Args:
        lr: the rate at step 0.
        milestones: the steps that are the first with a new rate, rising.
        gamma: the factor; at least 0.

    Raises:
        ValueError: an argument is out of its bounds, or the milestones do not rise.
    """
    return Schedule(
        _multi_step,
        lr=number("multi_step", "lr", lr),
        milestones=rising("multi_step", "milestones", milestones),
        gamma=number("multi_step", "gamma", gamma),
    )


def _multi_step(step: float, lr: float, milestones: tuple[int, ...], gamma: float) -> float:
    return lr * power(gamma, bisect_right(milestones, step)) if lr else 0.0


def piecewise(milestones: Sequence[int], values: Sequence[float]) -> Schedule:
    """``values[0]`` at first, and from each of ``milestones`` on the next value; after the last it stays.

    Keras's ``PiecewiseConstantDecay``, save that a milestone is the first step of the new value, as everywhere in this
    module and in PyTorch; a boundary of Keras is the last step of the old one: its ``boundaries=[9]`` are
    ``milestones=[10]``.

    Args:
        milestones: the steps that are the first with the next value, rising.
        values: the rates, one more than there are milestones.

    Raises:
        TypeError: ``values`` is no list.
        ValueError: a value is no rate, the milestones do not rise, or the numbers of the two do not fit.
    """
    steps = rising("piecewise", "milestones", milestones)
    given = several("piecewise", "values", values)
    rates = tuple(number("piecewise", f"values[{at}]", value) for at, value in enumerate(given))
    if len(rates) != len(steps) + 1:
        raise ValueError(
            f"piecewise(): {len(steps)} milestones part {len(steps) + 1} values, and {len(rates)} are given"
        )
    return Schedule(_piecewise, milestones=steps, values=rates)


def _piecewise(step: float, milestones: tuple[int, ...], values: tuple[float, ...]) -> float:
    return values[bisect_right(milestones, step)]
