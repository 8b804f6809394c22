"""Rules on a callback's part in a run: what it asks for, what it writes, what it must not touch."""

from __future__ import annotations

import contextlib
import gc
import random
import weakref
from pathlib import Path
from typing import Any, Final

import numpy as np

from ..bus import EventBus
from ..callback import Callback
from ..errors import CapabilityError, GrammarError, RegistrationError, listing
from ..events import EVENTS
from ..logs import Mean
from ..run import Run
from ..world import World
from .bench import Bench
from .callback_rules_left import held, left, more, usually_left
from .callback_rules_trial import HISTORY, Trial, at_the_end_of
from .doubles import Do
from .rules import Rule
from .trace import Trace

_PAGE: Final = "docs/write-a-callback.md#"
_HOST_READS: Final = (
    "epoch_end",
    "test_end",
    "train_end",
    "predict_end",
    "stop",
    "checkpoint",
    "exception",
    "teardown",
)
"""Events that come once in an epoch or less, in which a value may be read: whoever decides has to."""


# What it is


def _is_made_anew(trial: Trial) -> str | None:
    first, second = trial.factory(), trial.factory()
    for made in (first, second):
        if not isinstance(made, Callback):
            hint = ", a class: call it" if isinstance(made, type) else ""
            return f"it gave {made!r}{hint}"
    return "it gave the same object twice" if first is second else None


def _registers(trial: Trial) -> str | None:
    run, made = trial.train(None), trial.make()
    try:
        made.check_needs()
        EventBus(run, run._progress).add(made)
    except CapabilityError:
        pass  # what a trainer lacks is no mistake in its hooks
    except RegistrationError as error:
        return f"it cannot be attached: {error}"
    return None


def _is_not_refused(trial: Trial) -> str | None:
    begun = Do("setup", lambda run: None)
    try:
        trial.train(None, begun, *trial.around(trial.make()))
    except CapabilityError as error:
        if not begun.fired:
            return f"it was refused: {error}\nWhere that is right, say so: check_callback(..., refused={str(error)!r})"
    except Exception:  # what it does in a run has its own rule
        pass
    return None


def refusal(trial: Trial) -> str | None:
    """What is wrong where a callback is to be refused."""
    made = trial.make()
    before = held()
    try:
        trial.train(made)
    except CapabilityError as error:
        if str(error) != trial.refused:
            return f"it was refused otherwise: {error}\nand not: {trial.refused}"
        found = [one for here in left(trial, made, before).values() for one in here]
        return f"refused, it left something: {found[0]}" if found else None
    return f"it was not refused, and should have been: {trial.refused}"


def _is_refused_twice(trial: Trial) -> str | None:
    usual = usually_left(trial)
    made = trial.make()
    before = held()
    try:
        trial.train(made, made)
    except RegistrationError as error:
        if trial.who not in str(error):
            return f"the error does not name it: {error}"
    else:
        return "the same object was attached twice"
    found = more(left(trial, made, before), usual)
    return f"it was refused the second time, and the run never began: {found[0]}" if found else None


# What it does


def _goes_through(trial: Trial) -> str | None:
    run = trial.train(trial.make())
    said = trial.raised_in_hooks()
    if said:
        return said[0]
    return None if run.outcome in ("completed", "stopped") else f"the outcome of its run is {run.outcome!r}"


def _keeps_the_grammar(trial: Trial) -> str | None:
    trace = Trace()
    trial.train(trial.make(), trace)
    try:
        trace.check_grammar(drops_batches=True)
    except GrammarError as error:
        return f"{error}, in {trace.outline()}"
    return None


def _writes_numbers(trial: Trial) -> str | None:
    found: list[str] = []

    def look(run: Run) -> None:
        for name, value in run.logs.raw.items():
            if not isinstance(name, str):
                found.append(f"epoch {run.epoch}: the logs have the key {name!r}, which is no string")
            elif type(value) is not Mean and type(value) not in (int, float):
                found.append(f"epoch {run.epoch}: logs[{name!r}] is {value!r}, of type {type(value).__name__}")

    lookers = [at_the_end_of(event, look) for event in EVENTS if event.endswith("_end") and "predict" not in event]
    trial.train(None, *lookers)
    trainers, found[:] = list(found), []
    trial.train(trial.make(), *lookers)
    return next((one for one in found if one not in trainers), None)


class _OnDevice:
    """A number on a device: reading it is written down."""

    size = 1
    dtype = np.dtype(np.float32)

    def __init__(self, name: str, value: float, read: list[str]) -> None:
        self.name, self.value, self.read = name, value, read

    def block_until_ready(self) -> _OnDevice:
        return self

    def item(self) -> float:
        self.read.append(self.name)
        return self.value


