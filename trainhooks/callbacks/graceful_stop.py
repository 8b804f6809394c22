"""GracefulStop: a signal makes a run pause instead of killing it."""

from __future__ import annotations

import signal
import warnings
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from ..callback import Callback
from ._attached import Attached
from ._signals import DEFAULT, FirstSignal, name_of, names_here, numbers_of

if TYPE_CHECKING:
    from ..run import Run


class GracefulStop(Attached):
    """Let SIGTERM, Ctrl-C and SIGUSR1 pause the run, so that the same script, run again, goes on from there.

    ::

        callbacks = [GracefulStop(), BackupAndRestore("backup")]
        run = fit(model, data, validation_data, epochs=50, callbacks=callbacks)
        if run.outcome == "paused":
            sys.exit(75)  # EX_TEMPFAIL: whoever started it runs it again

    The first signal asks for a stop of kind ``"pause"``: at the next end of a batch, be it of training, validation or
    prediction, the callbacks that save do so, and the run ends there, without ``epoch_end`` and ``train_end``. At that
    first signal the handlers that were there before are back in their places, so that a second one does what it did
    without this callback: Ctrl-C is a ``KeyboardInterrupt``, SIGTERM kills, your own handler is called. Without this
    callback the first one does so: a ``KeyboardInterrupt`` goes through the run as any exception does (``exception``,
    ``teardown``), and on to the caller.

    Under Slurm, one minute before the time is up (``B:`` and ``exec``: to the script alone, not to its workers)::

        #SBATCH --signal=B:USR1@60
        #SBATCH --requeue
        exec python train.py

    where the script ends with ``os.system("scontrol requeue $SLURM_JOB_ID")`` if it was paused.

    - It asks, and does not interrupt: one long call of a compiled function ends first, and so does the batch.
    - A signal that is ignored, as SIGINT under ``nohup``, stays ignored; one whose handler is not Python's is left
      alone, of which a warning tells, since it could not be put back.
    - Python catches signals in its main thread alone: a run in another is warned of, and trains without.
    - In a forked worker process, as a ``DataLoader``'s, SIGTERM does what it did. Any other is kept from it once:
      Ctrl-C reaches the whole group of processes, and the run needs its workers until its next batch.
    - Runs inside a run pause together.
    - Where somebody else puts a handler in its place meanwhile, that one stays.

    Args:
        signals: names, as ``"SIGTERM"`` or ``"TERM"``, ``signal.Signals``, or numbers. Of the default ones, those that
            the platform lacks are left out.

    Attributes:
        received: the name of the signal that asked for the pause of this or the last run, as ``"SIGTERM"``; None.

    Raises:
        ValueError: a signal does not exist, or cannot be caught.
    """

    phase = "decide"

    def __init__(self, signals: Iterable[str | int | signal.Signals] = DEFAULT) -> None:
        self._numbers = numbers_of("GracefulStop", signals, names_here())
        self.signals = tuple(map(name_of, self._numbers))
        self.received: str | None = None

    def attached(self, run: Run) -> Callable[[], object] | None:
        self.received = None
        first = FirstSignal(self._numbers, self._pause)
        try:
            foreign = first.install()
        except ValueError:
            warnings.warn(
                "GracefulStop: this run is not in the main thread, where alone Python catches signals: they do what "
                "they did, and training goes on.",
                stacklevel=2,
            )
            return None
        for number in foreign:
            warnings.warn(
                f"GracefulStop: {name_of(number)} has a handler that is not Python's and could not be put back: it is "
                "left alone.",
                stacklevel=2,
            )
        return first.remove

    def on_train_begin(self, run: Run) -> None:
        if run.world.is_main and all(type(one).save is Callback.save for one in run.bus.callbacks):
            warnings.warn(
                "GracefulStop: no attached callback saves, so that a pause ends the run and keeps nothing of it. Add "
                'BackupAndRestore("backup") to the callbacks.',
                stacklevel=2,
            )

    # Where nobody listens to batches, Keras tells of none, and a pause would wait for the end of the epoch.

    def on_train_batch_end(self) -> None:
        pass

    def on_test_batch_end(self) -> None:
        pass

    def on_predict_batch_end(self) -> None:
        pass

    def _pause(self, number: int) -> bool:
        """Whether there is a run to pause: at its teardown it is over, and the signal is no longer for it."""
        if self.run is None or self.run.outcome is not None:
            return False
        self.received = name_of(number)
        self.run.stop(f"{self.received} was received", kind="pause", source=self)
        return True
