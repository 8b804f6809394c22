"""Signals: which are meant, and a handler that gives way after the first that comes."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterable, Mapping
from types import FrameType
from typing import Any, Final

from ..checks import whole
from ..errors import did_you_mean, listing

DEFAULT: Final = ("SIGTERM", "SIGINT", "SIGUSR1")
"""What asks a process to end: a scheduler, Ctrl-C, a batch system before its time is up."""

_NEVER: Final = ("SIGKILL", "SIGSTOP")
"""What no process can catch."""


def names_here() -> dict[str, int]:
    """The signals of this platform, by name."""
    return {one.name: int(one) for one in signal.Signals}


def name_of(number: int) -> str:
    """A signal's name; real-time signals have none of their own."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def numbers_of(who: str, given: Iterable[Any], known: Mapping[str, int]) -> tuple[int, ...]:
    """The numbers of signals, each once and in their order.

    Args:
        who: the callback, as messages call it.
        given: names as ``"SIGTERM"`` or, as ``kill`` has them, ``"TERM"``; ``signal.Signals``; or numbers. One of
            ``DEFAULT`` that this platform lacks is left out.
        known: the platform's signals.

    Raises:
        TypeError: they are no names or numbers.
        ValueError: one does not exist, or cannot be caught; or there is none at all.
    """
    if not isinstance(given, (str, int, Iterable)):
        raise TypeError(f"{who}(signals={given!r}): names of signals, as {listing(DEFAULT)}")
    given = (given,) if isinstance(given, (str, int)) else tuple(given)
    never, found = {known[name] for name in _NEVER if name in known}, list[int]()
    for one in given:
        name = _full(one) if isinstance(one, str) else None
        number = whole(one) if name is None else known.get(name)
        if name in _NEVER or number in never:
            raise ValueError(
                f"{who}(signals={one!r}): no process can catch that signal. Against a kill there is BackupAndRestore, "
                "which saves every so often."
            )
        if number is not None and (name is not None or number in signal.valid_signals()):
            found.append(number)
        elif name not in DEFAULT:
            meant = _full(one.upper()) if isinstance(one, str) else ""
            near = f" Did you mean {meant!r}?" if meant in known else did_you_mean(meant, known)
            raise ValueError(
                f"{who}(signals={one!r}): there is no such signal here.{near or f' There are {listing(known)}.'}"
            )
    if not found:
        raise ValueError(f"{who}(signals={given!r}): one or more that there are here, as {listing(DEFAULT)}")
    return tuple(dict.fromkeys(found))


def _full(name: str) -> str:
    return name if name.startswith("SIG") else f"SIG{name}"


class FirstSignal:
    """The handler of several signals until the first of them comes; then they have again those that they had before.

    Where one gives way to another ``FirstSignal`` beneath it, as those of a run inside a run, that one is told too.

    Args:
        numbers: of the signals.
        call: told of the first one's number; what it gives back is whether it was wanted. One that was not does what it
            did before.

    Attributes:
        is_over: the first one came, or ``remove`` was called.
    """

    def __init__(self, numbers: Iterable[int], call: Callable[[int], bool]) -> None:
        self._numbers, self._call = tuple(numbers), call
        self._before: dict[int, Any] = {}
        self._process = os.getpid()
        self.is_over = False

    def install(self) -> list[int]:
        """Take the place of the handlers that are there; one that is ignored stays so.

        Returns:
            The signals that are left alone because a handler that is not Python's could not be put back.

        Raises:
            ValueError: this is not the main thread of the main interpreter.
        """
        foreign = []
        for number in self._numbers:
            before = signal.getsignal(number)
            if before is None:
                foreign.append(number)
            elif before is not signal.SIG_IGN and not self.is_over:
                self._before[number] = before  # first: the signal may come between this line and the next
                signal.signal(number, self)
        return foreign

    def remove(self) -> None:
        """Put back what was there, save where somebody has put a handler of their own over this one."""
        self.is_over = True
        for number in self._before:
            now: Any = signal.getsignal(number)
            if now is self:
                with contextlib.suppress(ValueError):  # another thread: it stays, and gives way when it is called
                    signal.signal(number, self._beneath(number))

    def __call__(self, number: int, frame: FrameType | None) -> None:
        was_over = self.is_over
        self.remove()
        if os.getpid() != self._process:
            # A forked worker is not the run. What goes to a whole group of processes, as Ctrl-C does, must not take
            # from the run the workers that it needs to reach its next batch: they go on, once. SIGTERM is how
            # multiprocessing ends its workers.
            if number == signal.SIGTERM:
                self._hand_down(number, frame)
        elif was_over or not self._call(number):
            self._hand_down(number, frame)
        elif isinstance(beneath := self._beneath(number), FirstSignal):
            beneath(number, frame)

    def _beneath(self, number: int) -> Any:
        """The handler before this one; those of runs that are over are passed over."""
        before = self._before[number]
        while isinstance(before, FirstSignal) and before.is_over:
            before = before._before[number]
        return before

    def _hand_down(self, number: int, frame: FrameType | None) -> None:
        before = self._beneath(number)
        if callable(before):
            before(number, frame)
        else:  # the system's own: it acts only where it is in place
            now = signal.signal(number, before)
            signal.raise_signal(number)
            signal.signal(number, now)
