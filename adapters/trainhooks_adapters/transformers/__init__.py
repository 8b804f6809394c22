"""Hugging Face Trainer: ``wrap(trainer)``, and ``bridge(callbacks)`` for ``Trainer(callbacks=[...])``.

| native signal               | our event                 | what differs                                             |
|-----------------------------|---------------------------|----------------------------------------------------------|
| on_train_begin              | setup, train_begin        | each ``train()`` is a run                                |
| on_epoch_begin              | epoch_begin               | counted by us: ``state.epoch`` is a fraction             |
| on_step_begin, on_step_end  | train_batch_begin, _end   | a batch is a global step: all of the micro-batches that  |
|                             |                           | ``gradient_accumulation_steps`` puts together            |
| training_step               | (the loss of a batch)     | seen by ``wrap`` alone; weighted by its rows             |
| the optimizer's own step    | optimizer_step            | one that AMP skips is none                               |
| on_epoch_end                | epoch_end                 | put off until ``on_evaluate``, or ``on_log``, where the  |
|                             |                           | Trainer evaluates or logs after it                       |
| prediction_step,            | test_begin, test_batch_.. | ``eval_loss`` is ``val_loss``; with eval_strategy        |
| on_prediction_step          | or predict_...            | "steps" it stands between two batches; of each of        |
|                             |                           | several data sets there is one, ``val_<name>_loss``      |
| on_evaluate, on_predict     | test_end, predict_end     | without a training around it, a run of its own           |
| on_log                      | (metrics)                 | what a Trainer logs beside its loss, as TRL's do         |
| on_save                     | (none)                    | what the callbacks know is put into the checkpoint       |
| on_train_end                | train_end, teardown       | after ``load_best_model_at_end``                         |
| an exception, Ctrl-C        | exception, teardown       | the Trainer tells nobody: wrap sees every one, bridge    |
|                             |                           | those of our callbacks; after another one it ends that   |
|                             |                           | run when it is used next                                 |

Stops: the Trainer looks for one after a step, an evaluation and an epoch's end. After one that is asked for in
``train_begin`` or ``epoch_begin`` it still trains one step. A stop by a callback of its own, as EarlyStoppingCallback,
is told with the source "transformers"; so is data that ends too early. ``evaluate`` and ``predict`` go on to their end.

Learning rate: what a callback sets holds, and the Trainer's schedule sets nothing more from then on; a warning says so,
unless it is "constant". ``GradientClipping`` comes after ``max_grad_norm``.

Losses: the Trainer's own are means of ``logging_steps`` steps, in which a NaN is a 0.0; ``wrap`` sees each step's. A
``bridge`` has what is logged: give it ``logging_steps=1``, or ``logging_strategy="epoch"``, and
``logging_nan_inf_filter=False``. A ``bridge`` tells of a validation and its batches once its first one has ended, and
knows nothing of ``evaluate()`` and ``predict()`` outside of a training. Gradient norms and speeds are no metrics here.
Of an evaluation before the first epoch (``eval_on_start``) nothing is told.

Going on: ``train(resume_from_checkpoint=...)`` has the callbacks go on as well, inside an epoch too, from the file
``trainhooks.pt`` in the Trainer's checkpoint; where the run had been stopped one more step is trained. Where it is of
an epoch's last step, that epoch ends as training begins, without what the Trainer would have evaluated after it.
``wrap(trainer, resume=...)`` and ``BackupAndRestore`` go on from a state of ours, at an epoch, without any checkpoint
of the Trainer's (not under DeepSpeed or FSDP).
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import trainhooks
from trainhooks import errors

from ._translation import Translation
from ._wrapped import WrappedTrainer

__all__ = ["bridge", "plugin", "wrap"]


@functools.cache
def _bridge_class() -> type[Any]:
    with errors.importing("transformers", "transformers"):
        from transformers import TrainerCallback
    return type("Bridge", (Translation, TrainerCallback), {})


def bridge(
    callbacks: Iterable[trainhooks.Callback] | None,
    *,
    min_epochs: int = 0,
    resume: Mapping[str, Any] | str | os.PathLike[str] | None = None,
    resume_stopped: bool = False,
    plugins: str | None = None,
) -> Any:
    """A native callback that carries ``callbacks``, for ``Trainer(callbacks=[...])``; good for many trainings.

    ``wrap`` sees more: each batch's loss, every exception, and ``evaluate()`` and ``predict()`` alone.

    Args:
        callbacks: attached in this order at the beginning of each training.
        min_epochs: a decision to stop before so many finished epochs is held until then.
        resume: what ``run.state_dict()`` gave, or the path of checkpoints of ours, where the Trainer itself goes on
            after as many epochs: a callback cannot tell it where to begin.
        resume_stopped: whether a run that had stopped goes on.
        plugins: as for ``trainhooks.wrap``.

    Raises:
        RegistrationError: a callback cannot be registered.
        FrameworkNotInstalledError: transformers is not installed.
    """
    options = trainhooks.WrapOptions(
        callbacks, min_epochs=min_epochs, resume=resume, resume_stopped=resume_stopped, plugins=plugins
    )
    options.check()
    made = _bridge_class()()
    made.prepare(options)
    return made


def wrap(
    trainer: Any,
    *,
    callbacks: Iterable[trainhooks.Callback] | None = (),
    min_epochs: int = 0,
    resume: Mapping[str, Any] | str | os.PathLike[str] | None = None,
    resume_stopped: bool = False,
    plugins: str | None = None,
) -> WrappedTrainer:
    """The Trainer with ``callbacks`` carried by its ``train``, ``evaluate`` and ``predict``.

    Args:
        trainer: a ``transformers.Trainer``, or one of its subclasses.
        callbacks, min_epochs, plugins: as for ``bridge``. In each event the Trainer's own callbacks come first.
        resume: what ``run.state_dict()`` gave, the path of a checkpoint, or a folder of checkpoints, of which the
            newest good one is taken: the first ``train`` goes on from it, at the epoch that follows.
        resume_stopped: whether a run that had stopped goes on; without it nothing is trained.

    Raises:
        RegistrationError: a callback cannot be registered.
    """
    made = bridge(callbacks, min_epochs=min_epochs, resume=resume, resume_stopped=resume_stopped, plugins=plugins)
    made.is_watched = True
    return WrappedTrainer(trainer, made)


class Plugin:
    """What trainhooks finds: it loads nothing to answer no."""

    @trainhooks.hookimpl
    def trainhooks_frameworks(self) -> dict[str, str]:
        return {"transformers": "trainhooks[transformers]"}

    @trainhooks.hookimpl
    def trainhooks_adapter(self, target: object) -> Callable[[trainhooks.WrapOptions], WrappedTrainer] | None:
        module = sys.modules.get("transformers.trainer")
        if module is None or not isinstance(target, module.Trainer):
            return None
        return functools.partial(_wrapped, target)


def _wrapped(target: Any, options: trainhooks.WrapOptions) -> WrappedTrainer:
    whence = "give it to Trainer(optimizers=(optimizer, lr_scheduler))"
    return wrap(target, **options.settings("a Trainer", optimizer=whence))


plugin = Plugin()
