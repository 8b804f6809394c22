"""Learning-rate schedules as plain functions of a step, which compose.

Each function here returns a schedule: ``schedule(step)`` is the learning rate of that step, a float. ``step`` counts
from 0, and what it counts is the caller's: epochs, or batches with ``LearningRateScheduler(schedule, unit="step")``::

    from trainhooks import schedules

    warm = schedules.warmup(500, schedules.cosine(3e-4, decay_steps=9_500, end=3e-6))
    schedules.preview(warm, 10_000)                 # the numbers, without training
    LearningRateScheduler(warm, unit="step")        # under any trainer
    torch.optim.lr_scheduler.LambdaLR(optimizer, schedules.warmup(500, schedules.cosine(1.0, 9_500)))  # as factors

A schedule is pure Python arithmetic: no framework, no state, the same number for the same step. It can be pickled, and
its ``repr`` shows its arguments. Any function of a step will do where a schedule is taken.

``make`` makes one by its name, with its arguments, as a config says it.

Names and defaults are those of Keras (``decay_steps``, ``decay_rate``, ``t_mul``) and PyTorch (``step_size``,
``gamma``, ``milestones``, ``pct_start``); values agree with both while a schedule runs, and each function says what
its schedule does afterwards.
"""

from ._by_name import make
from ._calling import preview
from ._composed import sequence, warmup
from ._decays import constant, cosine, cosine_restarts, exponential, linear, polynomial
from ._one_cycle import one_cycle
from ._schedule import Schedule
from ._steps import multi_step, piecewise, step

__all__ = [
    "Schedule",
    "constant",
    "cosine",
    "cosine_restarts",
    "exponential",
    "linear",
    "make",
    "multi_step",
    "one_cycle",
    "piecewise",
    "polynomial",
    "preview",
    "sequence",
    "step",
    "warmup",
]
