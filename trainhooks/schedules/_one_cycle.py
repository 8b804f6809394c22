"""one_cycle: up to a high rate and down to almost none, in one training."""

from __future__ import annotations

from typing import Literal

from ..checks import count
from ..errors import did_you_mean
from ._decays import half_wave
from ._schedule import Schedule, number

_STRATEGIES = ("cos", "linear")


def one_cycle(
    max_lr: float,
    total_steps: int,
    pct_start: float = 0.3,
    anneal_strategy: Literal["cos", "linear"] = "cos",
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
    three_phase: bool = False,
) -> Schedule:
    """From ``max_lr / div_factor`` up to ``max_lr``, then down to far below where it began: PyTorch's ``OneCycleLR``.

    The lowest rate, ``max_lr / div_factor / final_div_factor``, is that of the last step, ``total_steps - 1``, and it
    stays; PyTorch's goes beyond it in the next step, and then refuses. The momentum, which PyTorch's turns against the
    rate unless ``cycle_momentum=False``, is left alone. By Leslie Smith and Nicholay Topin, "Super-Convergence" (2017).

    Args:
        max_lr: the highest rate.
        total_steps: the steps of the whole cycle; at least 1.
        pct_start: the share of them that it rises for, from 0 to 1; with ``three_phase`` to 0.5.
        anneal_strategy: how it goes from one rate to the next: ``"cos"`` or ``"linear"``.
        div_factor: the first rate is ``max_lr`` over this; above 0.
        final_div_factor: the last rate is the first one over this; above 0.
        three_phase: go down as long as it went up, to where it began, and only then to the end.

    Raises:
        ValueError: an argument is out of its bounds.
    """
    if anneal_strategy not in _STRATEGIES:
        near = did_you_mean(str(anneal_strategy), _STRATEGIES)
        raise ValueError(f"one_cycle(anneal_strategy={anneal_strategy!r}): 'cos' or 'linear'.{near}")
    return Schedule(
        _one_cycle,
        max_lr=number("one_cycle", "max_lr", max_lr),
        total_steps=count(total_steps, f"one_cycle(total_steps={total_steps!r})", 1),
        pct_start=number("one_cycle", "pct_start", pct_start, most=0.5 if three_phase else 1),
        anneal_strategy=anneal_strategy,
        div_factor=number("one_cycle", "div_factor", div_factor, above=0),
        final_div_factor=number("one_cycle", "final_div_factor", final_div_factor, above=0),
        three_phase=bool(three_phase),
    )


def _one_cycle(
    step: float,
    max_lr: float,
    total_steps: int,
    pct_start: float,
    anneal_strategy: str,
    div_factor: float,
    final_div_factor: float,
    three_phase: bool,
) -> float:
    first = max_lr / div_factor
    last = first / final_div_factor
    top, close = pct_start * total_steps - 1, total_steps - 1
    if step <= top:
        return _between(first, max_lr, 0, step, top, anneal_strategy)
    if three_phase and step <= 2 * top:
        return _between(max_lr, first, top, step, 2 * top, anneal_strategy)
    if three_phase:
        return _between(first, last, 2 * top, step, close, anneal_strategy)
    return _between(max_lr, last, top, step, close, anneal_strategy)


def _between(start: float, end: float, since: float, step: float, until: float, anneal_strategy: str) -> float:
    """The rate at ``step`` on the way from ``start`` at step ``since`` to ``end`` at step ``until``."""
    if step >= until:  # also where the way has no length
        return end
    done = (step - since) / (until - since)
    return end + (start - end) * (half_wave(done) if anneal_strategy == "cos" else 1 - done)
