"""PyTorch: the loop is the user's own, and these are the verbs of its modules and optimizers.

    with trainhooks.wrap(model, optimizer=optimizer, callbacks=[...]) as run:
        for epoch in run.epochs(10):
            for x, y in run.train(train_loader):
                loss = loss_fn(model(x), y); loss.backward(); optimizer.step(); optimizer.zero_grad()
                run.log(loss=loss, n=len(x))

============================ =================== ==================================================================
native signal                our event           what differs
============================ =================== ==================================================================
(none: the user's loops)     all but the next    as ``LoopRun`` fires them
``Optimizer.step`` post-hook ``optimizer_step``  for each optimizer that was given (a GAN counts both); once for
                                                 LBFGS, however often it calls its closure; gradients are still there
``Optimizer.step`` pre-hook  (none)              where ``GradientClipping`` clips, just before each real update
``GradScaler`` skips a step  (none)              a fused optimizer's hook fires all the same: its ``found_inf`` is
                                                 read then, for which the host waits for a GPU once a step
``LRScheduler.step``         (none)              its calls stay the user's; given as ``lr_scheduler=``, its state is
                                                 kept with the run's. It and ``run.lr = ...`` write the same number:
                                                 the later wins, and a warning says so once
``model.train(), .eval()``   (none)              the mode stays the user's business: no verb of a run touches it
============================ =================== ==================================================================

**Several processes**, where ``torch.distributed`` joins some as ``wrap`` is called, each run the same loop. The means
that an epoch or a validation ends with are those over all processes, weighted by ``n``, so that all decide alike; a
stop that one process asks for ends training on all, at the end of the epoch. Files are written by the first process:
``torch.distributed.barrier()`` before another reads one. What a batch's events see is each process's own. A state is
taken by the first process and given to all, its random generators included. Where the model is sharded (FSDP) no
process has all weights: what needs them is refused. ``world=trainhooks.World()`` has a process train for itself.

Weights go by the names of ``state_dict()`` without what DistributedDataParallel, DataParallel, ``torch.compile`` and
AveragedModel put into them, so that those of a wrapped model fit the plain one.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import trainhooks

from ._rows import rows_of
from ._run_state import RunState
from ._trainable import TorchTrainable
from ._world import TorchWorld, device_of, world_of_processes

if TYPE_CHECKING:
    import torch
    from torch.optim.lr_scheduler import LRScheduler

__all__ = ["RunState", "TorchTrainable", "TorchWorld", "plugin", "rows_of", "world_of_processes", "wrap"]


def wrap(
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer | Sequence[torch.optim.Optimizer] | None = None,
    callbacks: Iterable[trainhooks.Callback] | None = (),
    min_epochs: int = 0,
    resume: Mapping[str, Any] | str | os.PathLike[str] | None = None,
    *,
    lr_scheduler: LRScheduler | Sequence[LRScheduler] | None = None,
    scaler: torch.amp.GradScaler | Sequence[torch.amp.GradScaler] | None = None,
    resume_stopped: bool = False,
    plugins: str | None = None,
    world: trainhooks.World | None = None,
) -> trainhooks.LoopRun:
    """Callbacks around a PyTorch module whose training loop is one's own.

    Args:
        model: the module; compiled or wrapped for several devices as well.
        optimizer: one or, as for a GAN, several, whose parameter groups then follow one another; without one there
            is no ``run.lr`` and no ``optimizer_step``.
        callbacks, min_epochs, resume, resume_stopped, plugins: as for ``trainhooks.wrap``.
        lr_scheduler: one ``torch.optim.lr_scheduler`` or several, whose ``step()`` stays the loop's business; the state
            of the run holds theirs. Of a lambda it keeps what ``LambdaLR.state_dict()`` does: a function, nothing.
        scaler: the ``torch.amp.GradScaler``, or several, for the same reason.
        world: who trains along; by default the processes that ``torch.distributed`` joins by now.

    What the state of a run holds is the module's ``state_dict()``, that of each optimizer, scheduler and scaler, the
    gradients that no step has used yet, and the random generators, global and of the loader. Settings come back with
    it, as PyTorch's own ``load_state_dict`` has it: a scheduler's ``gamma`` is that of the state. Not in it are buffers
    with ``persistent=False``; parameter groups, which the script must have made (``add_param_group``) before ``wrap``;
    and what is inside the workers of a loader with ``persistent_workers=True``, or of torchdata's
    ``StatefulDataLoader``: what those draw at random comes out otherwise.

    Raises:
        TypeError: ``model`` is no module, or ``optimizer`` no optimizer, and so on.
        ValueError: an ``lr_scheduler`` is of an optimizer that was not given.
        WeightsError: what is resumed does not fit: another model, other optimizers, parameters in another order, other
            schedulers; nothing was written.
        FrameworkNotInstalledError: there is no PyTorch.
    """
    options = trainhooks.WrapOptions(
        callbacks, optimizer, min_epochs, resume, resume_stopped=resume_stopped, plugins=plugins
    )
    return _run(model, options, lr_scheduler=lr_scheduler, scaler=scaler, world=world)


_EXTRA = ("lr_scheduler", "scaler", "world")


class _Plugin:
    @trainhooks.hookimpl
    def trainhooks_frameworks(self) -> dict[str, str]:
        return {"torch": "trainhooks[torch]"}

    @trainhooks.hookimpl(trylast=True)  # a Keras model, a LightningModule are modules too: their adapters come first
    def trainhooks_adapter(self, target: object) -> Callable[[trainhooks.WrapOptions], trainhooks.LoopRun] | None:
        torch = sys.modules.get("torch")
        if torch is None or not isinstance(target, torch.nn.Module):
            return None
        return functools.partial(_wrapped, target)


def _wrapped(target: torch.nn.Module, options: trainhooks.WrapOptions) -> trainhooks.LoopRun:
    options.check_extra(type(target).__name__, _EXTRA)
    return _run(target, options, **options.extra)


def _run(
    model: torch.nn.Module, options: trainhooks.WrapOptions, *, world: trainhooks.World | None = None, **parts: Any
) -> trainhooks.LoopRun:
    trainable = TorchTrainable(model, options.optimizer, **parts)
    return options.loop(trainable, world_of_processes(device_of(model)) if world is None else world)


plugin = _Plugin()
