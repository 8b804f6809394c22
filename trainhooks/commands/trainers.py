"""What the trainer of each framework lacks, and which callbacks it would refuse therefore.

An adapter's ``Trainable`` tells: what it can do follows from the verbs that its class overrides, so that neither the
framework nor a model is needed. What depends on the objects at hand (an optimizer, a schedule in it) only a run knows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..callback import Callback
from ..numpy_model import MLP
from ..trainable import CAPABILITIES, Trainable


@dataclass(frozen=True)
class Trainer:
    """A framework's trainer: what it lacks, with the reasons, and what it would refuse, with what is lacking."""

    framework: str
    lacks: Mapping[str, str]
    refused: Mapping[str, list[str]]


def trainers(frameworks: Iterable[str], callbacks: Mapping[str, Any]) -> list[Trainer]:
    """That of numpy and of each framework whose adapter has been loaded and shows its ``Trainable``.

    Args:
        frameworks: their names.
        callbacks: classes by name; a function that makes one is passed over, since it tells nothing before.
    """
    kinds: dict[str, type[Trainable]] = {"numpy": MLP, **_kinds(frameworks)}
    told = []
    for framework, kind in kinds.items():
        lacks = lacks_of(kind)
        needs = {name: sorted(_needs(one) & set(lacks)) for name, one in callbacks.items()}
        told.append(Trainer(framework, lacks, {name: short for name, short in needs.items() if short}))
    return told


def _kinds(frameworks: Iterable[str]) -> dict[str, type[Trainable]]:
    """The class of each framework's ``Trainable``: of several the one that lacks least, or else was made first."""
    found: dict[str, list[type[Trainable]]] = {}
    queue = list(Trainable.__subclasses__())
    for one in queue:
        found.setdefault(one.framework, []).append(one)
        queue += one.__subclasses__()
    return {
        name: min(found[name], key=lambda kind: len(lacks_of(kind))) for name in sorted(frameworks) if name in found
    }


def lacks_of(kind: type[Trainable]) -> dict[str, str]:
    """The capabilities that a class of trainers lacks whatever its objects are, with the reasons."""
    return dict(_lacks(kind))


def _lacks(kind: type[Trainable]) -> Iterator[tuple[str, str]]:
    blank = kind.__new__(kind)  # no model is made: what depends on one is not asked
    for need, verbs in CAPABILITIES.items():
        if verbs and all(getattr(kind, verb) is not getattr(Trainable, verb) for verb in verbs):
            continue
        try:
            reason = blank.missing(need)
        except Exception:  # a stranger's, which wants its model to tell: a run will say
            continue
        if reason is not None:
            yield need, reason


def _needs(callback: Any) -> set[str]:
    if not (isinstance(callback, type) and issubclass(callback, Callback)):
        return set()
    requires = callback.requires
    return {requires} if isinstance(requires, str) else set(requires)
