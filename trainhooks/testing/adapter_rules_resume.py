"""Rules of an adapter: runs that go on from a state."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..callback import Callback
from ..callbacks import EarlyStopping
from ..run import Run
from .adapter_rules_state import THREE, Keeper, can_resume
from .adapter_rules_tools import HISTORY, Factory, Rules, differ, firing, first_of, like, reference, see
from .bench import Bench, Epoch
from .doubles import Do, StopAt

RULES = Rules("state")


def _pauses(bench: Bench) -> Sequence[tuple[str, int]]:
    first = bench.batches  # of the second epoch
    return ("train_batch_end", first), ("test_begin", 1), ("test_batch_end", first), ("test_end", 1), ("epoch_end", 0)


class Finish(Callback):
    """What a run ends with."""

    phase = "save"

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}
        self.begun: dict[int, Any] = {}
        """The weights with which each training batch began, by the steps before it."""

    def on_train_batch_begin(self, run: Run) -> None:
        if run.can("weights"):
            self.begun[run.step] = run.get_weights()

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


@RULES.add("resume-at-epochs", "To go on from the end of any epoch is as if there had been no stop.")
def _resume_at_epochs(factory: Factory) -> str | None:
    bench, keeper, whole = factory(), Keeper("epoch_end"), Finish()
    full = see(bench, THREE, Do("setup", _halve), keeper, whole)
    if not can_resume(full):
        return None
    for done, state in enumerate(keeper.states, 1):
        rest = Finish()
        came, expected = see(factory(), THREE, rest, resume=copy.deepcopy(state)), Keeper("epoch_end")
        reference(bench, THREE, expected)
        outline = reference(bench, THREE, Finish(), resume=expected.states[done - 1]).outline
        what = f"a run of three epochs that goes on after {done}"
        if found := differ(what, outline, came.outline) or _unlike(what, whole, rest):
            return found
    return None


@RULES.add("resume-decides", "A callback goes on with its own state: it decides as if there had been no stop.")
def _resume_decides(factory: Factory) -> str | None:
    worse: Sequence[Epoch] = [{"loss": 1.0, "val_loss": float(epoch)} for epoch in range(5)]
    keeper, patient = Keeper("epoch_end"), EarlyStopping(patience=3)
    whole = see(factory(), worse, patient, keeper)
    if not can_resume(whole) or whole.run is None:
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
        if not can_resume(full) or full.run is None or not full.run.can("mid_epoch"):
            return None
        for number, state in enumerate(keeper.states):
            rest = Finish()
            came = see(factory(), HISTORY, rest, resume=copy.deepcopy(state))
            what = f"a run that goes on after {firing(event, number)}"
            met = came.run is not None and came.run.resumed
            if found := differ(f"{what}: run.resumed", True, met) or _unlike(what, whole, rest):
                return found
    return None


@RULES.add("pause-goes-on", "A run that was paused goes on with its saved state as if there had been no pause.")
def _pause_goes_on(factory: Factory) -> str | None:
    bench, whole = factory(), Finish()
    full = see(bench, HISTORY, Do("setup", _halve), Keeper(), whole)
    if not can_resume(full):
        return None
    for event, nth in _pauses(bench)[::2] if bench.sparing else _pauses(bench):
        keeper, rest = Keeper(), Finish()
        see(factory(), HISTORY, Do("setup", _halve), keeper, StopAt(event, nth, kind="pause"))
        what = f"a run that was paused in {firing(event, nth)}"
        if not keeper.states:
            return f"{what}: at the pause nothing was saved"
        see(factory(), HISTORY, rest, resume=keeper.states[-1])
        if found := _unlike(what, whole, rest):
            return found
    return None


@RULES.add("stays-stopped", "A run that goes on from the state of a stopped one trains nothing, and says why.")
def _stays_stopped(factory: Factory) -> str | None:
    def stopped(bench: Bench, new: Bench) -> tuple[str, Any]:
        keeper = Keeper("epoch_end")
        see(bench, HISTORY, StopAt("train_batch_end", reason="enough"), keeper)
        seen = see(new, HISTORY, resume=keeper.states[0])
        return seen.outline, (seen.outcome, seen.run and seen.run.stop_reason)

    bench = factory()
    expected, came = stopped(like(bench), like(bench)), stopped(bench, factory())
    return first_of(
        differ("the run that goes on", expected[0], came[0]),
        differ("(outcome, stop_reason)", expected[1], came[1]),
    )


def _halve(run: Run) -> None:
    """Have a learning rate that no new run begins with: it comes out of the state."""
    if run.can("lr"):
        run.lr /= 2


def _unlike(what: str, whole: Finish, rest: Finish) -> str | None:
    expected, came = whole.kept, rest.kept
    for name in expected:
        if name == "weights":
            if names := _apart(expected[name], came[name]):
                return f"{what}: its last weights are other ones, {names}{_where_they_parted(whole, rest)}"
        elif found := differ(f"{what}: {name}", expected[name], came.get(name)):
            return found
    return None


def _apart(expected: Mapping[str, Any], came: Mapping[str, Any]) -> list[str]:
    """The names of the weights that differ by more than rounding."""
    return [
        one
        for (one, first), second in zip(expected.items(), came.values(), strict=True)
        if not np.allclose(np.asarray(first, float), np.asarray(second, float), 1e-5, 1e-6, equal_nan=True)
    ]


def _where_they_parted(whole: Finish, rest: Finish) -> str:
    """Whether the weights of a run that goes on were those of the whole one as its first batch began."""
    step = next(iter(rest.begun), None)
    if step not in whole.begun:
        return ""
    if _apart(whole.begun[step], rest.begun[step]):
        return ". They were other ones already when it went on: look at what load_state_dict() writes, and where."
    return (
        ". They were equal when it went on: look for optimizer arrays, step counts and learning rates that are not in "
        "state_dict(), and for your own generators in random_state()."
    )
