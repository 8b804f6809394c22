"""Rules on a run that goes on from a state: it must be as if it had never stopped."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from ..callback import Callback
from ..run import Run
from .callback_rules_trial import (
    HISTORY,
    Files,
    Saver,
    Trial,
    as_read,
    at_the_end_of,
    difference,
    files_here,
    plain,
    told_of,
)
from .doubles import StopAt
from .rules import Rule

_RESUME: Final = "docs/write-a-callback.md#resume"


_HINT: Final = "(was something forgotten in state_dict(), or reset in a begin that fires again?)"


class CameTo(NamedTuple):
    """What a run came to, and the files that it left; ``where`` says in words where it went on from."""

    where: str
    seen: dict[str, Any]
    files: Files


class _Whole(NamedTuple):
    """A run that never stopped: what it came to, and its state at each place, with the event, epoch and batch."""

    came_to: CameTo
    states: list[tuple[str, int, int, Any]]


def _came_to(trial: Trial, where: str, made: Callback, run: Run) -> CameTo:
    weights = plain(run.get_weights()) if run.can("weights") else None
    return CameTo(where, {**told_of(run), "state_dict()": trial.told(made), "weights": weights}, files_here())


def _whole(trial: Trial) -> _Whole:
    def find() -> _Whole:
        made, states = trial.make(), []

        def take(event: str) -> Any:
            return lambda run: states.append((event, run.epoch, run.batch, as_read(run.state_dict())))

        takers = [at_the_end_of(event, take(event)) for event in ("epoch_end", "train_batch_end", "test_batch_end")]
        return _Whole(_came_to(trial, "", made, trial.train(made, Saver(), *takers)), states)

    return trial.once("whole", find)


def never_stopped(trial: Trial) -> CameTo:
    """What a run comes to that goes through at once."""
    return _whole(trial).came_to


def gone_on(trial: Trial, event: str) -> Iterator[CameTo]:
    """Runs that go on from each ``event``, by another object, in the folder that the first run left at its end."""
    whole = _whole(trial)
    places = [number for number, one in enumerate(whole.states) if one[0] == event]
    for number in places[1:2] if trial.new_bench().sparing else places:
        yield trial.once(f"from {number}", functools.partial(_from, trial, number))


def _from(trial: Trial, number: int) -> CameTo:
    whole, second = _whole(trial), trial.make()
    event, epoch, batch, state = whole.states[number]
    where = f"gone on from {event} of {f'batch {batch} of ' if 'batch' in event else ''}epoch {epoch}"
    run = trial.train(second, Saver(), resume=as_read(state), files=whole.came_to.files)
    return _came_to(trial, where, second, run)


def paused_in_validation(trial: Trial) -> Iterator[CameTo]:
    """Runs that are paused after a validation, and gone on with by another object."""
    for epoch in range(1 if trial.new_bench().sparing else len(HISTORY)):
        found = trial.once(f"paused {epoch}", functools.partial(_paused_after, trial, epoch))
        if found is None:  # it had ended before that
            return
        yield found


def _paused_after(trial: Trial, epoch: int) -> CameTo | None:
    saver, second = Saver(), trial.make()
    run = trial.train(trial.make(), saver, StopAt("test_end", epoch, kind="pause"))
    if run.outcome != "paused":
        return None
    run = trial.train(second, Saver(), resume=saver.state, files=files_here())
    return _came_to(trial, f"paused at test_end of epoch {epoch}, and gone on with", second, run)


def paused(trial: Trial) -> CameTo | str:
    """A run that is paused in an epoch, and gone on with by the same object; or what was wrong with the pause."""

    def find() -> CameTo | str:
        made, saver = trial.make(), Saver()
        run = trial.train(made, saver, StopAt("train_batch_end", 2, kind="pause"))
        if run.outcome != "paused":
            return f"it was paused, and the outcome is {run.outcome!r}"
        run = trial.train(made, Saver(), resume=saver.state, files=files_here())
        return _came_to(trial, "the same object, paused in epoch 1 and gone on with", made, run)

    return trial.once("paused", find)


def _differs(trial: Trial, one: CameTo) -> str | None:
    found = difference(never_stopped(trial).seen, one.seen)
    return found and f"{one.where}: {found} {_HINT}"


def _goes_on(where: str) -> Callable[[Trial], str | None]:
    return lambda trial: next((found for one in gone_on(trial, where) if (found := _differs(trial, one))), None)


def _goes_on_after_validation(trial: Trial) -> str | None:
    each = itertools.chain(gone_on(trial, "test_batch_end"), paused_in_validation(trial))
    return next((found for one in each if (found := _differs(trial, one))), None)


def _after_a_pause(trial: Trial) -> str | None:
    one = paused(trial)
    return one if isinstance(one, str) else _differs(trial, one)


def _new_to_it(trial: Trial) -> str | None:
    states: list[Any] = []
    take = at_the_end_of("epoch_end", lambda run: states.append(as_read(run.state_dict())))
    trial.train(None, Saver(), take)
    used, new = trial.make(), trial.make()
    trial.train(used)
    told = []
    for made in (used, new):
        run = trial.train(made, Saver(), resume=states[1])
        told.append({**told_of(run), "state_dict()": trial.told(made)})
    found = difference(told[1], told[0])
    return found and f"one that had served another run, in a run that is gone on with and knows nothing of it: {found}"


RESUME: Final = [
    Rule(
        "resume-epoch",
        _RESUME,
        "Gone on with from any epoch's end, by another object, a run is as if it had never stopped.",
        _goes_on("epoch_end"),
    ),
    Rule(
        "resume-batch",
        _RESUME,
        "Gone on with from any training batch's end, by another object, a run is as if it had never stopped.",
        _goes_on("train_batch_end"),
    ),
    Rule(
        "resume-validation",
        _RESUME,
        "Gone on with from within or after any validation, by another object, a run is as if it had never stopped.",
        _goes_on_after_validation,
    ),
    Rule("resume-pause", _RESUME, "So it is after a pause, with the same object.", _after_a_pause),
    Rule(
        "resume-new",
        _RESUME,
        "Where the state knows nothing of it, it goes along as a new one does.",
        _new_to_it,
    ),
]
