"""Rules on what a callback keeps: its state, its settings, and what it forgets."""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from ..callback import Callback
from ..errors import listing
from .callback_rules_trial import Trial, as_read, at_the_end_of, difference, plain, through_files
from .rules import Rule

_STATE: Final = "docs/write-a-callback.md#state"

_MOMENTS: Final = ("epoch_end", "train_batch_end", "test_batch_end")
"""The events at whose end a run's state can be taken."""


def _in_a_run(trial: Trial, made: Callback, look: Any) -> None:
    """Train with it, and call ``look(place, state)`` wherever the run's state could be taken."""

    def at(event: str) -> Any:
        return lambda run: look(f"at {event} of epoch {run.epoch}, batch {run.batch}", made.state_dict())

    trial.train(made, *(at_the_end_of(event, at(event)) for event in _MOMENTS))


def _everywhere(trial: Trial) -> list[tuple[str, dict[str, Any]]]:
    """Its state when it is new, at each place of a run, and after it; copies, as they were then."""

    def find() -> list[tuple[str, dict[str, Any]]]:
        made = trial.make()
        taken = [("when it is new", _copy(made.state_dict()))]
        _in_a_run(trial, made, lambda place, state: taken.append((place, _copy(state))))
        return [*taken, ("after a run", _copy(made.state_dict()))]

    return trial.once("everywhere", find)


def _copy(state: Any) -> Any:
    try:
        return copy.deepcopy(state)
    except Exception:  # what cannot be copied is no plain value: the rule on plain values says so
        return state


def _is_plain(trial: Trial) -> str | None:
    for place, state in _everywhere(trial):
        found = _no_plain(state, "state_dict()")
        if found is not None:
            return f"{place}: {found}"
    return None


def _no_plain(value: Any, where: str) -> str | None:
    if isinstance(value, np.ndarray):
        return f"{where} is an array of objects" if value.dtype.hasobject else None
    if isinstance(value, Mapping):
        for name, one in value.items():
            if not isinstance(name, str):
                return f"{where} has the key {name!r}, which is no string"
            found = _no_plain(one, f"{where}[{name!r}]")
            if found is not None:
                return found
        return None
    if isinstance(value, (list, tuple)):
        return next((found for at, one in enumerate(value) if (found := _no_plain(one, f"{where}[{at}]"))), None)
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return f"{where} is {value!r}, of type {type(value).__name__}"
    return None


def _comes_back(trial: Trial) -> str | None:
    place, state = _everywhere(trial)[-1]
    return _loaded(trial, place, state, through_files)


def _comes_back_in_the_midst(trial: Trial) -> str | None:
    places = _everywhere(trial)[:-1]  # what comes after a run has its own rule
    return next((found for place, state in places if (found := _loaded(trial, place, state, as_read))), None)


def _loaded(trial: Trial, place: str, state: dict[str, Any], read: Callable[[Any], Any]) -> str | None:
    """What a new one lacks that is given a state as it is read back."""
    new = trial.make()
    new.load_state_dict(read(state))
    found = difference(plain(state), plain(new.state_dict()), "state_dict()")
    return found and f"the state {place}, loaded into a new one: {found}"


