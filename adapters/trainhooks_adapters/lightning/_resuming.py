"""Resuming: states of ours, in which a fit goes on where it was, and those that Lightning keeps in its checkpoints."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import trainhooks
from trainhooks_adapters.torch import RunState

from ._trainable import LightningTrainable


def begin_at(trainer: Any, progress: Any, epochs: int | None) -> None:
    """Have ``fit``, which is about to begin its first epoch, begin after those that are done.

    Args:
        trainer: the Trainer.
        progress: of a run that goes on from a state of ours.
        epochs: the total that is asked for, where there is one.
    """
    done, steps = progress.epochs_done, progress.optimizer_step
    if epochs is not None and done >= epochs and not progress.should_stop:
        warnings.warn(
            f"fit() with max_epochs={epochs}: the run that goes on has {done} epochs behind it, so that none is left "
            "to train. Ask for more, or begin anew without its state.",
            stacklevel=2,
        )
    epoch, loop = trainer.fit_loop.epoch_progress, trainer.fit_loop.epoch_loop
    if automatic := trainer.lightning_module.automatic_optimization:
        step = loop.automatic_optimization.optim_progress.optimizer.step
    else:
        step = loop.manual_optimization.optim_step_progress
    for count, value in ((epoch.total, done), (epoch.current, done), (step.total, steps)):
        count.load_state_dict(dict.fromkeys(count.state_dict(), value))
    # what loggers are told as their step; the key is that of Lightning's own checkpoints, 2.0 to 2.6
    loop.on_load_checkpoint({"_batches_that_stepped": steps if automatic else progress.step})


def end_where_left(driver: trainhooks.Driver, trainer: Any) -> None:
    """End an epoch whose checkpoint was written in its last batch: Lightning tells no end of it when it goes on."""
    if driver.run.is_getting_back and driver.progress.epochs_done < trainer.current_epoch:
        driver.place.arrive(driver.open("epoch", epoch=driver.progress.epochs_done))
        driver.close("epoch")


def native_state(run: trainhooks.Run, trainable: LightningTrainable) -> dict[str, Any]:
    """What a checkpoint of Lightning's is to hold of a run: tensors and plain values; no weights, which it has."""
    with trainable.half():
        if run.is_resumable:
            return RunState(run).state_dict()
    warnings.warn(
        "this checkpoint of Lightning's is without the callbacks' states: it is written where no training could go on "
        "from, inside a batch or after an exception.",
        stacklevel=2,
    )
    return {}


class Native:
    """What a checkpoint of Lightning's held of a run, from when it is read until training begins.

    Attributes:
        state: as ``run.state_dict()`` gave it; None where there was none.
    """

    def __init__(self, state: Mapping[str, Any] | None = None) -> None:
        self.state: Mapping[str, Any] | None = None
        if state:
            RunState(self).load_state_dict(state)  # type: ignore[arg-type]  # it hands the arrays on

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.state = state

    def load_into(self, driver: trainhooks.Driver, resume_stopped: bool) -> None:
        """Have a run go on from it; of a stop of Lightning's own a checkpoint of Lightning's knows nothing."""
        state: Any = self.state
        own = any(source == "lightning" for _, _, source in state["progress"]["stops"])
        trainable: Any = driver.trainable
        with trainable.half():
            driver.load_state_dict(state, resume_stopped=resume_stopped or own)
        driver.run.lr_shares = state["lr_shares"]
