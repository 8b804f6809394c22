"""The vocabulary of events, and their grammar, as data.

This is the one list: dispatch, checks, tests, documentation and command line are derived from it. Events are named
as Keras names them; ``epoch`` and ``batch`` count from 0, ``batch`` within its epoch.

A run that ends well is balanced: each scope that began has ended. After ``exception``, and after a pause, what was
open stays open and only ``teardown`` follows: a checkpoint must not take half an epoch for a whole one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from .errors import GrammarError, unknown_event


class Event(NamedTuple):
    """One event: its name (the hook is ``on_<name>``), the arguments it carries beside ``run``, and when it fires."""

    name: str
    args: tuple[str, ...]
    doc: str

    @property
    def hook(self) -> str:
        """The name of the method that listens to it."""
        return f"on_{self.name}"

    @property
    def offers(self) -> tuple[str, ...]:
        """What a hook may ask for: the event's arguments, and ``run``."""
        return (*self.args, "run")


class Scope(NamedTuple):
    """What lies between a begin and an end event, and the scopes it may stand in (none: it is the outermost)."""

    name: str
    begin: str
    end: str
    parents: tuple[str, ...]


EVENTS: Final[dict[str, Event]] = {
    event.name: event
    for event in (
        Event("setup", (), "Once, before anything else of a run."),
        Event("teardown", (), "Once, after all else, whatever happened: files close here."),
        Event("train_begin", ("logs",), "Training begins."),
        Event("train_end", ("logs",), "Training was completed or stopped; not after an exception or a pause."),
        Event("epoch_begin", ("epoch", "logs"), "An epoch begins."),
        Event(
            "epoch_end", ("epoch", "logs"), "An epoch ended: its means, and val_ metrics where validation ran in it."
        ),
        Event("train_batch_begin", ("batch", "logs"), "A training batch begins."),
        Event("train_batch_end", ("batch", "logs"), "A training batch ended: logs are the epoch's running means."),
        Event("test_begin", ("logs",), "A validation in an epoch, or an evaluation alone, begins."),
        Event("test_end", ("logs",), "It ended: logs are its means, without a prefix."),
        Event("test_batch_begin", ("batch", "logs"), "A batch of it begins."),
        Event("test_batch_end", ("batch", "logs"), "A batch of it ended: logs are its running means."),
        Event("predict_begin", ("logs",), "A prediction begins."),
        Event("predict_end", ("logs",), "It ended."),
        Event("predict_batch_begin", ("batch", "logs"), "A batch of it begins."),
        Event("predict_batch_end", ("batch", "logs", "outputs"), "A batch of it ended, with the model's outputs."),
        Event("optimizer_step", ("optimizer_step",), "After each real optimizer update, where the adapter sees it."),
        Event("checkpoint", ("path", "logs"), "A file is safely on disk under its final name."),
        Event("stop", ("reason", "source"), "Once, after the event in which a stop was first asked for."),
        Event("exception", ("exception",), "Training raised, KeyboardInterrupt included; teardown follows."),
    )
}

ALIASES: Final = {"batch_begin": "train_batch_begin", "batch_end": "train_batch_end"}
"""Keras's older names. Where a callback has both, only the newer one runs, as in Keras."""

_INSIDE: Final = ("run", "epoch", "train_batch")

SCOPES: Final[dict[str, Scope]] = {
    scope.name: scope
    for scope in (
        Scope("run", "setup", "teardown", ()),
        Scope("train", "train_begin", "train_end", ("run",)),
        Scope("epoch", "epoch_begin", "epoch_end", ("train",)),
        Scope("train_batch", "train_batch_begin", "train_batch_end", ("epoch",)),
        Scope("test", "test_begin", "test_end", _INSIDE),
        Scope("test_batch", "test_batch_begin", "test_batch_end", ("test",)),
        Scope("predict", "predict_begin", "predict_end", _INSIDE),
        Scope("predict_batch", "predict_batch_begin", "predict_batch_end", ("predict",)),
    )
}

_BEGINS: Final = {scope.begin: scope for scope in SCOPES.values()}
_ENDS: Final = {scope.end: scope for scope in SCOPES.values()}


def resolve(name: str, who: str, events: dict[str, Event] = EVENTS) -> Event:
    """The event called ``name``, aliases included.

    Raises:
        UnknownEventError: there is none; the message gives the nearest name.
    """
    event = events.get(ALIASES.get(name, name))
    if event is None:
        raise unknown_event(who, name, list(events))
    return event


class Grammar:
    """Checks a stream of event names against ``SCOPES``, one at a time.

    Args:
        paused: the run is known to end in a pause, so that ``teardown`` may come while scopes are open.
        drops_batches: the trainer may begin a batch and never end it (Keras does, when data runs out).
    """

    def __init__(self, *, paused: bool = False, drops_batches: bool = False) -> None:
        self.stack: list[str] = []
        self.paused, self.drops_batches = paused, drops_batches
        self.failed = False
        self.over = False

    def feed(self, name: str) -> None:
        """Take the next event.

        Raises:
            GrammarError: it has no place here.
        """
        if name == "teardown":  # may come without setup, and twice
            if len(self.stack) > 1 and not (self.failed or self.paused):
                raise GrammarError(f"'teardown' while {self.stack[-1]!r} is open, and nothing failed or paused")
            self.stack.clear()
            self.over = True
            return
        if self.over or self.failed:
            raise GrammarError(f"{name!r} after {'teardown' if self.over else 'exception'!r}")
        scope = _BEGINS.get(name) or _ENDS.get(name)
        if self.drops_batches and scope and self.stack and self.stack[-1].endswith("_batch"):
            within = scope.parents if name in _BEGINS else (scope.name,)
            if self.stack[-1] not in within:
                self.stack.pop()
        top = self.stack[-1] if self.stack else None
        if name == "exception":
            self.failed = True
        elif scope := _BEGINS.get(name):
            if top not in (scope.parents or (None,)):
                raise GrammarError(f"{name!r} inside {top!r}: it has its place in {scope.parents or 'nothing'}")
            self.stack.append(scope.name)
        elif scope := _ENDS.get(name):
            if top != scope.name:
                raise GrammarError(f"{name!r} while {top!r} is open")
            self.stack.pop()
        elif top is None:
            raise GrammarError(f"{name!r} outside a run")

    def check(self, names: Iterable[str]) -> None:
        """Feed ``names`` in turn and ask that the run is over."""
        for name in names:
            self.feed(name)
        if not self.over:
            raise GrammarError(f"the run never reached 'teardown'; open are {self.stack}")
