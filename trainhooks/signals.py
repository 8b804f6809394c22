"""Signals: fires an event, then looks at what was asked for in it. A pause makes it mute."""

from __future__ import annotations

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

    Attributes:
        muted: a pause was taken; nothing is counted, saved or fired any more but ``exception`` and ``teardown``.
    """

    def __init__(self, run: Run, progress: Progress, bus: EventBus) -> None:
        self.run, self.progress, self.bus, self.calls = run, progress, bus, bus.calls
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

    def attend(self, *, save: bool = True) -> None:
        """See to what was asked for: tell ``stop`` once, carry out a save.

        Args:
            save: whether the state is whole here, so that it can be saved; a save asked in validation waits anyway.
        """
        progress = self.progress
        if self.muted:
            return  # what is to be gone on from was saved when the pause was taken
        while True:
            progress.attention = False
            asked = progress.pause or progress.stop
            if asked is not None and not progress.stop_told:
                progress.stop_told = True
                self.fire_alone("stop", asked.reason, asked.source)
            elif progress.save_asked and save and progress.phase not in ("test", "predict"):
                self._save()
            elif not progress.attention:
                if progress.save_asked:
                    progress.attention = True  # looked at again after the next event
                return  # without writing False: a signal may have asked for something since

    def boundary(self) -> None:
        """Between two batches or scopes: where a pause was asked for, take it here."""
        if self.progress.pause is not None and not self.muted:
            self.attend()
            self._save()
            self.muted = True

    def ask_save(self) -> None:
        """Ask for a save after this event."""
        if not self._savers():
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
        for saver in self._savers():
            saver.save(self.run)

    def _savers(self) -> list[Callback]:
        return [one for one in self.bus.callbacks if type(one).save is not Callback.save]
