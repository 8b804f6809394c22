"""What holds for all tests."""

from __future__ import annotations

import signal

from hosting import host as host
from hosting import registered as registered


def pytest_configure() -> None:
    """Take Ctrl-C as a terminal's program does: a shell starts what it runs in the background with it ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
