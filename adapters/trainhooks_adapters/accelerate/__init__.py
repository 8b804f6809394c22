"""Accelerate: the loop is the user's own, over what ``accelerator.prepare`` gave.

    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    with trainhooks.wrap(accelerator, model=model, optimizer=optimizer, callbacks=[...]) as run:
        for epoch in run.epochs(10):
            for x, y in run.train(loader):
                with accelerator.accumulate(model):
                    loss = loss_fn(model(x), y)
                    accelerator.backward(loss)
                    optimizer.step()
                    optimizer.zero_grad()
                run.log(loss=loss, n=len(x))

============================== =================== ================================================================
native signal                  our event           what differs
============================== =================== ================================================================
(none: the user's loops)       all but the next    as ``LoopRun`` fires them; ``run.step`` counts batches, those that
                                                   are accumulated too
``step`` of the optimizer      ``optimizer_step``  real updates alone: ``AcceleratedOptimizer.step`` calls the optimizer
inside                                             inside at the last batch of an accumulation, and not where the
                                                   ``GradScaler`` found an infinity
``AcceleratedScheduler.step``  (none)              given as ``lr_scheduler=``, its state is kept with the run's. It and
                                                   ``run.lr = ...`` write the same number: the later wins, and a warning
                                                   says so once
``accelerator.scaler``         (none)              its state is kept with the run's
============================== =================== ================================================================

**Several processes.** Each runs the same loop. The means that an epoch or a validation ends with are those over all
processes, weighted by ``n``: log what this process computed, no gathered values are needed (those are right as well).
So all decide alike; a stop that one process asks for ends training on all, at the end of the epoch. Files are written
by the main process: ``accelerator.wait_for_everyone()`` before another reads one. What a batch's events see is each
process's own. A state is taken by the main process and given to all, its random generators included.

**Weights** go by the names of the plain model: what DistributedDataParallel and ``torch.compile`` put into them is
taken off, so that files fit with and without Accelerate. Where the model is sharded (FSDP, DeepSpeed, Megatron-LM) no
process has all weights: what needs them is refused.

**Checkpoints.** ``accelerator.register_for_checkpointing(RunState(run))`` before ``accelerator.save_state()`` keeps the
counts, the history and what each callback knows with Accelerate's own; ``accelerator.load_state()`` gives them back,
between ``wrap`` and its ``with``. ``resume=`` takes a state of the run's, as under PyTorch.

**A loader that is left early** (``break``, a stop, ``run.end_epoch()``) is over as the epoch ends: Accelerate's
``gradient_state`` does not take it for one that is running, and its next order is a new one. What such an epoch has
accumulated without a step goes into the next step.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import trainhooks
from trainhooks_adapters.torch import RunState

from ._trainable import AccelerateTrainable, world_of

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator

__all__ = ["AccelerateTrainable", "RunState", "plugin", "wrap"]


def wrap(
    accelerator: Accelerator,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer | Sequence[torch.optim.Optimizer] | None = None,
    callbacks: Iterable[trainhooks.Callback] | None = (),
    min_epochs: int = 0,
    resume: Mapping[str, Any] | str | os.PathLike[str] | None = None,
    *,
    lr_scheduler: Any = None,
    resume_stopped: bool = False,
    plugins: str | None = None,
) -> trainhooks.LoopRun:
    """Callbacks around a loop of one's own that Accelerate prepared.

    Args:
        accelerator: the ``Accelerator`` that prepared what follows.
        model: what ``accelerator.prepare`` gave; also ``run.model``.
        optimizer: likewise, one or several; without one there is no ``run.lr`` and no ``optimizer_step``.
        callbacks, min_epochs, resume, resume_stopped, plugins: as for ``trainhooks.wrap``.
        lr_scheduler: likewise, one or several, whose ``step()`` stays the loop's business; the state of the run holds
            theirs.

    Raises:
        TypeError: ``model`` is no module, or ``optimizer`` no optimizer, and so on.
        ValueError: several processes train that ``torch.distributed`` does not join, as on a TPU.
        WeightsError: what is resumed does not fit; nothing was written.
    """
    options = trainhooks.WrapOptions(callbacks, optimizer, min_epochs, resume, resume_stopped, plugins)
    return _wrapped(accelerator, options, model, lr_scheduler)


def _wrapped(
    accelerator: Any, options: trainhooks.WrapOptions, model: Any = None, lr_scheduler: Any = None
) -> trainhooks.LoopRun:
    trainable = AccelerateTrainable(accelerator, model, options.optimizer, lr_scheduler=lr_scheduler)
    run = options.loop(trainable, world_of(accelerator))
    run.on("epoch_end")(trainable.end_loaders)
    run.on("teardown")(trainable.end_loaders)
    return run


def _from_options(accelerator: Any, options: trainhooks.WrapOptions) -> trainhooks.LoopRun:
    options.check_extra("accelerator", ("model", "lr_scheduler"))
    return _wrapped(accelerator, options, **options.extra)


class _Plugin:
    @trainhooks.hookimpl
    def trainhooks_frameworks(self) -> dict[str, str]:
        return {"accelerate": "trainhooks[accelerate]"}

    @trainhooks.hookimpl
    def trainhooks_adapter(self, target: object) -> Callable[[trainhooks.WrapOptions], trainhooks.LoopRun] | None:
        accelerate = sys.modules.get("accelerate")
        kind = getattr(accelerate, "Accelerator", None)  # of a package that is only half imported there is none
        return functools.partial(_from_options, target) if kind is not None and isinstance(target, kind) else None


plugin = _Plugin()
