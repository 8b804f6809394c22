"""What a run's state holds: collect and restore it, as pure functions of its parts."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from .callback import keyed
from .errors import LoopError
from .run import EpochRecord

if TYPE_CHECKING:
    from .bus import EventBus
    from .progress import Progress
    from .run import Run
    from .trainable import Trainable

BETWEEN_EPOCHS: Final = ("nothing", "run", "train")
"""The innermost open scope where no epoch is under way."""


def taken_inside(at: str, epoch: int, who: str) -> str:
    """What is wrong with a state that was taken inside an epoch."""
    return (
        f"{who}: the state was taken inside {at!r} of epoch {epoch}; it can be gone on from between epochs only. "
        "Take it in on_epoch_end, in a callback with phase='save', which comes after those that decide."
    )


def collect(run: Run, progress: Progress, trainable: Trainable, bus: EventBus, at: str) -> dict[str, Any]:
    """Progress, history, the state of each callback and of its filters, and the Trainable's where it has one.

    Args:
        at: the kind of the innermost open scope, which says whether the state can be gone on from.
    """
    callbacks = keyed(bus.callbacks)
    return {
        "version": 1,
        "framework": trainable.framework,
        "at": at,
        "progress": progress.state_dict(),
        "history": [[record.epoch, dict(record.logs)] for record in run.history],
        "callbacks": {key: callback.state_dict() for key, callback in callbacks.items()},
        "filters": {key: bus.gate_states(callback) for key, callback in callbacks.items()},
        "lr_shares": run.lr_shares,  # they cannot be read off learning rates that a callback has set to 0
        "trainable": None if trainable.missing("state") else trainable.state_dict(),
    }


def restore(state: Mapping[str, Any], run: Run, progress: Progress, trainable: Trainable, bus: EventBus) -> None:
    """Take back what ``collect`` gave.

    The callbacks' state and the counts are of no framework; a Trainable's own is taken back by its own framework only.

    Raises:
        LoopError: the state was taken inside an epoch.
    """
    if "at" not in state:
        raise ValueError(f"load_state_dict(): {reprlib.repr(state)} is not what run.state_dict() gives")
    if state["at"] not in BETWEEN_EPOCHS:
        raise LoopError(taken_inside(state["at"], state["progress"]["epoch"], "load_state_dict()"))
    progress.load_state_dict(state["progress"])
    run.history = [EpochRecord(epoch, dict(logs)) for epoch, logs in state["history"]]
    bus.resume_gates()
    for key, callback in keyed(bus.callbacks).items():
        if key in state["callbacks"]:
            callback.load_state_dict(state["callbacks"][key])
            bus.load_gate_states(callback, state["filters"].get(key, {}))
        else:  # new to this run, whatever it did in another
            callback.reset()
    if state["trainable"] is not None and state["framework"] == trainable.framework and not trainable.missing("state"):
        trainable.load_state_dict(state["trainable"])
        run.lr_shares = state["lr_shares"]
