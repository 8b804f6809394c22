"""WrappedTrainer: a Trainer whose entry points carry callbacks."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import trainhooks
from trainhooks_adapters.torch import world_of_processes

from . import _checkpoint
from ._trainable import TransformersTrainable
from ._watching import watching


class WrappedTrainer(trainhooks.Wrapped):
    """A Trainer whose ``train``, ``evaluate`` and ``predict`` carry callbacks; all else is the Trainer's own.

    Attributes:
        run: the run of the last ``train``, ``evaluate`` or ``predict``; None before the first.
    """

    __slots__ = ()

    def train(self, resume_from_checkpoint: Any = None, *args: Any, **kwargs: Any) -> Any:
        """``trainer.train`` with the callbacks; exception and teardown are certain.

        Args:
            resume_from_checkpoint: as the Trainer has it; the callbacks go on from what they kept in that checkpoint.
            args, kwargs: the Trainer's.

        Raises:
            TypeError: ``wrap`` was given ``resume`` as well.
        """
        trainer, bridge = self._target, self._bridge
        if bridge.driver is not None:  # from inside a callback: no part of the run around it
            return trainer.train(resume_from_checkpoint, *args, **kwargs)
        given = resume_from_checkpoint
        if given and bridge.resume is not None:
            raise TypeError(
                f"train(resume_from_checkpoint={given!r}): wrap was given resume=... too. Go on from one of the two."
            )
        if given:
            bridge.checkpoint = _folder_of(trainer, given)
        elif bridge.resume is None:
            bridge.resume = self._kept_state()
        bridge.is_asked = True
        try:
            with contextlib.ExitStack() as stack:
                if bridge.resume is not None:
                    beginning = _checkpoint.beginning_at(
                        trainer, bridge.resume, resume_stopped=bridge.options.resume_stopped
                    )
                    given = stack.enter_context(beginning)
                return self._carry(lambda: trainer.train(given, *args, **kwargs))
        finally:
            bridge.checkpoint, bridge.is_asked = None, False

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """``trainer.evaluate`` with the callbacks."""
        return self._alone(lambda: self._target.evaluate(*args, **kwargs))

    def predict(self, *args: Any, **kwargs: Any) -> Any:
        """``trainer.predict`` with the callbacks."""
        return self._alone(lambda: self._target.predict(*args, **kwargs))

    def add_callback(self, callback: Any) -> None:
        """``trainer.add_callback``, for a callback of the Trainer's kind."""
        if isinstance(callback, trainhooks.Callback):
            raise TypeError(
                f"add_callback({callback!r}): it is no TrainerCallback; give it to wrap(trainer, callbacks=[...])"
            )
        self._target.add_callback(callback)

    def _kept_state(self) -> Any:
        """What a callback kept of an earlier run; asked before the Trainer decides at which epoch it begins."""
        trainer, bridge = self._target, self._bridge
        world = world_of_processes(trainer.args.device)
        run = trainhooks.Driver(TransformersTrainable(trainer.model), plugins="none", world=world).run
        asked = [one for one in bridge.options.callbacks if one.ranks == "all" or world.is_main]
        states = (one.resume_from(run) for one in asked)
        return world.broadcast(next((one for one in states if one is not None), None))

    def _carry(self, call: Callable[[], Any]) -> Any:
        try:
            with watching(self._target, self._bridge):
                result = call()
        except BaseException as error:  # raised on
            self._bridge.over(error)
            raise
        self._bridge.bury()  # a subclass may have kept an exception to itself
        return result

    def _alone(self, call: Callable[[], Any]) -> Any:
        trainer, bridge = self._target, self._bridge
        if bridge.driver is not None:
            return call()
        with _optimizer(trainer), watching(trainer, bridge):
            parts = {name: getattr(trainer, name) for name in ("model", "optimizer", "lr_scheduler")}
            driver = bridge.new_driver(trainer.args, parts)
            try:
                with driver.carried(ask=False):
                    return call()
            finally:
                bridge.driver = None


@contextlib.contextmanager
def _optimizer(trainer: Any) -> Iterator[None]:
    """For as long the Trainer has an optimizer: before its first training a callback may need to know of one."""
    if trainer.optimizer is not None:
        yield
        return
    trainer.create_optimizer()
    try:
        yield
    finally:
        trainer.optimizer = None


def _folder_of(trainer: Any, given: str | os.PathLike[str] | Literal[True]) -> Path | None:
    if given is not True:
        return Path(given)
    from transformers import trainer_utils

    utilities: Any = trainer_utils  # it is typed in part only
    last = utilities.get_last_checkpoint(trainer.args.output_dir)
    return None if last is None else Path(last)  # the Trainer says that there is none
