"""Runs: one run after another behind the same native callback, and what is the same in each event."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import trainhooks
from trainhooks import errors
from trainhooks_adapters.torch import world_of_processes

from ._trainable import TransformersTrainable


class Runs:
    """The run that is on, and whoever is told of what is asked for in it.

    Attributes:
        driver: of the run that is on; None where there is none.
        run: the run of the last or running training, evaluation or prediction; None before the first.
        resume: what the next training goes on from.
        checkpoint: the folder of the Trainer's own from which it goes on, where that is known.
        is_asked: whether callbacks have been asked for a state that they kept.
        is_watched: whether what the Trainer's methods return is seen.
    """

    def prepare(self, options: trainhooks.WrapOptions) -> None:
        self._acting = False
        self.driver: trainhooks.Driver | None = None
        self._progress: Any = None
        self._trainable: Any = None
        self._is_training = False
        self._told: set[str] = set()
        self.run: trainhooks.Run | None = None
        self.options, self.resume = options, options.state()
        self.checkpoint: Path | None = None
        self.is_asked = self.is_watched = False

    def new_driver(self, args: Any, native: Mapping[str, Any]) -> trainhooks.Driver:
        """A driver for a run that begins now, of what the Trainer has now."""
        options, schedule = self.options, str(getattr(args.lr_scheduler_type, "value", args.lr_scheduler_type))
        self._trainable = TransformersTrainable(
            native["model"],
            native["optimizer"],
            native["lr_scheduler"],
            schedule=schedule,
            is_watched=self.is_watched,
        )
        self.driver = trainhooks.Driver(
            self._trainable,
            options.callbacks,
            min_epochs=options.min_epochs,
            plugins=options.plugins,
            world=world_of_processes(args.device),
        )
        self.run, self._progress = self.driver.run, self.driver.progress
        self._is_training = False
        return self.driver

    def over(self, error: BaseException | None = None) -> None:
        """The run is over, in ``error`` or well; a second time does nothing."""
        driver, self.driver = self.driver, None
        if driver is not None:
            try:
                if error is not None:
                    driver.fail(error)
            finally:
                driver.teardown()

    def bury(self) -> None:
        """End a run whose training was left without a word: by an exception of which no callback is told."""
        if self.driver is not None:
            self.over(errors.LoopError("the Trainer's training was left before its end, by an exception"))

    def _do(self, state: Any, control: Any, act: Callable[..., object], *given: Any) -> bool:
        """Have ``act`` drive the run; whether there is one, and it is the one that the signal is of.

        Args:
            state, control: the Trainer's, where the signal has them.
            act: called with the driver and ``given``.
            given: what it needs.
        """
        driver = self.driver
        if self._acting or driver is None:  # what a callback of ours has the Trainer do is no part of this run
            return False
        self._acting = True
        try:
            act(driver, *given)
            if state is not None and control.should_training_stop:
                self._look(driver, state)
        except BaseException as error:  # raised on
            self._break(error)
            raise
        self._acting = False
        if control is not None and self._progress.halt:
            self._pass_on(control)
        return True

    def _break(self, error: BaseException) -> None:
        """The run is over in ``error``, of which the Trainer will tell nobody."""
        try:
            self.over(error)
        finally:
            self._acting = False

    def _look(self, driver: trainhooks.Driver, state: Any) -> None:
        """Somebody else stops the Trainer; at its last step it does so by itself."""
        if self._is_training and not self._progress.should_stop and state.global_step < state.max_steps:
            driver.run.stop("control.should_training_stop was set", source="transformers")
            driver.attend()

    def _pass_on(self, control: Any) -> None:
        if self._progress.should_stop:
            control.should_training_stop = True
        elif self._progress.halt:
            control.should_epoch_stop = True

    def _tell(self, warning: str) -> None:
        """Warn, once."""
        if warning not in self._told:
            self._told.add(warning)
            warnings.warn(warning, stacklevel=2)
