"""Rules on every way that a run can end."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from ..callback import Callback
from ..events import EVENTS
from ..progress import StopKind
from .callback_rules_left import held, left, more, usually_left
from .callback_rules_odd import hint
from .callback_rules_trial import Trial, difference
from .doubles import Do, RaiseAt, StopAt
from .rules import Rule

_ENDS: Final = "docs/write-a-callback.md#how-it-ends"

_OF_A_TRAINING: Final = [name for name in EVENTS if "predict" not in name and name != "optimizer_step"]
_OF_A_PREDICTION: Final = [name for name in EVENTS if "predict" in name]
_WAYS: Final = ("decision", "fault", "pause", "exception", "interrupt")


class _CauseError(Exception):
    """What is raised so that there is an exception to look at."""


def _left_by_a_whole_run(trial: Trial, rule: str) -> str | None:
    found = usually_left(trial)[rule]
    return f"after a run: {'; '.join(found)}" if found else None


def _meddler(way: str, event: str) -> Do:
    if way == "exception":
        return RaiseAt(event, error=RuntimeError("asked for"))
    if way == "interrupt":
        return RaiseAt(event, error=KeyboardInterrupt("asked for"))
    kind: StopKind = way  # type: ignore[assignment]
    return StopAt(event, kind=kind)


def _causes(event: str) -> list[Callback]:
    """What makes ``event`` fire."""
    if event == "stop":
        return [StopAt("epoch_end", 1)]
    if event == "exception":
        return [RaiseAt("epoch_begin", 1, _CauseError("cause"))]
    if event == "checkpoint":
        return [Do("epoch_end", lambda run: run.emit("checkpoint", path=Path("x"), logs=run.logs))]
    return []


def _ended(trial: Trial, made: Callback, way: str, event: str) -> tuple[str | None, dict[str, list[str]]]:
    """What is wrong with what came out of one run that ends at ``event``, and what the run left."""
    meddler, causes = _meddler(way, event), _causes(event)
    expected = [one.error for one in (meddler, *causes) if isinstance(one, RaiseAt)]
    before, raised = held(), None
    try:
        if event in _OF_A_PREDICTION:
            with trial.folder():
                trial.bench.predict(trial.around(made, meddler, *causes))
        else:
            trial.train(made, meddler, *causes)
    except BaseException as error:
        if not isinstance(error, (Exception, KeyboardInterrupt)):
            raise
        raised = error
    wrong = None
    if raised is not None and not any(raised is one for one in expected):
        wrong = f"{type(raised).__name__}: {raised} came out of the run{hint(raised)}"
    elif raised is None and meddler.fired and expected:
        wrong = f"{type(expected[-1]).__name__}: {expected[-1]} did not come out of the run"
    if raised is not None:
        raised.__traceback__ = None  # its frames hold what the run held
    return wrong, left(trial, made, before)


def _ends(way: str) -> Any:
    def check(trial: Trial) -> str | None:
        made, usual = trial.make(), usually_left(trial)
        for event in _events(trial, way):
            wrong, found = _ended(trial, made, way, event)
            wrong = wrong or next(iter(more(found, usual)), None)
            if wrong is not None:
                return f"a run with {_called(way)} at {event}: {wrong}"
        wrong = difference(trial.story_of_a_new_one(), trial.story(made))
        return wrong and f"in a run after runs with {_called(way)}: {wrong}"

    return check


def _events(trial: Trial, way: str) -> list[str]:
    """Where this way out is tried: at every event, or by a bench that is sparing at every fifth."""
    if trial.new_bench().sparing:
        return _OF_A_TRAINING[_WAYS.index(way) :: len(_WAYS)]
    return [*_OF_A_TRAINING, *_OF_A_PREDICTION]


def _called(way: str) -> str:
    return "an exception" if way == "exception" else "a KeyboardInterrupt" if way == "interrupt" else f"a {way}"


def _passes_on(trial: Trial) -> str | None:
    error, made = ValueError("of another", 3), trial.make()
    try:
        trial.train(made, RaiseAt("train_batch_end", 1, error))
    except ValueError as raised:
        seen = raised
    else:
        return "a ValueError of another callback did not come out of the run"
    if seen is not error or seen.args != ("of another", 3):
        return f"a ValueError('of another', 3) of another callback came out as {seen!r}"
    said = [str(one.message) for one in trial.said if str(one.message).startswith(f"{trial.who}.on_")]
    return f"beside the exception of another callback: {said[0]}" if said else None


def _teardown_alone(trial: Trial) -> str | None:
    usual = usually_left(trial)
    made, error = trial.make(), RuntimeError("asked for")
    before = held()
    try:
        trial.train(RaiseAt("setup", error=error), made)
    except RuntimeError as raised:
        if raised is not error:
            raise
        error.__traceback__ = None
    found = more(left(trial, made, before), usual)
    said = [str(one.message) for one in trial.said if str(one.message).startswith(f"{trial.who}.on_teardown raised")]
    return f"after a teardown without setup: {(said + found)[0]}" if said or found else None


def _teardown_twice(trial: Trial) -> str | None:
    made = trial.make()
    before = held()
    run = trial.train(made)
    once = left(trial, made, before)
    state = trial.told(made)
    made.run = run
    try:
        run.bus.emit("teardown")
    except Exception as error:
        return f"the second teardown raised {type(error).__name__}: {error}"
    finally:
        made.run = None
    found = next(iter(more(left(trial, made, before), once)), None)
    found = found or difference(state, trial.told(made), "state_dict()")
    return found and f"after a second teardown: {found}"


def _whole(rule: str) -> Any:
    return lambda trial: _left_by_a_whole_run(trial, rule)


ENDS: Final = [
    Rule("let-go", _ENDS, "After a run its run and its model are None.", _whole("let-go")),
    Rule(
        "nothing-open",
        _ENDS,
        "What it opens it closes in teardown: files, sockets, threads, processes, handlers of signals.",
        _whole("nothing-open"),
    ),
    Rule("no-temporaries", _ENDS, "It leaves no temporary files.", _whole("no-temporaries")),
    Rule(
        "model-clean",
        _ENDS,
        "What it put on the model or the optimizer it has taken off in teardown.",
        _whole("model-clean"),
    ),
    *(
        Rule(
            way,
            _ENDS,
            f"After {_called(way)} at any event it is free, has closed what it opened, and serves again.",
            _ends(way),
        )
        for way in _WAYS
    ),
    Rule(
        "passes-on",
        _ENDS,
        "An exception of another's comes out of the run as it was raised, and its hooks raise none beside it.",
        _passes_on,
    ),
    Rule("teardown-alone", _ENDS, "A teardown without setup does no harm.", _teardown_alone),
    Rule("teardown-twice", _ENDS, "A second teardown does no harm.", _teardown_twice),
]
