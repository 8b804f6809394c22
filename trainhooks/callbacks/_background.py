"""Background: one job at a time in a thread, whose error comes back to whoever waits for it."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Background:
    """Carries out jobs one after the other, each in a thread of its own, so that the caller need not wait.

    The thread is no daemon: a program that ends waits for the job that is under way.
    """

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def start(self, job: Callable[[], object]) -> None:
        """Begin a job; one that is under way is waited for first.

        Raises:
            Exception: what the job before raised, where nobody has waited for it. This one is not begun.
        """
        self.wait()
        thread = threading.Thread(target=self._carry_out, args=(job,), name="trainhooks-write")
        thread.start()
        self._thread = thread  # once it runs: where no thread could be had, there is none to wait for

    def wait(self) -> None:
        """Wait for the job that is under way.

        Raises:
            Exception: what it raised; told once.
        """
        if self._thread is not None:
            self._thread.join()  # an interrupt in here leaves it to be waited for again
            self._thread = None
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _carry_out(self, job: Callable[[], object]) -> None:
        try:
            job()
        except BaseException as error:  # raised by wait(), in the thread that asks
            self._error = error
