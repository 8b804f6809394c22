"""Rules on a run that goes on from a state: it must be as if it had never stopped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from ..callback import Callback
from ..run import Run
from .callback_rules_trial import HISTORY, Saver, Trial, as_read, at_the_end_of, difference, plain, told_of
from .doubles import StopAt
from .rules import Rule

_RESUME: Final = "docs/write-a-callback.md#resume"


def _came_to(trial: Trial, made: Callback, run: Run) -> dict[str, Any]:
    weights = plain(run.get_weights()) if run.can("weights") else None
    return {**told_of(run), "state_dict()": trial.told(made), "weights": weights}


class _Whole(NamedTuple):
    """A run that never stopped: what it came to, and its state at each place, with the event, epoch and batch."""

    came_to: dict[str, Any]
    states: list[tuple[str, int, int, Any]]


def _whole(trial: Trial) -> _Whole:
    def find() -> _Whole:
        made, states = trial.make(), []

        def take(event: str) -> Any:
            return lambda run: states.append((event, run.epoch, run.batch, as_read(run.state_dict())))

        takers = [at_the_end_of(event, take(event)) for event in ("epoch_end", "train_batch_end", "test_batch_end")]
        return _Whole(_came_to(trial, made, trial.train(made, Saver(), *takers)), states)

    return trial.once("whole", find)


def _goes_on(where: str) -> Callable[[Trial], str | None]:
    def check(trial: Trial) -> str | None:
        whole, sparing = _whole(trial), trial.new_bench().sparing
        states = [one for one in whole.states if one[0] == where]
        for event, epoch, batch, state in states[1:2] if sparing else states:
            second = trial.make()
            run = trial.train(second, Saver(), resume=as_read(state))
            found = difference(whole.came_to, _came_to(trial, second, run))
            if found is not None:
                place = f"batch {batch} of epoch {epoch}" if "batch" in event else f"epoch {epoch}"
                return f"gone on from {event} of {place}: {found}"
        return None

    return check


def _goes_on_after_validation(trial: Trial) -> str | None:
    found = _goes_on("test_batch_end")(trial)
    if found is not None:
        return found
    for epoch in range(1 if trial.bench.sparing else len(HISTORY)):
        saver, second = Saver(), trial.make()
        run = trial.train(trial.make(), saver, StopAt("test_end", epoch, kind="pause"))
        if run.outcome != "paused":  # it had ended before that
            return None
        run = trial.train(second, Saver(), resume=saver.state)
        found = difference(_whole(trial).came_to, _came_to(trial, second, run))
        if found is not None:
            return f"paused at test_end of epoch {epoch}, and gone on with: {found}"
    return None


def _after_a_pause(trial: Trial) -> str | None:
    made, saver = trial.make(), Saver()
    run = trial.train(made, saver, StopAt("train_batch_end", 2, kind="pause"))
    if run.outcome != "paused":
        return f"it was paused, and the outcome is {run.outcome!r}"
    run = trial.train(made, Saver(), resume=saver.state)
    found = difference(_whole(trial).came_to, _came_to(trial, made, run))
    return found and f"the same object, paused in epoch 1 and gone on with: {found}"


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
