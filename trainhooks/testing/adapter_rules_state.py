"""Rules of an adapter: its state, and runs that go on from it."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..callback import Callback
from ..callbacks import EarlyStopping
from ..errors import WeightsError
from ..run import Run
from ..store import load_checkpoint, save_checkpoint
from .adapter_rules_tools import (
    HISTORY,
    PLAIN,
    Factory,
    Rules,
    Seen,
    ask_each,
    changed,
    differ,
    firing,
    first_of,
    reference,
    see,
)
from .bench import Bench, Epoch
from .doubles import Do, StopAt
from .reference import ReferenceBench

RULES = Rules("state")

THREE: Sequence[Epoch] = (*HISTORY, {"loss": 0.25, "val_loss": 4.0})


_PAUSES = (("train_batch_end", 2), ("test_begin", 1), ("test_batch_end", 2), ("test_end", 1), ("epoch_end", 0))


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


class Finish(Callback):
    """What a run ends with."""

    phase = "save"

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}

    def on_teardown(self, run: Run) -> None:
        self.kept = {
            "epochs": [record.epoch for record in run.history],
            "losses": [[record.logs.get("loss"), record.logs.get("val_loss")] for record in run.history],
            "step": run.step,
            "epochs_done": run.epochs_done,
            "optimizer_step": run.optimizer_step,
            "lrs": run.lrs if run.can("read_lr") else None,
            "outcome": run.outcome,
            "weights": run.get_weights() if run.can("weights") else {},
        }

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
    arrays, other = _arrays(state["trainable"]), _arrays(back)
    return "what came back from the file is not what was saved" if changed(arrays, other) else None


@RULES.add("state-kept", "Training on changes nothing in a state.")
def _state_kept(factory: Factory) -> str | None:
    taken: list[tuple[Any, Any]] = []

    def take(run: Run) -> None:
        for on_device in (False, True):
            arrays = _arrays(run.state_dict(on_device=on_device)["trainable"])
            taken.append((arrays, {name: np.array(value) for name, value in arrays.items()}))

    see(factory(), PLAIN, Do("epoch_end", take))
    for what, (state, copied) in zip(("", "on_device=True"), taken, strict=True):
        if names := changed(copied, {name: np.asarray(value) for name, value in state.items()}):
            return f"the second epoch changed {sorted(names)} in what run.state_dict({what}) gave in the first"
    return None


@RULES.add("state-snapshot", "state_snapshot() holds what state_dict() holds.")
def _state_snapshot(factory: Factory) -> str | None:
    def both(run: Run) -> tuple[Any, Any]:
        return _arrays(run.state_dict()["trainable"]), _arrays(run.state_dict(on_device=True)["trainable"])

    for plain, quick in ask_each(factory(), both):
        names = changed(plain, {name: np.asarray(value) for name, value in quick.items()})
        if names or plain.keys() != quick.keys():
            return f"they differ in {sorted(names | (plain.keys() ^ quick.keys()))}"
    return None


@RULES.add("resume-at-epochs", "To go on from the end of any epoch is as if there had been no stop.")
def _resume_at_epochs(factory: Factory) -> str | None:
    bench, keeper, whole = factory(), Keeper("epoch_end"), Finish()
    full = see(bench, THREE, Do("setup", _halve), keeper, whole)
    if not _can_resume(full):
        return None
    for done, state in enumerate(keeper.states, 1):
        rest = Finish()
        came, expected = see(factory(), THREE, rest, resume=copy.deepcopy(state)), Keeper("epoch_end")
        reference(THREE, expected)
        outline = reference(THREE, Finish(), resume=expected.states[done - 1]).outline
        what = f"a run of three epochs that goes on after {done}"
        if found := differ(what, outline, came.outline) or _unlike(what, whole.kept, rest.kept):
            return found
    return None


@RULES.add("resume-decides", "A callback goes on with its own state: it decides as if there had been no stop.")
def _resume_decides(factory: Factory) -> str | None:
    worse: Sequence[Epoch] = [{"loss": 1.0, "val_loss": float(epoch)} for epoch in range(5)]
    keeper, patient = Keeper("epoch_end"), EarlyStopping(patience=3)
    whole = see(factory(), worse, patient, keeper)
    if not _can_resume(whole) or whole.run is None:
        return None
    for done, state in enumerate(keeper.states[:-1], 1):
        run = see(factory(), worse, EarlyStopping(patience=3), Keeper("epoch_end"), resume=copy.deepcopy(state)).run
        expected = whole.run.epochs_done, whole.run.stop_reason, True
        came = run and (run.epochs_done, run.stop_reason, run.resumed)
        what = f"(epochs, reason, run.resumed) of a run with EarlyStopping(patience=3) that goes on after {done}"
        if found := differ(what, expected, came):
            return found
    return None


@RULES.add("resume-inside", "Where it can, to go on from the end of any batch is as if there had been no stop.")
def _resume_inside(factory: Factory) -> str | None:
    for event in ("train_batch_end", "test_batch_end"):
        keeper, whole = Keeper(event), Finish()
        full = see(factory(), HISTORY, keeper, whole)
        if not _can_resume(full) or full.run is None or not full.run.can("mid_epoch"):
            return None
        for number, state in enumerate(keeper.states):
            rest = Finish()
            came = see(factory(), HISTORY, rest, resume=copy.deepcopy(state))
            what = f"a run that goes on after {firing(event, number)}"
            met = came.run is not None and came.run.resumed
            if found := differ(f"{what}: run.resumed", True, met) or _unlike(what, whole.kept, rest.kept):
                return found
    return None


@RULES.add("pause-goes-on", "A run that was paused goes on with its saved state as if there had been no pause.")
def _pause_goes_on(factory: Factory) -> str | None:
    bench, whole = factory(), Finish()
    full = see(bench, HISTORY, Do("setup", _halve), Keeper(), whole)
    if not _can_resume(full):
        return None
    for event, nth in _PAUSES[::2] if bench.sparing else _PAUSES:
        keeper, rest = Keeper(), Finish()
        see(factory(), HISTORY, Do("setup", _halve), keeper, StopAt(event, nth, kind="pause"))
        what = f"a run that was paused in {firing(event, nth)}"
        if not keeper.states:
            return f"{what}: at the pause nothing was saved"
        see(factory(), HISTORY, rest, resume=keeper.states[-1])
        if found := _unlike(what, whole.kept, rest.kept):
            return found
    return None


@RULES.add("stays-stopped", "A run that goes on from the state of a stopped one trains nothing, and says why.")
def _stays_stopped(factory: Factory) -> str | None:
    def stopped(bench: Bench, new: Bench) -> tuple[str, Any]:
        keeper = Keeper("epoch_end")
        see(bench, HISTORY, StopAt("train_batch_end", reason="enough"), keeper)
        seen = see(new, HISTORY, resume=keeper.states[0])
        return seen.outline, (seen.outcome, seen.run and seen.run.stop_reason)

    expected, came = stopped(ReferenceBench(), ReferenceBench()), stopped(factory(), factory())
    return first_of(
        differ("the run that goes on", expected[0], came[0]),
        differ("(outcome, stop_reason)", expected[1], came[1]),
    )


@RULES.add("state-refused", "The state of another model is a WeightsError, and nothing of it is written.")
def _state_refused(factory: Factory) -> str | None:
    bench, keeper, kept = factory(), Keeper("epoch_end"), list[Any]()

    def keep(run: Run) -> None:
        kept.append(run.get_weights() if run.can("weights") else {})

    first = see(bench, THREE, keeper, Do("teardown", keep))
    if not _can_resume(first):
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


def _halve(run: Run) -> None:
    """Have a learning rate that no new run begins with: it comes out of the state."""
    if run.can("lr"):
        run.lr /= 2


def _can_resume(seen: Seen) -> bool:
    return seen.run is not None and seen.run.can("state")


def _unlike(what: str, expected: Mapping[str, Any], came: Mapping[str, Any]) -> str | None:
    for name in expected:
        if name == "weights":
            names = [
                one
                for (one, first), second in zip(expected[name].items(), came[name].values(), strict=True)
                if not np.allclose(np.asarray(first, float), np.asarray(second, float), 1e-5, 1e-6, equal_nan=True)
            ]
            if names:
                return f"{what}: its last weights are other ones, {names}"
        elif found := differ(f"{what}: {name}", expected[name], came.get(name)):
            return found
    return None


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


def _arrays(state: Any, path: str = "") -> dict[str, Any]:
    """The arrays in a state, by their place in it."""
    if isinstance(state, Mapping):
        return {name: one for key, value in state.items() for name, one in _arrays(value, f"{path}/{key}").items()}
    if isinstance(state, (list, tuple)):
        return {name: one for key, value in enumerate(state) for name, one in _arrays(value, f"{path}/{key}").items()}
    return {path: state} if hasattr(state, "__array__") and np.shape(state) else {}


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
