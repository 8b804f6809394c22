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
``LRScheduler.step``         (none)              it and ``run.lr = ...`` write the same number: the later wins, and
                                                 a warning says so once
``model.train(), .eval()``   (none)              the mode stays the user's business: no verb of a run touches it
============================ =================== ==================================================================

Weights go by the names of ``state_dict()`` without what DistributedDataParallel, DataParallel, ``torch.compile`` and
AveragedModel put into them, so that those of a wrapped model fit the plain one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import trainhooks

from ._trainable import TorchTrainable

if TYPE_CHECKING:
    import torch

__all__ = ["TorchTrainable", "plugin", "wrap"]


def wrap(
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer | Sequence[torch.optim.Optimizer] | None = None,
    callbacks: Iterable[trainhooks.Callback] = (),
    min_epochs: int = 0,
    resume: Mapping[str, Any] | None = None,
) -> trainhooks.LoopRun:
    """Callbacks around a PyTorch module whose training loop is one's own.

    Args:
        model: the module; compiled or wrapped for several devices as well.
        optimizer: one or, as for a GAN, several, whose parameter groups then follow one another; without one there
            is no ``run.lr`` and no ``optimizer_step``.
        callbacks, min_epochs, resume: as for ``trainhooks.wrap``.

    Raises:
        TypeError: ``model`` is no module, or ``optimizer`` no optimizer.
        FrameworkNotInstalledError: there is no PyTorch.
    """
    options = trainhooks.WrapOptions(tuple(callbacks), optimizer, min_epochs, resume)
    return options.loop(TorchTrainable(model, optimizer))


class _Plugin:
    @trainhooks.hookimpl
    def trainhooks_frameworks(self) -> dict[str, str]:
        return {"torch": "trainhooks[torch]"}

    @trainhooks.hookimpl(trylast=True)  # a Keras model, a LightningModule are modules too: their adapters come first
    def trainhooks_wrap(self, target: object, options: trainhooks.WrapOptions) -> trainhooks.LoopRun | None:
        torch = sys.modules.get("torch")
        if torch is None or not isinstance(target, torch.nn.Module):
            return None
        options.check_extra(type(target).__name__)
        return options.loop(TorchTrainable(target, options.optimizer))


plugin = _Plugin()
