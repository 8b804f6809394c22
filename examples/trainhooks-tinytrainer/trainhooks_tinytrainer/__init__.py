"""trainhooks callbacks under tinytrainer: ``trainhooks.wrap(trainer, callbacks=[...]).fit(data, epochs=3)``.

| tinytrainer's own          | becomes                     | what differs                                              |
|----------------------------|-----------------------------|-----------------------------------------------------------|
| ``wrap(trainer).fit``      | setup ... teardown          | around the native ``fit``: nobody is told of exceptions   |
| fit_started / ended        | train_begin / end           | none                                                      |
| epoch_started / ended      | epoch_begin / end           | native epochs count from 1, ours from 0                   |
| pass_started / ended       | test_, predict_begin / end  | that of a training has no event of ours                   |
| step_started               | the begin of a batch        | native steps count from 1, ours from 0                    |
| step_ended                 | the end of a batch          | native metrics are one batch's; logs are running means    |
| updated                    | optimizer_step              | none                                                      |
| trainer.stop, .skip        | read and set after each one | ours become both; of a native stop, ``stop`` tells        |

A run that goes on begins at an epoch, inside one never; the order of its rows goes on too. A stop or a pause does not
keep ``evaluate`` and ``predict`` from their end; after a pause nothing is told. A callback that evaluates or predicts
with the trainer itself is not told of that.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import trainhooks

if TYPE_CHECKING:
    import tinytrainer

    from ._translation import WrappedTrainer

__all__ = ["plugin", "wrap"]


def wrap(trainer: tinytrainer.Trainer, **options: Any) -> WrappedTrainer:
    """The trainer with ``callbacks`` carried by its ``fit``, ``evaluate`` and ``predict``; as ``trainhooks.wrap``."""
    return _wrapped(trainer, trainhooks.WrapOptions(**options))


class Plugin:
    """What trainhooks finds: it loads nothing to answer no."""

    @trainhooks.hookimpl
    def trainhooks_frameworks(self) -> dict[str, str]:
        return {"tinytrainer": "trainhooks-tinytrainer"}

    @trainhooks.hookimpl
    def trainhooks_adapter(self, target: object) -> Callable[[trainhooks.WrapOptions], WrappedTrainer] | None:
        tinytrainer = sys.modules.get("tinytrainer")
        if tinytrainer is None or not isinstance(target, tinytrainer.Trainer):
            return None
        return functools.partial(_wrapped, target)


def _wrapped(target: tinytrainer.Trainer, options: trainhooks.WrapOptions) -> WrappedTrainer:
    from ._translation import WrappedTrainer

    options.check_extra("a tinytrainer.Trainer")
    if options.optimizer is not None:
        raise TypeError("wrap(a tinytrainer.Trainer, optimizer=...): the trainer is its own optimizer")
    return WrappedTrainer(target, options)


plugin = Plugin()
