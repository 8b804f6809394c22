"""Schedules made of schedules."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from ..checks import count
from ._schedule import Function, Schedule, function, number, rising, several


def warmup(steps: int, then: Function, start: float = 0.0) -> Function:
    """In a straight line from ``start`` at step 0 to the first rate of ``then``, which begins at step ``steps``.

    With ``then=cosine(...)`` it is Keras's ``CosineDecay`` with ``warmup_steps`` and ``warmup_target``, and optax's
    ``warmup_cosine_decay_schedule`` (whose ``decay_steps`` include the warm-up). With ``start=0`` the first step has a
    rate of 0, as there. From step ``steps`` on it is ``then``, for what comes after its end as well.

    Args:
        steps: the length of the warm-up; with 0 it is ``then`` itself.
        then: what follows, a function of the step that counts from 0 where the warm-up ends.
        start: the rate at step 0.

    Raises:
        TypeError: ``then`` cannot be called with a step alone.
        ValueError: a number is out of its bounds.
    """
    length = count(steps, f"warmup(steps={steps!r})")
    then = function("warmup", "then", then)
    begin = number("warmup", "start", start)
    return Schedule(_warmup, steps=length, then=then, start=begin) if length else then


def _warmup(step: float, steps: int, then: Function, start: float) -> float:
    if step >= steps:
        return then(step - steps)
    return start + (then(0) - start) * step / steps


def sequence(schedules: Sequence[Function], milestones: Sequence[int]) -> Schedule:
    """One schedule after the other: at each of ``milestones`` the next begins, and counts from 0 for itself.

    PyTorch's ``SequentialLR``, and optax's ``join_schedules``. The last one has no end::

        sequence([constant(0.1), cosine(0.1, 50), constant(0.001)], milestones=[20, 70])

    Args:
        schedules: functions of the step, one more than there are milestones.
        milestones: the steps at which the second and the following begin, rising.

    Raises:
        TypeError: they are no list, or one of them cannot be called with a step alone.
        ValueError: the milestones do not rise, or the numbers of the two do not fit.
    """
    steps = rising("sequence", "milestones", milestones)
    given = several("sequence", "schedules", schedules)
    parts = tuple(function("sequence", f"schedules[{at}]", one) for at, one in enumerate(given))
    if len(parts) != len(steps) + 1:
        raise ValueError(
            f"sequence(): {len(steps)} milestones part {len(steps) + 1} schedules, and {len(parts)} are given"
        )
    return Schedule(_sequence, schedules=parts, milestones=steps)


def _sequence(step: float, schedules: tuple[Function, ...], milestones: tuple[int, ...]) -> float:
    at = bisect_right(milestones, step)
    return schedules[at](step - milestones[at - 1] if at else step)