def _replaces(trial: Trial) -> str | None:
    used, taken = trial.make(), _everywhere(trial)[1:-1]
    trial.train(used)
    for place, state in taken[:: max(1, len(taken) // 4)]:
        new = trial.make()
        new.load_state_dict(_copy(state))
        used.load_state_dict(_copy(state))
        found = difference(plain(new.state_dict()), plain(used.state_dict()), "state_dict()")
        if found is not None:
            return f"the state {place}, into one that had served another run: {found}"
    return None


def _is_a_copy(trial: Trial) -> str | None:
    made, taken = trial.make(), []
    _in_a_run(trial, made, lambda place, state: taken.append((place, state, _copy(plain(state)))))
    for place, state, then in taken:
        changed = _changed(then, plain(state))
        if changed is not None:
            return f"a state that was taken {place} changed as training went on: copy {changed} in state_dict()"
    return None


def _changed(before: dict[str, Any], after: dict[str, Any]) -> str | None:
    """The keys whose values are other ones now."""
    names = {
        *(name for name in before if difference(before[name], after.get(name)) is not None),
        *(after.keys() - before),
    }
    return listing(sorted(names, key=str)) if names else None


def _keeps_no_reference(trial: Trial) -> str | None:
    for _, state in _everywhere(trial):
        new, given = trial.make(), _copy(state)
        new.load_state_dict(given)
        before = _copy(plain(new.state_dict()))
        _scramble(given)
        changed = _changed(before, plain(new.state_dict()))
        if changed is not None:
            return f"changing what was loaded changed the callback's {changed}: copy it in load_state_dict()"
    return None


def _scramble(state: Any) -> None:
    """Change everything that can be changed in place."""
    for value in state.values() if isinstance(state, dict) else state:
        if isinstance(value, (dict, list)):
            _scramble(value)
        elif isinstance(value, np.ndarray) and value.size and value.flags.writeable:
            value.view(np.uint8 if value.ndim and value.flags.c_contiguous else value.dtype)[...] = 1
    if isinstance(state, dict):
        state.clear()
    else:
        state.append("changed")


def _settings_stay(trial: Trial) -> str | None:
    used = trial.make()
    trial.train(used)
    other = trial.make()
    for name, value in other.settings_dict().items():
        with contextlib.suppress(AttributeError, TypeError, ValueError):  # one that is not to be set stays as it is
            setattr(other, name, _another(value))
    before = dict(other.settings_dict())
    other.load_state_dict(_copy(used.state_dict()))
    found = difference(plain(before), plain(other.settings_dict()), "settings_dict()")
    return found and f"made with other settings, then given a state: {found}"


def _keeps_no_settings(trial: Trial) -> str | None:
    states = [plain(state) for _, state in _everywhere(trial)]
    for name, value in trial.make().settings_dict().items():
        if name not in trial.keeps and all(name in state and state[name] == value for state in states):
            return (
                f"state_dict() holds {name!r}, which is the constructor's {name}={value!r}: leave it out. Where it is "
                f"there on purpose: check_callback(..., keeps=[{name!r}])"
            )
    return None


def _another(value: Any) -> Any:
    """A setting like this one, and yet not this one."""
    if isinstance(value, bool):
        return not value
    return f"{value}2" if isinstance(value, str) else value + 1


def _settings_are_plain(trial: Trial) -> str | None:
    settings = trial.make().settings_dict()
    found = _no_plain(settings, "settings_dict()")
    if found is not None or not isinstance(settings, dict):
        return found or f"settings_dict() is {settings!r}"
    try:
        again = through_files(settings)
    except Exception as error:  # whatever the store says of it
        return f"settings_dict() cannot be saved: {error}"
    return difference(plain(settings), plain(again), "settings_dict()")


def _is_as_new(trial: Trial) -> str | None:
    used, loaded, new = trial.make(), trial.make(), trial.make()
    fresh = trial.told(new)
    new.reset()
    found = difference(fresh, trial.told(new), "state_dict()")
    if found is not None:
        return f"reset() of a new one: {found}"
    trial.train(used)
    state = _copy(used.state_dict())
    used.reset()
    found = difference(fresh, trial.told(used), "state_dict()")
    if found is not None:
        return f"after a run and reset(): {found}"
    loaded.load_state_dict(state)
    loaded.reset()
    found = difference(fresh, trial.told(loaded), "state_dict()")
    return found and f"after load_state_dict and reset(): {found}"


def _second_run(trial: Trial) -> str | None:
    made = trial.make()
    first = trial.story(made)
    found = difference(first, trial.story(made))
    return found and f"in a second run of the same object: {found}"


def _is_alone(trial: Trial) -> str | None:
    used, idle = trial.make(), trial.make()
    before = _copy(plain(idle.state_dict()))
    first = trial.story(used)
    found = difference(before, plain(idle.state_dict()), "state_dict()")
    if found is not None:
        return f"one that nobody had used, after a run of another one: {found}"
    found = difference(first, trial.story(idle))
    return found and f"in a run of one, after a run of another one: {found}"


STATE: Final = [
    Rule(
        "plain-state",
        _STATE,
        "state_dict() holds JSON-able values and numpy arrays, in dictionaries whose keys are strings.",
        _is_plain,
    ),
    Rule("state-returns", _STATE, "Saved and loaded into another object, a state is what it was.", _comes_back),
    Rule(
        "state-in-a-run",
        _STATE,
        "So it is at each epoch's and each batch's end, and before the first.",
        _comes_back_in_the_midst,
    ),
    Rule("state-replaces", _STATE, "load_state_dict() puts nothing beside what an earlier run left.", _replaces),
    Rule("state-is-a-copy", _STATE, "Training on changes nothing in a state that was taken.", _is_a_copy),
    Rule(
        "state-is-copied",
        _STATE,
        "load_state_dict() keeps no reference into what it is given.",
        _keeps_no_reference,
    ),
    Rule("settings-stay", _STATE, "Settings are the constructor's: no state changes them.", _settings_stay),
    Rule("no-settings", _STATE, "What the constructor is given is no state.", _keeps_no_settings),
    Rule("plain-settings", _STATE, "settings_dict() holds plain values.", _settings_are_plain),
    Rule("reset", _STATE, "reset() makes it as new.", _is_as_new),
    Rule("second-run", _STATE, "A second run of one object is as its first.", _second_run),
    Rule("two-objects", _STATE, "Two objects share nothing.", _is_alone),
]
