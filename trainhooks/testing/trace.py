"""Trace: a callback that writes down every event, and tells the run as one line."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..callback import Callback
from ..dispatch import Listener
from ..events import EVENTS, SCOPES, Event, Grammar

_BEGINS = {scope.begin: scope.name for scope in SCOPES.values() if scope.name != "run"}
_ENDS = {scope.end: scope.name for scope in SCOPES.values() if scope.name != "run"}


class Trace(Callback):
    """Record every event of the runs it is attached to.

    Args:
        values: also keep a copy of ``logs``, which reads every value.
        optimizer_steps: listen to ``optimizer_step`` too; the trainer must offer it.
        batches: listen to the events of batches.

    Attributes:
        events: ``(name, arguments)`` in order; ``logs`` among the arguments only with ``values``.
    """

    phase = "save"  # last in each event: what the others did in it is seen

    def __init__(self, *, values: bool = False, optimizer_steps: bool = False, batches: bool = True) -> None:
        self.values, self.optimizer_steps, self.batches = values, optimizer_steps, batches
        self.events: list[tuple[str, dict[str, Any]]] = []
        self._paused: list[bool] = []
        """For each run that is over, whether it ended in a pause."""

    @property
    def names(self) -> list[str]:
        """The names of the events, in order."""
        return [name for name, _ in self.events]

    def listeners(self, events: Mapping[str, Event] = EVENTS) -> Iterator[Listener]:
        for event in events.values():
            if event.name == "optimizer_step" and not self.optimizer_steps:
                continue
            if "_batch_" in event.name and not self.batches:
                continue
            yield Listener(event, self._recorder(event), f"Trace.{event.hook}", phase=self.phase, owner=self)

    def check_grammar(self, *, drops_batches: bool = False) -> None:
        """Hold the recorded events of each run against the grammar.

        Args:
            drops_batches: the trainer may begin a batch and never end it.

        Raises:
            GrammarError: an event came where it has no place, or a run had no ``teardown``.
        """
        run: list[str] = []
        paused = iter(self._paused)
        for name in self.names:
            run.append(name)
            if name == "teardown":
                Grammar(paused=next(paused), drops_batches=drops_batches).check(run)
                run = []
        if run:
            Grammar(drops_batches=drops_batches).check(run)

    @property
    def was_paused(self) -> bool:
        """Whether the last run ended in a pause."""
        return bool(self._paused) and self._paused[-1]

    def outline(self) -> str:
        """The run as one line, as ``setup train[ epoch0[ batch0[] stop ] ] teardown``.

        ``[`` follows what began, ``]`` stands for its end; what never ended has no ``]``.
        """
        words: list[str] = []
        last = ""
        for name, arguments in self.events:
            if name in _BEGINS:
                scope = _BEGINS[name]
                number = arguments.get("epoch", arguments.get("batch", ""))
                words.append(f"{'batch' if scope.endswith('_batch') else scope}{number}[")
                last = scope
            elif name in _ENDS:
                if words and words[-1].endswith("[") and last == _ENDS[name]:
                    words[-1] += "]"
                else:
                    words.append("]")
            else:
                words.append(name + _detail(name, arguments))
        return " ".join(words)

    def _recorder(self, event: Event) -> Callable[..., None]:
        names = event.args

        def record(*arguments: Any) -> None:
            kept = dict(zip(names, arguments, strict=True))
            if "logs" in kept:
                logs = kept.pop("logs")
                if self.values:
                    kept["logs"] = dict(logs or {})
            if event.name == "teardown":
                self._paused.append(self.run is not None and self.run.outcome == "paused")
            self.events.append((event.name, kept))

        named = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in names]
        record.__signature__ = inspect.Signature(named)  # type: ignore[attr-defined]  # what a hook takes is read off it
        return record


def _detail(name: str, arguments: dict[str, Any]) -> str:
    if name == "exception":
        return f"({type(arguments['exception']).__name__})"
    if name == "checkpoint":
        return f"({os.path.basename(arguments['path'])})"
    if name == "optimizer_step":
        return str(arguments["optimizer_step"])
    return ""
