"""Lightning, as ``lightning`` or as ``pytorch_lightning``: ``wrap(trainer)`` and ``bridge(callbacks)``.

    trainer = trainhooks.wrap(Trainer(max_epochs=20), callbacks=[EarlyStopping("val_loss", patience=3)])
    trainer.fit(module, train_loader, val_loader)

============================= ===================== ================================================================
native signal                 our event             what differs
============================= ===================== ================================================================
on_sanity_check_start .. _end (none)                nothing that happens in it is told
on_train_start                setup, train_begin    each fit is a run; where Lightning finds nothing to train, these
                                                    and the ends come in on_fit_end
on_train_epoch_start, _end    epoch_begin, _end     ours comes before the module's own hook
on_train_batch_start, _end    train_batch_begin,    with accumulate_grad_batches each is a batch; one that the module
                              _end                  skips (-1) never ends and is dropped
Optimizer.step post-hook      optimizer_step        of each optimizer, in manual optimization too
on_validation_start, _end     test_begin, test_end  before the epoch's end or, by val_check_interval, between batches;
                                                    several loaders are one validation; likewise its batches
on_test_..., on_predict_...   test_..., predict_... a run of its own, as trainer.validate is
on_train_end                  train_end
teardown                      teardown
on_exception                  exception, teardown   a KeyboardInterrupt as such, of which Lightning makes SystemExit(1)
============================= ===================== ================================================================

**Metrics** are what the module logs by ``self.log``, without the prefix of the stage: ``train_loss`` and ``train/loss``
are ``loss``; ``val_loss``, ``val/loss`` or ``loss`` in a validation are ``val_loss`` at the epoch's end. ``loss_step``
and ``loss_epoch`` are left out beside ``loss``: that is the batch's own in ``run.batch_logs``, the mean in ``logs``.
With ``on_epoch`` the epoch ends with Lightning's value (``reduce_fx``, torchmetrics), and without it with the mean over
the batches, weighted by their rows. Where no ``loss`` is logged it is what ``training_step`` returned. What a module
logs in its own ``on_train_epoch_end`` comes too late for the callbacks. In the batches of a validation there are
running means, and no ``run.batch_logs``.

**Stops.** Lightning looks for one after each batch and epoch. One that is asked for in ``epoch_begin`` has the epoch's
validation run with no batch before it. Lightning's own (its EarlyStopping, Timer, ``trainer.should_stop``) is one of
the run, with the source ``"lightning"``. ``min_epochs`` and ``min_steps`` of the Trainer hold decisions, to the end of
the epoch that reaches them; a fault or a pause they do not hold. With ``run.end_epoch()`` a Lightning scheduler of
``interval="epoch"`` does not step in that epoch, nor is a stop of Lightning's own seen that comes in its validation.
``fast_dev_run`` leaves out Lightning's loggers and checkpoints; of ours it leaves out nothing, and files are written.

**Learning rate.** Lightning's schedulers and ``run.lr = ...`` write the same number: the later wins, and a warning says
so once. A scheduler of ``interval="epoch"`` steps before the epoch's end is told.

**Going on.** ``fit(ckpt_path=...)`` of a checkpoint of Lightning's goes on with the callbacks' states, counts and
history as well, inside an epoch too (before Lightning 2.6 it may train the checkpoint's batch again); random generators
are left as they are. Of a checkpoint of an epoch's last batch, that epoch ends first, without a validation yet to come.
``resume=`` takes a state of the run's, or its checkpoints, at the end of an epoch: random generators go on, but a run
that goes on in its first epoch has drawn that epoch's order before. Two bridges cannot be on one Trainer.

**Several processes.** Means at the ends of epochs and validations are those over all processes, and a stop that one
asks for ends all, at the epoch's end. A strategy that spawns its processes leaves ``run`` there.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import trainhooks

from ._bridge import imported, make
from ._wrapped import WrappedTrainer

__all__ = ["bridge", "plugin", "wrap"]


def bridge(
    callbacks: Iterable[trainhooks.Callback] | None,
    *,
    min_epochs: int = 0,
    resume: Mapping[str, Any] | str | os.PathLike[str] | None = None,
    resume_stopped: bool = False,
    plugins: str | None = None,
) -> Any:
    """A native callback that carries ``callbacks``, for ``Trainer(callbacks=[...])``; good for many fits.

    Args:
        callbacks: attached in this order at the beginning of each ``fit``, ``validate``, ``test`` or ``predict``.
        min_epochs: a decision to stop before so many finished epochs is held until then.
        resume: what ``run.state_dict()`` gave, the path of a checkpoint, or a folder of checkpoints, of which the
            newest good one is taken: the first ``fit`` goes on from it. A checkpoint of Lightning's own goes into
            ``fit(ckpt_path=...)``.
        resume_stopped: whether a run that had stopped goes on; without it no epoch is trained.
        plugins: as for ``trainhooks.wrap``.

    Raises:
        RegistrationError: a callback cannot be registered.
        FrameworkNotInstalledError: Lightning is not installed.
    """
    options = trainhooks.WrapOptions(
        callbacks, min_epochs=min_epochs, resume=resume, resume_stopped=resume_stopped, plugins=plugins
    )
    options.check()
    return make(options)


def wrap(
    trainer: Any,
    *,
    callbacks: Iterable[trainhooks.Callback] | None = (),
    min_epochs: int = 0,
    resume: Mapping[str, Any] | str | os.PathLike[str] | None = None,
    resume_stopped: bool = False,
    plugins: str | None = None,
) -> WrappedTrainer:
    """The Trainer with ``callbacks`` carried by its ``fit``, ``validate``, ``test`` and ``predict``.

    Args:
        trainer: a ``Trainer`` of ``lightning.pytorch`` or of ``pytorch_lightning``.
        callbacks, min_epochs, resume, resume_stopped, plugins: as for ``bridge``.

    Each entry point raises what was raised in it, the same object; of a KeyboardInterrupt Lightning itself makes a
    SystemExit.

    Raises:
        RegistrationError: a callback cannot be registered.
    """
    made = bridge(callbacks, min_epochs=min_epochs, resume=resume, resume_stopped=resume_stopped, plugins=plugins)
    return WrappedTrainer(trainer, made)


class Plugin:
    """What trainhooks finds: it loads nothing to answer no."""

    @trainhooks.hookimpl
    def trainhooks_frameworks(self) -> dict[str, str]:
        return {"lightning": "trainhooks[lightning]"}

    @trainhooks.hookimpl
    def trainhooks_adapter(self, target: object) -> Callable[[trainhooks.WrapOptions], WrappedTrainer] | None:
        kinds = tuple(module.Trainer for module in imported())
        return functools.partial(_wrapped, target) if isinstance(target, kinds) else None


def _wrapped(target: Any, options: trainhooks.WrapOptions) -> WrappedTrainer:
    whence = "its optimizers are those of the module's configure_optimizers()"
    return wrap(target, **options.settings("a Trainer", optimizer=whence))


plugin = Plugin()
