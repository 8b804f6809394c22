"""check_callback: a test that holds a callback to the rules of the protocol."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..callback import Callback
from .bench import Bench
from .callback_rules import CALLBACK_RULES, GATES, REFUSED
from .callback_rules_trial import Trial
from .reference import ReferenceBench
from .rules import as_test, own_folder


def check_callback(
    factory: Callable[[], Callback],
    *,
    bench: Callable[[], Bench] | None = None,
    beside: Iterable[Callable[[], Callback]] = (),
    keeps: Iterable[str] = (),
    reads: Iterable[str] = (),
    refused: str | None = None,
    without: Mapping[str, str] | None = None,
) -> Any:
    """A test of a callback, with a case for each rule; see docs/write-a-callback.md.

    ::

        test_mine = check_callback(lambda: Mine(patience=1))

    Each rule trains a small model with it a few times, in a working directory that goes away again: files are best
    given by a relative path. What it decides must be the same in each run; a clock is given to its constructor.

    Args:
        factory: makes a new one at each call; it is called once at once, for its name. Give settings under which it
            acts within four epochs of two batches, with ``loss``, ``accuracy`` and a validation in each: the losses of
            training are 0.9, 0.6, 80 and 0.4, those of the validations 1.0, 0.6, 0.8 and 0.9.
        bench: makes what it is trained under; the reference loop by default.
        beside: make the callbacks that it needs beside it, attached after it.
        keeps: the keys of its state that a new run does not forget, as the path of a file that is still there, or that
            hold a setting on purpose.
        reads: the metrics that it reads in the events of batches.
        refused: the whole sentence by which this trainer refuses it; that is then the only rule.
        without: the names of rules that are left out, each with the reason why.

    Raises:
        TypeError: ``factory`` cannot be called.
        ValueError: ``without`` names no rule, or gives no reason.
    """
    if not callable(factory):
        hint = " Write check_callback(lambda: ...)." if isinstance(factory, Callback) else ""
        raise TypeError(f"check_callback({factory!r}): it takes what makes a new callback at each call.{hint}")
    who = _name_of(factory)

    first = Trial(who, factory, bench or ReferenceBench, tuple(beside), _names(keeps), _names(reads), refused)
    rules = CALLBACK_RULES if refused is None else REFUSED
    return as_test(who, rules, lambda: dataclasses.replace(first, root=None), without or {}, GATES)


def _names(given: Iterable[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def _name_of(factory: Callable[[], Any]) -> str:
    """What messages call it: the class of what it makes."""
    if isinstance(factory, type):
        return factory.__name__
    try:
        with own_folder():  # not in the user's: one that writes at once has not been told yet that it must not
            made = factory()
    except Exception:  # the rules tell of it
        made = None
    return type(made).__name__ if isinstance(made, Callback) else getattr(factory, "__qualname__", repr(factory))