def _reads_what_it_asked_for(trial: Trial) -> str | None:
    event, wrong = "setup", []
    read: list[str] = []

    def now(name: str) -> Any:
        def begin(run: Run) -> None:
            nonlocal event
            check()
            event = name

        return Do(name, begin, nth=None)

    def check() -> None:
        if event not in _HOST_READS:
            names = sorted({name for name in read if name not in trial.reads})
            if names:
                wrong.append((event, names))
        read.clear()

    markers = [now(name) for name in EVENTS if name not in ("setup", "optimizer_step")]
    made = trial.make()
    trainable = trial.trainable()
    trial.loop(trainable, [*markers, *trial.around(made)], lambda name, value: _OnDevice(name, value, read))
    check()
    if not wrong:
        return None
    event, names = wrong[0]
    return (
        f"in {event} it read {listing(names)} from the device; it may read {listing(trial.reads)}. Where it must: "
        f"check_callback(..., reads={sorted({*names, *trial.reads})!r}), and read seldom: @trainhooks.every(steps=50)"
    )


class _Second(World):
    """One of two ranks, and not the main one."""

    rank, size = 1, 2


def _writes_on_main_alone(trial: Trial) -> str | None:
    trial.loop(trial.trainable(), trial.around(trial.make()), world=_Second())
    found = sorted(str(path) for path in Path().rglob("*"))
    return f"on the second of two ranks it wrote {listing(found)}" if found else None


def _keeps_nothing(trial: Trial) -> str | None:
    made = trial.make()
    kept = _alive_after(trial, made)
    if not kept:
        return None
    of_the_trainer = _alive_after(trial, None)
    kept = [name for name in kept if name not in of_the_trainer]
    return f"the {' and the '.join(kept)} of a run that is over cannot be freed while it is there" if kept else None


def _alive_after(trial: Trial, made: Callback | None) -> list[str]:
    """What is still there after a run: the run itself, or its model."""
    gc.freeze()  # only what the run makes need be looked at
    try:
        run = trial.train(made)
        kept = {"run": weakref.ref(run)}
        with contextlib.suppress(TypeError):  # a model that cannot be referred to weakly
            kept["model"] = weakref.ref(run.model)
        del run
        trial.bench, trial.said = Bench(), []
        gc.collect()
    finally:
        gc.unfreeze()
    return [name for name, reference in kept.items() if reference() is not None]


def _draws_nothing(trial: Trial) -> str | None:
    python, of_numpy = random.getstate(), np.random.get_state()
    try:
        drawn: list[tuple[float, float]] = []
        made = trial.make()
        random.seed(0)
        np.random.seed(0)
        run = trial.train(made)
        drawn.append((random.random(), float(np.random.random())))
        random.seed(0)
        np.random.seed(0)
        trial.train(None, history=HISTORY[: max(1, run.epochs_done)])
        drawn.append((random.random(), float(np.random.random())))
    finally:
        random.setstate(python)
        np.random.set_state(of_numpy)
    names = [name for name, one, other in zip(("Python", "numpy"), *drawn, strict=True) if one != other]
    return f"it drew from the random generator of {' and of '.join(names)}, which is the training's" if names else None


RUNS: Final = [
    Rule("made-anew", f"{_PAGE}test-it", "The factory makes a new Callback at each call.", _is_made_anew),
    Rule("registers", f"{_PAGE}hooks", "Its hooks, their arguments and its needs are ones that exist.", _registers),
    Rule("attaches", f"{_PAGE}needs", "The trainer can serve it, or it is said to be refused.", _is_not_refused),
    Rule(
        "refused-twice",
        f"{_PAGE}hooks",
        "To be attached is not yet to run: where a run is refused it, it has begun nothing.",
        _is_refused_twice,
    ),
    Rule("runs", f"{_PAGE}hooks", "A training goes through with it, and none of its hooks raises.", _goes_through),
    Rule("grammar", f"{_PAGE}hooks", "The trainer's events are the trainer's to fire.", _keeps_the_grammar),
    Rule("plain-logs", f"{_PAGE}logs", "What it writes into the logs are numbers: int or float.", _writes_numbers),
    Rule(
        "reads",
        f"{_PAGE}logs",
        "In the events of batches it reads no value of the logs but those that it is said to read.",
        _reads_what_it_asked_for,
    ),
    Rule("main-rank", f"{_PAGE}needs", "Files are written on the main rank alone.", _writes_on_main_alone),
    Rule("keeps-nothing", f"{_PAGE}run", "It keeps neither a run nor its model.", _keeps_nothing),
    Rule(
        "draws-nothing",
        f"{_PAGE}run",
        "It leaves the random generators of Python and numpy to the training.",
        _draws_nothing,
    ),
]
