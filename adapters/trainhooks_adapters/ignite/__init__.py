"""Ignite: ``wrap(engine)``, ``attach(engine, callbacks)`` and ``bridge(callbacks)``.

    trained = trainhooks.wrap(trainer, evaluator=evaluator, model=model, optimizer=optimizer, callbacks=[...])
    trained.run(loader, max_epochs=20)  # the engine's own run, and its State
    print(trained.last_run.outcome)

| native signal            | our event                   | what differs                                               |
|--------------------------|-----------------------------|------------------------------------------------------------|
| STARTED                  | setup, train_begin          | each ``run`` of the engine is a run; epochs and iterations |
|                          |                             | count from 1 there, from 0 and within the epoch here       |
| EPOCH_STARTED            | epoch_begin                 |                                                            |
| ITERATION_STARTED,       | train_batch_begin, _end     | the process function's output is what the batch logs; one  |
| ITERATION_COMPLETED      |                             | that a stop cut before it ran has no end                   |
| EPOCH_COMPLETED          | epoch_end                   | comes after every handler that was there when the run      |
|                          |                             | began, so that their evaluations belong to the epoch       |
| the evaluator's STARTED, | test_begin ... test_end     | its metrics join the epoch's as ``val_<name>``; run in the |
| ITERATION_..., COMPLETED |                             | trainer's STARTED it is not told of;                       |
|                          |                             | of several in an epoch the last one's metrics stay         |
| TERMINATE                | stop, and every missing end | Ignite skips EPOCH_COMPLETED: the epoch ends without what  |
|                          |                             | the metrics attached to the trainer would have given       |
| COMPLETED                | train_end, teardown         | after the user's handlers                                  |
| INTERRUPT                | (none)                      | the run stays open, and the next ``run`` goes on with it   |
| Optimizer.step           | optimizer_step              | of the optimizer that was given                            |
| an exception             | exception, teardown         | EXCEPTION_RAISED is left alone, for a handler there would  |
|                          |                             | swallow exceptions: wrap sees every one, a bridge those of |
|                          |                             | our callbacks; after another it ends the run when it is    |
|                          |                             | used next                                                  |

Metrics: a number that the process function gives is ``loss``, numbers in a dictionary have their names; their means are
weighted by the rows of ``engine.state.batch``. ``output_transform`` picks them out of anything else. Ignite's metrics
that are attached to an engine join at the end of its epoch, where their name is free.

A stop ends the epoch's iterations by ``engine.terminate_epoch()``, and the run by ``engine.terminate()`` at the epoch's
end; asked for as an epoch begins, one more batch is fetched, and not trained. ``run()`` after it goes on at the next
epoch, as Ignite has it; ``engine.state.max_epochs = None`` begins anew. Ignite is asked for no prediction.

The learning rate is that of the optimizer's groups: Ignite's and PyTorch's schedulers write the same number, and the
later wins. Handlers that were there when the run began come before the callbacks in each event.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import trainhooks
from trainhooks import errors

from ._bridge import Bridge, WrappedEngine
from ._trainable import trainable_of

__all__ = ["attach", "bridge", "plugin", "wrap"]

_OWN = ("model", "evaluator", "lr_scheduler", "output_transform")


def _itself(output: Any) -> Any:
    return output


def bridge(
    callbacks: Iterable[trainhooks.Callback] | None,
    *,
    model: Any = None,
    optimizer: Any = None,
    evaluator: Any = None,
    lr_scheduler: Any = None,
    output_transform: Callable[[Any], Any] | None = _itself,
    min_epochs: int = 0,
    resume: Mapping[str, Any] | str | os.PathLike[str] | None = None,
    resume_stopped: bool = False,
    plugins: str | None = None,
) -> Bridge:
    """Callbacks for engines: ``bridge(callbacks, ...).attach(engine)``; good for many runs.

    Args:
        callbacks: attached in this order at the beginning of each run.
        model, optimizer, lr_scheduler: what the process function trains, as for ``trainhooks_adapters.torch.wrap``; an
            engine does not show them. Without a model there is no state, no weight and no learning rate.
        evaluator: the engine that validates, or several as ``{"val": engine, "test": engine}``.
        output_transform: makes metrics of the process function's output; None: its output is not looked at.
        min_epochs: a decision to stop before so many finished epochs is held until then.
        resume: what ``run.state_dict()`` gave, the path of a checkpoint, or a folder of checkpoints, of which the
            newest good one is taken: the first run goes on from it, at its epoch.
        resume_stopped: whether a run that had stopped goes on; without it no epoch is trained.
        plugins: as for ``trainhooks.wrap``.

    Raises:
        RegistrationError: a callback cannot be registered, or needs what was not given.
        TypeError: ``evaluator`` is no engine, ``model`` no module, and so on.
        FrameworkNotInstalledError: Ignite is not installed.
    """
    with errors.importing("ignite", "ignite"):
        from ignite.engine import Engine
    options = trainhooks.WrapOptions(
        callbacks, optimizer, min_epochs, resume, resume_stopped=resume_stopped, plugins=plugins
    )
    evaluators = {} if evaluator is None else evaluator if isinstance(evaluator, Mapping) else {"val": evaluator}
    for name, one in evaluators.items():
        if not isinstance(one, Engine):
            raise TypeError(
                f"evaluator {name!r} is {one!r}: an ignite.engine.Engine is needed, or a dictionary of them"
            )
    return Bridge(options, trainable_of(model, optimizer, lr_scheduler), evaluators, output_transform)


def attach(engine: Any, callbacks: Iterable[trainhooks.Callback] | None, **settings: Any) -> Bridge:
    """``bridge(callbacks, **settings)``, on ``engine``: what it gives can be removed and has the last ``run``."""
    return bridge(callbacks, **settings).attach(engine)


def wrap(engine: Any, *, callbacks: Iterable[trainhooks.Callback] | None = (), **settings: Any) -> WrappedEngine:
    """The engine with ``callbacks`` carried by its ``run``; ``last_run`` is the run of the last one.

    Args:
        engine: the ``ignite.engine.Engine`` that trains.
        callbacks: attached in this order at the beginning of each run.
        settings: as for ``bridge``.

    Raises:
        RegistrationError: a callback cannot be registered, or needs what was not given.
    """
    return WrappedEngine(engine, bridge(callbacks, **settings))


class Plugin:
    """What trainhooks finds: it loads nothing to answer no."""

    @trainhooks.hookimpl
    def trainhooks_frameworks(self) -> dict[str, str]:
        return {"ignite": "trainhooks[ignite]"}

    @trainhooks.hookimpl
    def trainhooks_adapter(self, target: object) -> Callable[[trainhooks.WrapOptions], WrappedEngine] | None:
        module = sys.modules.get("ignite.engine")
        if module is None or not isinstance(target, module.Engine):
            return None
        return functools.partial(_wrapped, target)


def _wrapped(target: Any, options: trainhooks.WrapOptions) -> WrappedEngine:
    return wrap(target, **options.settings("an Ignite engine", _OWN))


plugin = Plugin()
