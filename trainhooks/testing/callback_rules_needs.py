"""Rules on what a callback takes of its trainer: what it needs, the events that it hears, and how it stops it."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from ..callback import Callback
from ..dispatch import Listener
from ..errors import CapabilityError, RegistrationError, lacking
from ..events import EVENTS, Event
from ..loop import LoopRun
from ..run import Run
from ..trainable import CAPABILITIES, Trainable
from .bench import BATCHES
from .callback_rules_odd import with_broken
from .callback_rules_trial import HISTORY, Trial, kind_of
from .doubles import Do, RaiseAt, StopAt
from .rules import Rule

_PAGE: Final = "docs/write-a-callback.md#"


# Needs


class _Lacking(Trainable):
    """A model of a trainer that can do what it can, but for one thing.

    Attributes:
        used: what was asked for, by a verb or a question.
    """

    def __init__(self, inner: Trainable, need: str | None = None) -> None:
        self.inner, self.need = inner, need
        self.framework, self.model, self.formats = inner.framework, inner.model, inner.formats
        self.optimizer = inner.optimizer
        self.used: set[str] = set()

    def missing(self, need: str) -> str | None:
        self.used.add(need)
        if self.need == need or (self.need, need) == ("read_lr", "lr"):
            return "this trainer does not offer it."
        return self.inner.missing(need)


def _handed_on(verb: str) -> Any:
    needs = [need for need, verbs in CAPABILITIES.items() if verb in verbs]

    def call(self: _Lacking, *args: Any, **kwargs: Any) -> Any:
        self.used.update(needs)
        if self.need in needs and (verb != "get_lrs" or self.need == "read_lr"):
            raise lacking("run", self.need, "this trainer does not offer it.")
        return getattr(self.inner, verb)(*args, **kwargs)

    return call


for _name, _value in vars(Trainable).items():
    if callable(_value) and not _name.startswith("_") and _name != "missing":
        setattr(_Lacking, _name, _handed_on(_name))


def _names_its_needs(trial: Trial) -> str | None:
    found = _without(trial, "with no model to ask", lambda: None, trial.make)
    if found is not None:
        return found
    everything = _Lacking(trial.trainable())
    trial.loop(everything, trial.around(trial.make()))
    for need in CAPABILITIES:
        if need in everything.used and everything.inner.missing(need) is None:
            lacking_it = functools.partial(_Lacking, everything.inner, need)
            found = _without(trial, f"without {need!r}", lacking_it, trial.make, *trial.beside)
            if found is not None:
                return f"{found} Name it in requires, or ask run.can({need!r}) first."
    return None


def _without(
    trial: Trial, what: str, trainable: Callable[[], Trainable | None], *callbacks: Callable[[], Callback]
) -> str | None:
    """What is wrong in a run of a trainer that lacks what they may need."""
    try:
        LoopRun(trainable(), [make() for make in callbacks], plugins="none")
    except RegistrationError:  # as it should be: before anything has begun
        return None
    try:
        trial.loop(trainable(), [make() for make in callbacks])
    except CapabilityError as error:
        return f"{what}, it was attached, and then: {error}"
    except Exception as error:
        return None if trial.who in str(error) else f"{what}, it raised {type(error).__name__}: {error}"
    said = [one for one in trial.raised_in_hooks() if kind_of(one) == "CapabilityError"]
    return f"{what}, it was attached, and then: {said[0]}" if said else None


# Events


class _Counted:
    """Counts the calls of each hook of a callback, while ``counting``."""

    def __init__(self, made: Callback) -> None:
        self.made = made
        self.idle: dict[tuple[str, str], str] = {}
        """The hooks that have not run yet, by their names and events, with their filters."""
        self._ran: set[tuple[str, str]] = set()

    @contextlib.contextmanager
    def counting(self) -> Iterator[None]:
        own = self.made.listeners

        def listeners(events: Mapping[str, Event] = EVENTS) -> Iterator[Listener]:
            for one in own(events):
                key = (one.who, one.event.name)
                if one.event.name in EVENTS and key not in self._ran:
                    self.idle[key] = f"{one.who}{''.join(f', with {due},' for due in one.filters)}"
                one.call = self._noted(key, one.call)
                yield one

        self.made.__dict__["listeners"] = listeners
        try:
            yield
        finally:
            del self.made.__dict__["listeners"]

    def _noted(self, key: tuple[str, str], call: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(call)
        def noted(*args: Any, **kwargs: Any) -> Any:
            self._ran.add(key)
            self.idle.pop(key, None)
            return call(*args, **kwargs)

        return noted


class _AskedError(Exception):
    """What is raised so that there is an exception to hear of."""


def _fires(trial: Trial) -> str | None:
    counted = _Counted(trial.make())

    def train(*others: Callback) -> bool:
        trial.train(counted.made, *others)
        return True

    def evaluate(go: Callable[[], Run | None]) -> bool:
        with trial.folder():
            return go() is not None

    save = Do("epoch_end", lambda run: run.emit("checkpoint", path=Path("x"), logs=run.logs))
    ways: dict[tuple[str, ...], Callable[[], bool]] = {
        tuple(EVENTS): train,
        ("stop",): lambda: train(StopAt("epoch_end")),
        ("checkpoint",): lambda: train(save),
        ("exception",): lambda: train(RaiseAt("epoch_end", error=_AskedError())),
        ("setup", "teardown", *(name for name in EVENTS if name.startswith("test_"))): lambda: evaluate(
            lambda: trial.bench.evaluate({"loss": 0.25, "accuracy": 0.75}, trial.around(counted.made))
        ),
        ("setup", "teardown", *(name for name in EVENTS if name.startswith("predict_"))): lambda: evaluate(
            lambda: trial.bench.predict(trial.around(counted.made))
        ),
    }
    for events, go in ways.items():
        if events == tuple(EVENTS) or any(event in events for _, event in counted.idle):
            with counted.counting(), contextlib.suppress(_AskedError):
                if not go():  # the trainer has none
                    counted.idle = {key: one for key, one in counted.idle.items() if key[1] not in events[2:]}
    if not counted.idle:
        return None
    return (
        f"{next(iter(counted.idle.values()))} never ran in {len(HISTORY)} epochs of {BATCHES} batches. Give it a "
        'setting under which it does, as every=3; or say why not: without={"fires": "..."}'
    )


# Stops


def _asks_the_run(trial: Trial) -> str | None:
    for history in (HISTORY, with_broken(math.nan)):
        models: list[Any] = []

        def look(run: Run, models: list[Any] = models) -> None:
            if not hasattr(run.model, "stop_training"):
                models.append(run.model)

        with contextlib.suppress(Exception):  # what it raises has its own rules
            trial.train(None, Do("setup", look), *trial.around(trial.make()), history=history)
        if any(hasattr(model, "stop_training") for model in models):
            return 'it set model.stop_training, which is Keras\'s and stops no other trainer: run.stop("why")'
    return None


NEEDS: Final = [
    Rule(
        "needs",
        f"{_PAGE}needs",
        "What it uses of the trainer stands in its requires, or it asks run.can first.",
        _names_its_needs,
    ),
    Rule("fires", f"{_PAGE}test-it", "Each of its hooks runs at least once while it is tried.", _fires),
    Rule("stops", f"{_PAGE}run", "It stops training by run.stop alone.", _asks_the_run),
]
