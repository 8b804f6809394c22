"""JAX: the loop is the user's own, and these are the verbs of what it trains, with optax or with flax.nnx.

    state = TrainState(params, optimizer.init(params))
    with trainhooks.wrap(state, callbacks=[...]) as run:
        for epoch in run.epochs(10):
            for x, y in run.train(batches):
                state.params, state.opt_state, loss = step(state.params, state.opt_state, x, y)
                run.log(loss=loss, n=len(x))

============================ =================== ==================================================================
native signal                our event           what differs
============================ =================== ==================================================================
(none: the user's loops)     all but the next    as ``LoopRun`` fires them
an update of the optimizer   (none)              it happens inside the compiled step: ``optimizer_step`` is lacking
============================ =================== ==================================================================

With ``flax.nnx`` the module is wrapped: ``trainhooks.wrap(model, optimizer=nnx.Optimizer(...), callbacks=[...])``. For
whatever else a step gives back ``TrainState`` has other ways to hold it.

Inside the compiled step are the gradients too, which optax clips; there is no graph, and no file format but
``.safetensors``. A stop is looked for by the loops, as always in a ``LoopRun``.

``run.lr`` is a value in the optimizer's state, made by ``optax.inject_hyperparams(optax.adam)(learning_rate=1e-3)``; or
``TrainState(..., lr=1e-3)`` holds it, and the step is given ``state.lr``. Whatever is set compiles nothing anew. In
``optax.adam(1e-3)`` it is a part of the code, and ``run.lr`` is lacking. Of several, as in ``optax.multi_transform``,
each is a group, in the order of the pytree.

Several processes (``jax.distributed``) are not joined: each decides, and writes files, for itself.

A snapshot is the arrays themselves, since nothing changes them; where the step donates them it is a copy. A metric
stays on its device until it is read: ``run.log`` waits for nothing. It is called outside the compiled step.

Draw the order of the data inside what ``run.train`` iterates over, or from ``jax.random.fold_in(key, epoch)``: a run
that goes on inside an epoch runs the lines before ``run.train`` again.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import trainhooks

from ._holder import TrainState
from ._modules import state_of
from ._trainable import JaxTrainable

__all__ = ["JaxTrainable", "TrainState", "plugin", "wrap"]


def wrap(
    target: Any,
    optimizer: Any = None,
    callbacks: Iterable[trainhooks.Callback] | None = (),
    min_epochs: int = 0,
    resume: Mapping[str, Any] | str | os.PathLike[str] | None = None,
    *,
    donates: bool | None = None,
    resume_stopped: bool = False,
    plugins: str | None = None,
) -> trainhooks.LoopRun:
    """Callbacks around what a JAX loop trains.

    Args:
        target: a ``TrainState`` to which the loop assigns, or a ``flax.nnx.Module``.
        optimizer: of a module, its ``flax.nnx.Optimizer``; a ``TrainState`` has the optimizer's state in it.
        callbacks, min_epochs, resume, resume_stopped, plugins: as for ``trainhooks.wrap``.
        donates: of a module, as for ``TrainState``.

    The state of a run holds all arrays and numbers of the ``TrainState``; of a module all its variables, random keys
    and statistics too, and those of the optimizer.

    Raises:
        TypeError: ``target`` is neither, or ``optimizer`` none.
        WeightsError: what is resumed does not fit; nothing was written.
        FrameworkNotInstalledError: there is no JAX.
    """
    options = trainhooks.WrapOptions(
        callbacks, optimizer, min_epochs, resume, resume_stopped=resume_stopped, plugins=plugins
    )
    return _wrapped(target, options, donates)


def _wrapped(target: Any, options: trainhooks.WrapOptions, donates: bool | None = None) -> trainhooks.LoopRun:
    options.check_extra(type(target).__name__, ("donates",))
    donates = options.extra.get("donates", donates)
    if _is_module(target):
        made = JaxTrainable(state_of(target, options.optimizer, donates), target, options.optimizer)
    elif not isinstance(target, TrainState):
        kind = type(target).__name__
        raise TypeError(f"wrap({kind}): hold it in state = TrainState(value=...), and assign state.value = step(...)")
    elif options.optimizer is not None or donates is not None:
        raise TypeError("wrap(a TrainState, ...): these are given to it: TrainState(params, opt_state, donates=True)")
    else:
        made = JaxTrainable(target)
    loop = options.loop(made)
    loop.on("epoch_end", trainhooks.once())(made.look)
    return loop


def _is_module(target: object) -> bool:
    nnx = sys.modules.get("flax.nnx")
    return nnx is not None and isinstance(target, nnx.Module)


class _Plugin:
    @trainhooks.hookimpl
    def trainhooks_frameworks(self) -> dict[str, str]:
        return {"jax": "trainhooks[jax]"}

    @trainhooks.hookimpl
    def trainhooks_adapter(self, target: object) -> Callable[[trainhooks.WrapOptions], trainhooks.LoopRun] | None:
        is_like_flax = "jax" in sys.modules and hasattr(target, "params") and hasattr(target, "opt_state")
        if isinstance(target, TrainState) or _is_module(target) or is_like_flax:
            return functools.partial(_wrapped, target)
        return None


plugin = _Plugin()
