"""Lightning Fabric: the loop is the user's own, over what ``fabric.setup`` gave.

    model, optimizer = fabric.setup(model, optimizer)
    loader = fabric.setup_dataloaders(loader)
    with trainhooks.wrap(fabric, model=model, optimizer=optimizer, callbacks=[...]) as run:
        for epoch in run.epochs(10):
            for x, y in run.train(loader):
                loss = loss_fn(model(x), y); fabric.backward(loss); optimizer.step(); optimizer.zero_grad()
                run.log(loss=loss, n=len(x))

============================ =================== ==================================================================
native signal                our event           what differs
============================ =================== ==================================================================
(none: the user's loops)     all but the next    as ``LoopRun`` fires them; ``run.step`` counts batches, those of
                                                 ``fabric.no_backward_sync`` too
``step`` of the optimizer    ``optimizer_step``  real updates alone: not where the ``GradScaler`` of ``"16-mixed"``
inside                                           found an infinity
``LRScheduler.step``         (none)              given as ``lr_scheduler=``, its state is kept with the run's. It and
                                                 ``run.lr = ...`` write the same number: the later wins, and a warning
                                                 says so once
the precision's ``scaler``   (none)              its state is kept with the run's
``Fabric(callbacks=...)``,   (none)              called by Fabric and by the user, as ever; ours go into ``wrap``
``fabric.call``
============================ =================== ==================================================================

**Several processes.** Each runs the same loop, after ``fabric.launch()``. The means that an epoch or a validation ends
with are those over all processes, weighted by ``n``: log what this process computed. So all decide alike; a stop that
one process asks for ends training on all, at the end of the epoch. Files are written by the main process:
``fabric.barrier()`` before another reads one. What a batch's events see is each process's own. A state is taken by the
main process and given to all, its random generators included.

**Weights** go by the names of the plain model: what Fabric, DistributedDataParallel and ``torch.compile`` put into them
is taken off, so that files fit with and without Fabric. ``run.model`` is what ``setup`` gave. Where the model is
sharded (FSDP, ModelParallel, DeepSpeed) no process has all weights: what needs them is refused.

**Checkpoints.** ``fabric.save(path, {"model": model, "optimizer": optimizer, "run": RunState(run)})`` keeps the counts,
the history and what each callback knows with Fabric's own; ``fabric.load`` with the same dictionary gives them back,
between ``wrap`` and its ``with``. ``resume=`` takes a state of the run's, as under PyTorch.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import trainhooks
from trainhooks_adapters.torch import RunState

from ._trainable import FabricTrainable, world_of

if TYPE_CHECKING:
    import torch
    from lightning.fabric import Fabric

__all__ = ["FabricTrainable", "RunState", "plugin", "wrap"]


def wrap(
    fabric: Fabric,
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
    """Callbacks around a loop of one's own that Fabric set up.

    Args:
        fabric: the ``Fabric`` that set up what follows, of ``lightning.fabric`` or of ``lightning_fabric``.
        model: what ``fabric.setup`` gave; also ``run.model``.
        optimizer: likewise, one or several; without one there is no ``run.lr`` and no ``optimizer_step``.
        callbacks, min_epochs, resume, resume_stopped, plugins: as for ``trainhooks.wrap``.
        lr_scheduler: one or several, whose ``step()`` stays the loop's business; the state of the run holds theirs.

    Raises:
        TypeError: ``model`` is no module, or ``optimizer`` no optimizer, and so on.
        ValueError: several processes are to train that ``torch.distributed`` does not join (yet).
        WeightsError: what is resumed does not fit; nothing was written.
    """
    options = trainhooks.WrapOptions(callbacks, optimizer, min_epochs, resume, resume_stopped, plugins)
    return _wrapped(fabric, options, model, lr_scheduler)


def _wrapped(
    fabric: Any, options: trainhooks.WrapOptions, model: Any = None, lr_scheduler: Any = None
) -> trainhooks.LoopRun:
    return options.loop(FabricTrainable(fabric, model, options.optimizer, lr_scheduler=lr_scheduler), world_of(fabric))


def _from_options(fabric: Any, options: trainhooks.WrapOptions) -> trainhooks.LoopRun:
    options.check_extra("fabric", ("model", "lr_scheduler"))
    return _wrapped(fabric, options, **options.extra)


class _Plugin:
    @trainhooks.hookimpl
    def trainhooks_frameworks(self) -> dict[str, str]:
        return {"fabric": "trainhooks[lightning]"}

    @trainhooks.hookimpl
    def trainhooks_adapter(self, target: object) -> Callable[[trainhooks.WrapOptions], trainhooks.LoopRun] | None:
        for name in ("lightning.fabric", "lightning_fabric"):  # two distributions of the same
            kind = getattr(sys.modules.get(name), "Fabric", None)  # half imported, a package has none yet
            if kind is not None and isinstance(target, kind):
                return functools.partial(_from_options, target)
        return None


plugin = _Plugin()
