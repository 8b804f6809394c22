"""Rules on an evaluation and a prediction alone, which are no training."""

from __future__ import annotations

from typing import Any, Final

from ..callback import Callback
from ..run import Run
from .callback_rules_trial import Trial, difference, plain
from .rules import Rule

_PAGE: Final = "docs/write-a-callback.md#state"


def _run_evaluation(trial: Trial, made: Callback) -> Run | None:
    with trial.folder():
        return trial.bench.evaluate({"loss": 0.25, "accuracy": 0.75}, trial.around(made))


def _run_prediction(trial: Trial, made: Callback) -> Run | None:
    with trial.folder():
        return trial.bench.predict(trial.around(made))


def _changed_by(trial: Trial, what: str, go: Any) -> str | None:
    made = trial.make()
    run = trial.train(made)
    can, on_it = run.can("weights"), len(trial.bench.left_on())
    before = {"state_dict()": plain(made.state_dict()), "weights": plain(run.get_weights()) if can else None}
    if go(trial, made) is None:
        return None  # the trainer has none
    after = {"state_dict()": plain(made.state_dict()), "weights": plain(run.get_weights()) if can else None}
    found = difference(before, after)
    if found is None and made.run is not None:
        found = "its run is still there"
    if found is None and len(trial.bench.left_on()) > on_it:
        found = f"there is {trial.bench.left_on()[-1]!r} on the model"
    return found and f"after {what} of its own: {found}"


def _run_after(trial: Trial) -> str | None:
    made = trial.make()
    trial.bench = trial.new_bench()
    _run_evaluation(trial, made)
    _run_prediction(trial, made)
    found = difference(trial.story_of_a_new_one(), trial.story(made))
    return found and f"in a run after an evaluation and a prediction: {found}"


ALONE: Final = [
    Rule(
        "evaluation",
        _PAGE,
        "An evaluation alone changes neither its state nor the model.",
        lambda trial: _changed_by(trial, "an evaluation", _run_evaluation),
    ),
    Rule(
        "prediction",
        _PAGE,
        "A prediction alone changes neither its state nor the model.",
        lambda trial: _changed_by(trial, "a prediction", _run_prediction),
    ),
    Rule("run-after", _PAGE, "A run after an evaluation and a prediction is as one without them.", _run_after),
]
