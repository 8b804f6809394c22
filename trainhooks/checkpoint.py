"""What a run's state holds: collect it from the parts of a run, and put it back into those of another."""

from __future__ import annotations

import copy
import os
import reprlib
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from .callback import keyed
from .errors import LoopError, NoWeightsError, StateFileError, WeightsError, listing
from .place import BETWEEN_EPOCHS
from .run import EpochRecord

if TYPE_CHECKING:
    from .bus import EventBus
    from .place import Place, Where
    from .progress import Progress
    from .run import Run
    from .trainable import Trainable

Resume = Mapping[str, Any] | str | os.PathLike[str] | None
"""What a run can be told to go on from."""

VERSION: Final = 1
"""Of what ``collect`` gives."""

_KEYS: Final = ("at", "inside", "random", "loaders", "progress", "history", "callbacks", "filters", "trainable")


_WORDS: Final = {
    "epoch": "in the midst",
    "pass": "in the training",
    "test": "in a validation",
    "predict": "in a prediction",
    "after an exception": "after an exception in the midst",
}


def not_resumable(at: str, epoch: int, who: str, reason: str | None = None) -> str:
    """What is wrong with a state that was taken where nobody can go on.

    Args:
        at: the place, as ``Place.at`` gives it.
        epoch: its number.
        who: who says so.
        reason: why the trainer cannot go on there; None where no trainer could.
    """
    if reason is not None:
        return (
            f"{who}: the state was taken {_WORDS.get(at, at)} of epoch {epoch}. {reason} Take it at an epoch's end; or "
            "attach a callback that saves, as BackupAndRestore, for the state of the epoch's beginning to be kept."
        )
    return (
        f"{who}: the state was taken {_WORDS.get(at, at)} of epoch {epoch}, where nobody can go on from. Take it at "
        "the end of a batch or of an epoch, in a callback with phase='save', which comes after those that decide; or "
        "ask for it with run.save(), which waits for such a place."
    )


def collect(
    run: Run,
    progress: Progress,
    trainable: Trainable,
    bus: EventBus,
    where: Where,
    epoch_start: Mapping[str, Any] | None,
    on_device: bool,
) -> dict[str, Any]:
    """Progress, history, the state of each callback and of its filters, and the Trainable's where it has one.

    Args:
        where: the place in the run.
        epoch_start: the state as the running epoch began, of a trainer that cannot go on inside one.
        on_device: whether what is on a device may stay there, as ``OnDevice``.
    """
    callbacks = keyed(bus.attached)
    take = trainable.state_snapshot if on_device else trainable.state_dict
    return {
        "version": VERSION,
        "framework": trainable.framework,
        **where,
        "progress": progress.state_dict(),
        "history": [[record.epoch, dict(record.logs)] for record in run.history],
        "callbacks": {key: callback.state_dict() for key, callback in callbacks.items()},
        "settings": {key: callback.settings_dict() for key, callback in callbacks.items()},
        "filters": {key: bus.gate_states(callback) for key, callback in callbacks.items()},
        "lr_shares": run.lr_shares,  # they cannot be read off learning rates that a callback has set to 0
        "trainable": None if trainable.missing("state") else take(),
        "epoch_start": epoch_start,
    }


def restore(
    state: Mapping[str, Any], run: Run, progress: Progress, trainable: Trainable, bus: EventBus, place: Place
) -> None:
    """Take back what ``collect`` gave; what does not fit the model is refused before anything is written.

    The callbacks' state and the counts are of no framework; a Trainable's own is taken back by its own framework only.

    Raises:
        LoopError: the state was taken where nobody can go on from, or inside an epoch where this trainer cannot.
        StateFileError: the state of a callback is not what that callback gave.
        WeightsError: the model or the optimizer is another.
    """
    if missing := [key for key in _KEYS if key not in state]:
        raise ValueError(
            f"load_state_dict(): {reprlib.repr(dict(state))} is not what run.state_dict() gives: it has no "
            f"{missing[0]!r}. Weights alone go into the model before the run."
        )
    if state.get("version") != VERSION:
        raise StateFileError(
            f"{state.get('origin', 'load_state_dict()')}: the state is of version {state.get('version')!r}, and this "
            f"trainhooks reads version {VERSION}."
        )
    state = _resumable(state, trainable)
    if state["trainable"] is not None:
        if state["framework"] != trainable.framework:
            warnings.warn(
                f"the state is {state['framework']}'s, and this run is {trainable.framework}'s: counts, history and "
                "callbacks go on; weights, optimizer and random generators do not go over.",
                stacklevel=5,
            )
        elif trainable.missing("state") is None:
            _load_trainable(trainable, state)  # first: it refuses what does not fit
            run.lr_shares = state["lr_shares"]
    progress.load_state_dict(state["progress"])
    run.history = [EpochRecord(epoch, dict(logs)) for epoch, logs in state["history"]]
    place.go_on(state)  # type: ignore[arg-type]  # it has these keys, among others
    bus.resume_gates()
    callbacks = keyed(bus.attached)
    left = [key for key, one in state["callbacks"].items() if one and key not in callbacks]
    if left and run.world.is_main:  # another rank lacks those that are of the main one alone
        warnings.warn(
            f"the state of {listing(left)} stays behind: the run has no callback of that name to take it.", stacklevel=5
        )
    for key, callback in callbacks.items():
        if key in state["callbacks"]:
            own = state["callbacks"][key]
            _load(callback, key, own, state.get("origin", "load_state_dict()"))
            bus.load_gate_states(callback, state["filters"].get(key, {}))
            saved = state.get("settings", {}).get(key, {})
            told = own.get("settings")  # of these the callback itself tells
            _tell_settings(key, saved, callback.settings_dict(), {*own, *(told if isinstance(told, Mapping) else ())})
        else:  # new to this run, whatever it did in another
            callback.reset()


