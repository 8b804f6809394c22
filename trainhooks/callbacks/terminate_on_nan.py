"""TerminateOnNaN: stop when the loss is no longer finite."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..callback import Callback

if TYPE_CHECKING:
    from ..logs import Logs
    from ..run import Run


class TerminateOnNaN(Callback):
    """Ask for a stop of kind ``"fault"`` at the first batch after which ``loss`` is NaN or infinite.

    As Keras's; and since the stop is a fault, what was saved for a resume stays. It reads the loss at every batch,
    which on a device makes the host wait for it.

    Args:
        raise_error: raise instead.

    Raises:
        RuntimeError: (at a batch) with ``raise_error``.
    """

    phase = "decide"

    def __init__(self, raise_error: bool = False) -> None:
        self.raise_error = raise_error

    def on_train_batch_end(self, run: Run, batch: int, logs: Logs) -> None:
        loss = logs.get("loss")
        if loss is None or math.isfinite(loss):
            return
        reason = f"the loss is {loss} after batch {batch} of epoch {run.epoch}"
        if self.raise_error:
            raise RuntimeError(f"TerminateOnNaN: {reason}")
        run.stop(reason, kind="fault", source=self)  # also where a stop is in force: a fault replaces a decision
