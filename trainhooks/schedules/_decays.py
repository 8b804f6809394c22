"""Smooth schedules: constant, linear, polynomial, exponential, cosine, cosine with restarts."""

from __future__ import annotations

import math

from ..checks import count
from ._schedule import Schedule, number, power


def constant(lr: float) -> Schedule:
    """``lr`` at each step, for ever."""
    return Schedule(_constant, lr=number("constant", "lr", lr))


def _constant(step: float, lr: float) -> float:
    return lr


def linear(lr: float, decay_steps: int, end: float = 0.0) -> Schedule:
    """In a straight line from ``lr`` at step 0 to ``end`` at step ``decay_steps``, where it stays.

    It may rise. With ``lr=base * start_factor``, ``decay_steps=total_iters`` and ``end=base * end_factor`` it is
    PyTorch's ``LinearLR``.

    Args:
        lr: the rate at step 0.
        decay_steps: the step that first has ``end``; at least 1.
        end: the rate from then on.

    Raises:
        ValueError: an argument is out of its bounds.
    """
    return Schedule(_linear, **_ends("linear", lr, decay_steps, end))


def polynomial(lr: float, decay_steps: int, end: float = 0.0, power: float = 1.0) -> Schedule:
    """From ``lr`` to ``end``, as ``(1 - step / decay_steps) ** power`` falls; from step ``decay_steps`` on ``end``.

    Keras's ``PolynomialDecay`` (whose ``end_learning_rate`` is 0.0001 unless it is given), and PyTorch's
    ``PolynomialLR``, which ends at 0.

    Args:
        lr: the rate at step 0.
        decay_steps: the step that first has ``end``; at least 1.
        end: the rate from then on.
        power: above 0; 1 is a straight line.

    Raises:
        ValueError: an argument is out of its bounds.
    """
    return Schedule(
        _polynomial, **_ends("polynomial", lr, decay_steps, end), power=number("polynomial", "power", power, above=0)
    )


def exponential(lr: float, decay_steps: int, decay_rate: float, staircase: bool = False) -> Schedule:
    """``lr * decay_rate ** (step / decay_steps)``, for ever.

    Keras's ``ExponentialDecay``; with ``decay_steps=1`` PyTorch's ``ExponentialLR``, whose ``gamma`` is
    ``decay_rate``. Above the largest float it is infinite, which no trainer takes.

    Args:
        lr: the rate at step 0.
        decay_steps: the steps in which the rate is multiplied by ``decay_rate`` once; at least 1.
        decay_rate: at least 0; above 1 the rate grows.
        staircase: change at whole multiples of ``decay_steps`` only.

    Raises:
        ValueError: an argument is out of its bounds.
    """
    return Schedule(
        _exponential,
        lr=number("exponential", "lr", lr),
        decay_steps=count(decay_steps, f"exponential(decay_steps={decay_steps!r})", 1),
        decay_rate=number("exponential", "decay_rate", decay_rate),
        staircase=bool(staircase),
    )


def _exponential(step: float, lr: float, decay_steps: int, decay_rate: float, staircase: bool) -> float:
    turns = step // decay_steps if staircase else step / decay_steps
    return lr * power(decay_rate, turns) if lr else 0.0  # 0 times infinity is no number


def cosine(lr: float, decay_steps: int, end: float = 0.0) -> Schedule:
    """Half a cosine wave from ``lr`` at step 0 to ``end`` at step ``decay_steps``, where it stays.

    Keras's ``CosineDecay`` with ``alpha=end / lr``, and until its end PyTorch's ``CosineAnnealingLR`` with
    ``T_max=decay_steps`` and ``eta_min=end``: that one goes up again afterwards, this one does not.

    Args:
        lr: the rate at step 0.
        decay_steps: the step that first has ``end``; at least 1.
        end: the rate from then on.

    Raises:
        ValueError: an argument is out of its bounds.
    """
    return Schedule(_cosine, **_ends("cosine", lr, decay_steps, end))


def cosine_restarts(
    lr: float, first_decay_steps: int, t_mul: float = 2.0, m_mul: float = 1.0, end: float = 0.0
) -> Schedule:
    """Half cosine waves from a high rate to ``end``, one after the other, for ever.

    Keras's ``CosineDecayRestarts`` with ``alpha=end / lr``, and with ``m_mul=1`` PyTorch's
    ``CosineAnnealingWarmRestarts`` with ``T_0=first_decay_steps``, ``T_mult=t_mul`` (1 unless it is given) and
    ``eta_min=end``. Each wave's last step is not ``end`` yet: the next step is the next wave's first.

    Args:
        lr: the rate at step 0.
        first_decay_steps: the length of the first wave; at least 1.
        t_mul: how many times as long each wave is as the one before; at least 1.
        m_mul: how many times as high above ``end``; at least 0.
        end: what each wave goes down to.

    Raises:
        ValueError: an argument is out of its bounds.
    """
    who = "cosine_restarts"
    return Schedule(
        _cosine_restarts,
        lr=number(who, "lr", lr),
        first_decay_steps=count(first_decay_steps, f"{who}(first_decay_steps={first_decay_steps!r})", 1),
        t_mul=number(who, "t_mul", t_mul, least=1),
        m_mul=number(who, "m_mul", m_mul),
        end=number(who, "end", end),
    )


def _cosine_restarts(step: float, lr: float, first_decay_steps: int, t_mul: float, m_mul: float, end: float) -> float:
    length = float(first_decay_steps)
    if t_mul == 1:
        waves, step = divmod(step, length)
    else:
        waves = 0
        while step >= length:  # a logarithm would be quicker, and just before or after a restart wrong
            step, length, waves = step - length, length * t_mul, waves + 1
    return end + (lr - end) * power(m_mul, waves) * half_wave(step / length)


def half_wave(done: float) -> float:
    """The cosine's way from 1 to 0, as ``done`` goes from 0 to 1."""
    return 0.5 * (1 + math.cos(math.pi * done))


def _cosine(step: float, lr: float, decay_steps: int, end: float) -> float:
    return end + (lr - end) * half_wave(step / decay_steps) if step < decay_steps else end


def _polynomial(step: float, lr: float, decay_steps: int, end: float, power: float) -> float:
    return end + (lr - end) * (1 - step / decay_steps) ** power if step < decay_steps else end


def _linear(step: float, lr: float, decay_steps: int, end: float) -> float:
    return lr + (end - lr) * step / decay_steps if step < decay_steps else end


def _ends(who: str, lr: float, decay_steps: int, end: float) -> dict[str, float]:
    """The arguments that all with an end have, checked."""
    return {
        "lr": number(who, "lr", lr),
        "decay_steps": count(decay_steps, f"{who}(decay_steps={decay_steps!r})", 1),
        "end": number(who, "end", end),
    }