def owned(state: Mapping[str, Any]) -> dict[str, Any]:
    """A copy that nobody changes: callbacks may give what they work with. What a Trainable gave is its own already."""
    kept = ("trainable", "epoch_start")
    return {key: value if key in kept else copy.deepcopy(value) for key, value in state.items()}


def without_stop(state: Mapping[str, Any]) -> dict[str, Any]:
    """The state of a run that was stopped, for one that is to go on."""
    held = state["progress"]["stops"][bool(state["progress"]["is_stopped"]) :]
    progress = {**state["progress"], "stops": held, "is_stopped": False, "stop_told": False}
    start = state.get("epoch_start")
    return {**state, "progress": progress, "epoch_start": None if start is None else without_stop(start)}


def state_from(resume: Resume) -> Mapping[str, Any] | None:
    """The state to go on from, as ``resume=`` was given; None for a run that begins anew.

    Args:
        resume: what ``run.state_dict()`` gave; the path of a checkpoint; or a folder of checkpoints, of which the
            newest good one is taken. A folder that is not there, or is empty, gives none, and a warning says so.

    Raises:
        TypeError: it is neither.
        StateFileError: every checkpoint there is damaged.
    """
    if resume is None or isinstance(resume, Mapping):
        return resume
    if not isinstance(resume, (str, os.PathLike)):
        raise TypeError(f"resume={resume!r}: a mapping, as run.state_dict() gives it, or the path of checkpoints")
    from .store import load_latest  # here: `import trainhooks` need not load what reads files

    found = load_latest(resume)
    if found is None:
        warnings.warn(f"resume={os.fspath(resume)!r}: there is no checkpoint. Training begins anew.", stacklevel=4)
        return None
    return read_from(*found)


def read_from(path: str | os.PathLike[str], state: Mapping[str, Any]) -> dict[str, Any]:
    """A state that knows the path that it was read from, for the sake of what is said where it does not fit."""
    return {**state, "origin": os.fspath(path)}


def _resumable(state: Mapping[str, Any], trainable: Trainable) -> Mapping[str, Any]:
    """The state itself, or that of the epoch's beginning where this trainer goes on from there."""
    start = state.get("epoch_start")
    epoch = state["progress"]["epoch"]
    if start is not None:
        warnings.warn(
            f"the checkpoint was made inside epoch {epoch}, and {state['framework']}'s training begins at an epoch: it "
            f"goes on from the beginning of epoch {epoch}.",
            stacklevel=6,
        )
        return start if "origin" not in state else read_from(state["origin"], start)
    if state["inside"] is None and state["at"] not in BETWEEN_EPOCHS:
        raise LoopError(not_resumable(state["at"], epoch, "load_state_dict()"))
    reason = trainable.missing("mid_epoch")
    if state["inside"] is not None and reason is not None:
        raise LoopError(
            f"{state.get('origin', 'load_state_dict()')}: the state was taken inside epoch {epoch} of "
            f"{state['framework']}'s training. {reason} Take a state at an epoch's end."
        )
    return state


def _load_trainable(trainable: Trainable, state: Mapping[str, Any]) -> None:
    try:
        trainable.load_state_dict(state["trainable"])
    except WeightsError as error:
        if "origin" not in state:
            raise
        if isinstance(error, NoWeightsError):
            raise NoWeightsError(f"the checkpoint {state['origin']!r} cannot be loaded yet. {error}") from error
        raise WeightsError(
            f"the checkpoint {state['origin']!r} is of another model or optimizer. {error} Delete it to begin anew, or "
            "give another folder."
        ) from error


def _load(callback: Any, key: str, state: Mapping[str, Any], origin: str) -> None:
    try:
        callback.load_state_dict(state)
    except (KeyError, IndexError, TypeError, AttributeError) as error:  # what a state of another shape leads to
        raise StateFileError(
            f"{origin}: {key} cannot take the state {reprlib.repr(state)} ({type(error).__name__}: {error})"
        ) from error


def _tell_settings(key: str, saved: Mapping[str, Any], now: Mapping[str, Any], told: set[str]) -> None:
    """Warn of settings that are others than when the state was saved, save those of which the callback itself tells."""
    changed = [name for name in now if name in saved and saved[name] != now[name] and name not in told]
    if changed:
        then, own = (", ".join(f"{name}={each[name]!r}" for name in changed) for each in (saved, now))
        warnings.warn(f"{key}: saved with {then}; the constructor's {own} hold.", stacklevel=5)
