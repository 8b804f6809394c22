"""Signals: fires an event, then looks at what was asked for in it. A pause makes it mute."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from .bus import EventBus
from .callback import Callback
from .errors import CapabilityError, LoopError
from .events import EVENTS, resolve
from .progress import Progress
from .run import Run

_FREE: Final = ("checkpoint",)
"""Events of ours that a callback may fire."""


class Signals:
    """What one run fires.

    Args:
        is_whole: whether a save that was asked for can be carried out now; it waits otherwise.

    Attributes:
        muted: a pause was taken; nothing is counted, saved or fired any more but ``exception`` and ``teardown``.
    """

    def __init__(self, run: Run, progress: Progress, bus: EventBus, is_whole: Callable[[], bool]) -> None:
        self.run, self.progress, self.bus, self.calls = run, progress, bus, bus.calls
        self.is_whole = is_whole
        self.muted = False

    def fire(self, event: str, *arguments: Any) -> None:
        """Fire an event, and see to what was asked for in it."""
        self.fire_alone(event, *arguments)
        if self.progress.attention:
            self.attend()

    def fire_alone(self, event: str, *arguments: Any) -> None:
        """Fire an event; what was asked for in it waits for ``attend``."""
        call = self.calls[event]
        if call is not None and not self.muted:
            call(*arguments)

    def attend(self) -> None:
        """See to what was asked for: tell ``stop`` once, carry out a save where nothing is half done."""
        progress = self.progress
        if self.muted:
            return  # what is to be gone on from was saved when the pause was taken
        while True:
            progress.attention = False
            asked = progress.pause or progress.stop
            if asked is not None and progress.told is None:
                progress.told = asked
                self.fire_alone("stop", asked.reason, asked.source)
            elif progress.save_asked and self.is_whole():
                self._save()
            elif not progress.attention:
                if progress.save_asked or progress.halt:
                    progress.attention = True  # looked at again after the next event
                return  # without writing False: a signal may have asked for something since

    def pause(self) -> None:
        """Take a pause: what is here is saved, and nothing is fired from now on."""
        self.progress.save_asked = False
        self.attend()
        self._save()
        self.muted = True

    def ask_save(self) -> None:
        """Ask for a save after this event."""
        if not self.savers():
            raise CapabilityError(
                "run.save(): no attached callback writes checkpoints (one that defines save(run)). Attach one."
            )
        self.progress.save_asked = self.progress.attention = True

    def emit(self, event: str, arguments: dict[str, Any]) -> None:
        """Fire an event that a callback may fire, with checked arguments."""
        found = resolve(event, "run.emit", self.bus.events)
        if found.name in EVENTS and found.name not in _FREE:
            raise LoopError(f"run.emit({event!r}): only the trainer fires it. Declare an event of your own.")
        if not self.muted:
            self.bus.emit(event, **arguments)

    def _save(self) -> None:
        self.progress.save_asked = False
        for saver in self.savers():
            try:
                with self.run.timings.each(f"{type(saver).__name__}.save"):
                    saver.save(self.run)
            except Exception as error:
                if saver.on_error == "raise":
                    raise
                self.bus.report_of(saver, "save", error)

    def savers(self) -> list[Callback]:
        """Who carries out a save."""
        return [one for one in self.bus.attached if type(one).save is not Callback.save]
