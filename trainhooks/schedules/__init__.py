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
its schedule does afterwards. Each is loaded when it is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._by_name import make as make
    from ._calling import preview as preview
    from ._composed import sequence as sequence
    from ._composed import warmup as warmup
    from ._decays import constant as constant
    from ._decays import cosine as cosine
    from ._decays import cosine_restarts as cosine_restarts
    from ._decays import exponential as exponential
    from ._decays import linear as linear
    from ._decays import polynomial as polynomial
    from ._one_cycle import one_cycle as one_cycle
    from ._schedule import Schedule as Schedule
    from ._steps import multi_step as multi_step
    from ._steps import piecewise as piecewise
    from ._steps import step as step

_MODULES = {
    "Schedule": "_schedule",
    "constant": "_decays",
    "cosine": "_decays",
    "cosine_restarts": "_decays",
    "exponential": "_decays",
    "linear": "_decays",
    "make": "_by_name",
    "multi_step": "_steps",
    "one_cycle": "_one_cycle",
    "piecewise": "_steps",
    "polynomial": "_decays",
    "preview": "_calling",
    "sequence": "_composed",
    "step": "_steps",
    "warmup": "_composed",
}
__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        from ..errors import did_you_mean

        raise AttributeError(f"module {__name__!r} has no attribute {name!r}.{did_you_mean(name, _MODULES)}")
    found = globals()[name] = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    return found


def __dir__() -> list[str]:
    return [*globals(), *__all__]
