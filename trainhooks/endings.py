"""How a run ended, and what is said of exceptions that are not raised on."""

from __future__ import annotations

import contextlib
import warnings

from .dispatch import Listener
from .run import Outcome


def outcome_of(error: BaseException | None, *, paused: bool, complete: bool, stopped: bool) -> Outcome:
    """The outcome of a run that is over.

    Args:
        error: what it ended with, if anything.
        paused: a pause was taken. One that came too late to leave anything undone is none.
        complete: it trained, and reached its last epoch.
        stopped: a stop was asked for, or its loop was left before that.
    """
    if error is not None:
        return "failed" if isinstance(error, Exception) else "interrupted"
    if paused:
        return "paused"
    return "stopped" if stopped and not complete else "completed"


def say(listener: Listener, error: BaseException) -> None:
    """Warn of an exception that another one, raised first, keeps from being raised."""
    message = f"{listener.who} raised {type(error).__name__}: {error} (the first exception is raised on)"
    with contextlib.suppress(RuntimeWarning):  # where warnings are errors: this one must not take the first one's place
        warnings.warn(message, RuntimeWarning, stacklevel=3)
