"""Schedules by name, for configs."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import Any, Final

from ..configs import call, entry
from ..errors import did_you_mean, listing
from ._composed import sequence, warmup
from ._decays import constant, cosine, cosine_restarts, exponential, linear, polynomial
from ._one_cycle import one_cycle
from ._schedule import Function
from ._steps import multi_step, piecewise, step

_ALL: Final = (constant, cosine, cosine_restarts, exponential, linear, multi_step, one_cycle)
_KNOWN: Final = {one.__name__: one for one in (*_ALL, piecewise, polynomial, sequence, step, warmup)}
_NEEDS: Final = "A config names schedules by 'name', as {'name': 'cosine', 'lr': 0.1, 'decay_steps': 100}."


def make(config: str | Mapping[str, Any], /, **arguments: Any) -> Function:
    """Make a schedule that is asked for by its name, as a config does::

        make("cosine", lr=0.1, decay_steps=100)
        make({"name": "warmup", "steps": 10, "then": {"name": "cosine", "lr": 0.1, "decay_steps": 100}})

    The names are those of the functions of this module, and so are the arguments. ``LearningRateScheduler`` takes such
    a mapping too.

    Args:
        config: a name, or a mapping that has it as ``"name"``, and the arguments beside it. Where an argument is a
            schedule, it is such a mapping again. It is not changed.
        arguments: the schedule's, where ``config`` is a name.

    Raises:
        TypeError: it is no such thing, or an argument is not there or not given.
        ValueError: there is no schedule of that name, or an argument is out of its bounds.
    """
    if isinstance(config, str):
        return _made(config, arguments, "")
    if arguments:
        raise TypeError(f"make({reprlib.repr(config)}, {next(iter(arguments))}=...): arguments stand in the config")
    return made(config, "")


def made(config: Any, where: str) -> Function:
    """The schedule that one entry asks for; ``where`` is how messages begin."""
    if isinstance(config, str):
        return _made(config, {}, where)
    if not isinstance(config, Mapping):
        raise TypeError(f"{where or 'make(): '}{reprlib.repr(config)} is neither a name nor a mapping. {_NEEDS}")
    return _made(*entry(config, where or "make(): ", _NEEDS), where)


def _made(name: str, arguments: Mapping[str, Any], where: str) -> Function:
    if name not in _KNOWN:
        near = did_you_mean(name, _KNOWN)
        raise ValueError(f"{where or 'make(): '}there is no schedule {name!r}.{near} There are {listing(_KNOWN)}.")
    arguments = dict(arguments)
    if name == "warmup" and "then" in arguments:
        arguments["then"] = _inner(arguments["then"], f"{where}then: ")
    parts = arguments.get("schedules")
    if name == "sequence" and isinstance(parts, (list, tuple)):
        arguments["schedules"] = [_inner(one, f"{where}schedules[{at}]: ") for at, one in enumerate(parts)]
    schedule: Function = call(_KNOWN[name], name, arguments, where)
    return schedule


def _inner(one: Any, where: str) -> Any:
    return made(one, where) if isinstance(one, (str, Mapping)) else one
