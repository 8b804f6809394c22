"""Rules of an adapter: its state, and runs that go on from it."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..callback import Callback
from ..errors import WeightsError
from ..run import Run
from ..store import load_checkpoint, save_checkpoint
from .adapter_rules_tools import (
    HISTORY,
    PLAIN,
    Factory,
    Rules,
    Seen,
    arrays_in,
    ask_each,
    changed,
    first_of,
    see,
)
from .bench import Epoch
from .doubles import Do

RULES = Rules("state")

THREE: Sequence[Epoch] = (*HISTORY, {"loss": 0.25, "val_loss": 4.0})


class Keeper(Callback):
    """Keeps the states of a run.

    Args:
        event: at which they are taken; none by default but those that are asked for.
    """

    phase = "save"

    def __init__(self, event: str | None = None) -> None:
        self.states: list[Any] = []
        self.event = event

    def listeners(self, events: Any = None) -> Iterator[Any]:
        if self.event is not None:
            taker = Do(self.event, self.save, nth=None)
            taker.phase = "save"
            yield from taker.listeners()

    def save(self, run: Run) -> None:
        self.states.append(run.state_dict())

    def settings_dict(self) -> dict[str, Any]:
        return {}


@RULES.add("state-plain", "A state holds JSON-able values and numpy arrays, and goes through a file and back.")
def _state_plain(factory: Factory) -> str | None:
    keeper = Keeper("epoch_end")
    see(factory(), HISTORY, keeper)
    state = keeper.states[-1]
    if odd := _odd(state):
        return odd
    save_checkpoint(Path("state"), state)
    back = load_checkpoint(Path("state"))["trainable"]
    arrays, other = arrays_in(state["trainable"]), arrays_in(back)
    return "what came back from the file is not what was saved" if changed(arrays, other) else None


@RULES.add("state-kept", "Training on changes nothing in a state.")
def _state_kept(factory: Factory) -> str | None:
    taken: list[tuple[Any, Any]] = []

    def take(run: Run) -> None:
        for on_device in (False, True):
            arrays = arrays_in(run.state_dict(on_device=on_device)["trainable"])
            taken.append((arrays, {name: np.array(value) for name, value in arrays.items()}))

    see(factory(), PLAIN, Do("epoch_end", take))
    for what, (state, copied) in zip(("", "on_device=True"), taken, strict=True):
        if names := changed(copied, {name: np.asarray(value) for name, value in state.items()}):
            return f"the second epoch changed {sorted(names)} in what run.state_dict({what}) gave in the first"
    return None


@RULES.add("state-snapshot", "state_snapshot() holds what state_dict() holds.")
def _state_snapshot(factory: Factory) -> str | None:
    def both(run: Run) -> tuple[Any, Any]:
        return arrays_in(run.state_dict()["trainable"]), arrays_in(run.state_dict(on_device=True)["trainable"])

    for plain, quick in ask_each(factory(), both):
        names = changed(plain, {name: np.asarray(value) for name, value in quick.items()})
        if names or plain.keys() != quick.keys():
            return f"they differ in {sorted(names | (plain.keys() ^ quick.keys()))}"
    return None


@RULES.add("state-reused", "A state is good for another time: to go on from it, and train on, changes nothing in it.")
def _state_reused(factory: Factory) -> str | None:
    keeper = Keeper("epoch_end")
    if not can_resume(see(factory(), THREE, keeper)):
        return None
    state = keeper.states[0]
    before = {name: np.array(array) for name, array in arrays_in(state["trainable"]).items()}
    see(factory(), THREE, resume=state)
    if names := changed(before, arrays_in(state["trainable"])):
        return f"training on changed {sorted(names)} in the state that was loaded: load copies of its arrays"
    return None


@RULES.add("state-refused", "The state of another model is a WeightsError, and nothing of it is written.")
def _state_refused(factory: Factory) -> str | None:
    bench, keeper, kept = factory(), Keeper("epoch_end"), list[Any]()

    def keep(run: Run) -> None:
        kept.append(run.get_weights() if run.can("weights") else {})

    first = see(bench, THREE, keeper, Do("teardown", keep))
    if not can_resume(first):
        return None
    state = copy.deepcopy(keeper.states[0])
    if not _reshape_last(state["trainable"]):
        return None
    try:
        see(bench, THREE, resume=state)
    except WeightsError:
        pass
    except Exception as error:  # whatever came in its place
        return f"it raised {type(error).__name__} ({error}), and no WeightsError"
    else:
        return "a state with an array of another shape raised nothing"
    see(bench, THREE[:1], Do("train_begin", keep))
    names = changed(kept[0], kept[1])
    return f"it was refused, and yet {sorted(names)} were written" if names else None


def can_resume(seen: Seen) -> bool:
    return seen.run is not None and seen.run.can("state")


def _odd(value: Any, path: str = "state") -> str | None:
    """The first thing in a state that is neither JSON-able nor an array."""
    if isinstance(value, Mapping):
        for name, one in value.items():
            if not isinstance(name, str):
                return f"{path} has a key {name!r}, which is no string"
            if found := _odd(one, f"{path}[{name!r}]"):
                return found
    elif isinstance(value, (list, tuple)):
        return first_of(*(_odd(one, f"{path}[{place}]") for place, one in enumerate(value)))
    elif not isinstance(value, np.ndarray):
        try:
            json.dumps(value)
        except (TypeError, ValueError):
            return f"{path} is a {type(value).__module__}.{type(value).__name__}"
        if isinstance(value, np.generic):
            return f"{path} is a numpy scalar, {value!r}: give it as a number"
    return None


def _reshape_last(state: Any) -> bool:
    """Give the last array in a state another shape; whether there is one."""
    items: list[tuple[Any, Any]] = []
    if isinstance(state, dict):
        items = list(state.items())
    elif isinstance(state, list):
        items = list(enumerate(state))
    for key, value in reversed(items):
        if isinstance(value, np.ndarray) and value.shape:
            state[key] = np.concatenate([value, value])
            return True
        if _reshape_last(value):
            return True
    return False
