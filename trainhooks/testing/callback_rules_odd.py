"""Rules on runs that are not as usual: without a validation or an epoch, with metrics that are no numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ..errors import TrainhooksError
from .bench import LEAVE, Epoch
from .callback_rules_left import held, left, more, usually_left
from .callback_rules_trial import HISTORY, Trial, difference, kind_of
from .rules import Rule

_PAGE: Final = "docs/write-a-callback.md#how-it-ends"


def _survives(history: Sequence[Epoch], what: str) -> Any:
    def check(trial: Trial) -> str | None:
        made, usual = trial.make(), usually_left(trial)
        trial.train(made)
        kinds = {kind_of(text) for text in trial.raised_in_hooks()}
        before = held()
        try:
            trial.train(made, history=history)
        except Exception as error:
            if not (isinstance(error, (TrainhooksError, ValueError)) and trial.who in str(error)):
                return f"{what}: it raised {type(error).__name__}: {error}{hint(error)}"
            error.__traceback__ = None
        said = [text for text in trial.raised_in_hooks() if kind_of(text) not in (*kinds, "ValueError", *_errors())]
        if said:
            return f"{what}: {said[0]}"
        found = more(left(trial, made, before), usual)
        if found:
            return f"{what}: afterwards {found[0]}"
        wrong = difference(trial.story_of_a_new_one(), trial.story(made))
        return wrong and f"in a run after one {what}: {wrong}"

    return check


def hint(error: BaseException) -> str:
    """What to write in place of ``logs["val_loss"]``."""
    missing = [name for name in HISTORY[0] if re.search(rf"^'{name}'$|no metric '{name}'", str(error))]
    if not isinstance(error, KeyError) or not missing:
        return ""
    then = "did not validate" if missing[0].startswith("val_") else "has none"
    return f" (use logs.get({missing[0]!r}): None where it {then})"


def _errors(kind: type[TrainhooksError] = TrainhooksError) -> list[str]:
    """The names of the errors that tell their user what to do."""
    return [kind.__name__, *(name for one in kind.__subclasses__() for name in _errors(one))]


def _without(prefix: str) -> list[Mapping[str, float]]:
    return [{name: value for name, value in one.items() if not name.startswith(prefix)} for one in HISTORY]


def with_broken(value: float) -> list[Mapping[str, float]]:
    return [HISTORY[0], dict.fromkeys(HISTORY[1], value), *HISTORY[2:]]


def _survives_a_break(trial: Trial) -> str | None:
    if not trial.new_bench().owns_loop:
        return None
    return _survives([HISTORY[0], LEAVE, *HISTORY[2:]], "in which an epoch is left by break")(trial)  # type: ignore[no-any-return]


ODD: Final = [
    Rule(
        "no-validation",
        _PAGE,
        "It goes along without a validation, or says in an error of its name what is missing.",
        _survives(_without("val_"), "without a validation"),
    ),
    Rule("no-epoch", _PAGE, "It goes along with no epoch at all, or says so.", _survives([], "of no epoch")),
    Rule(
        "nan",
        _PAGE,
        "It goes along with metrics that are NaN, or says so.",
        _survives(with_broken(math.nan), "with metrics that are NaN"),
    ),
    Rule(
        "infinity",
        _PAGE,
        "It goes along with metrics that are infinite, or says so.",
        _survives(with_broken(math.inf), "with metrics that are infinite"),
    ),
    Rule(
        "left-epoch",
        _PAGE,
        "It goes along with an epoch that is left by break, or says so.",
        _survives_a_break,
    ),
]
