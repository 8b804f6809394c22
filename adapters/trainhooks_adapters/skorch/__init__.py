"""skorch: ``bridge(callbacks)``, a callback of a net, and ``wrap(net)``.

    net = NeuralNetClassifier(Module, callbacks=[("trainhooks", bridge([EarlyStopping("val_loss")]))])

| native signal            | our event                   | what differs                                               |
|--------------------------|-----------------------------|------------------------------------------------------------|
| fit_loop begins          | setup, train_begin          | each fit and partial_fit is a run; partial_fit goes on     |
|                          |                             | counting the epochs of the net's history                   |
| on_epoch_begin           | epoch_begin                 | in each event skorch's own callbacks come first, all       |
| on_batch_begin, _end     | train_batch_begin, _end     |                                                            |
| the same, training=False | test_begin, test_batch_...  | skorch tells neither where a validation begins nor ends:   |
|                          |                             | it does with its first batch, and before epoch_end         |
| on_epoch_end             | test_end, epoch_end         | scores of the history: ``train_loss`` is ``loss``,         |
|                          |                             | ``valid_acc`` is ``val_acc``, others keep their names      |
| optimizer_.step          | optimizer_step              |                                                            |
| fit_loop ends            | train_end, teardown         | before skorch's on_train_end                               |
| KeyboardInterrupt        | exception, teardown; or     | one that a skorch callback raises, as EarlyStopping does,  |
|                          | stop, and every missing end | is a stop; any other a Ctrl-C: the run is "interrupted",   |
|                          |                             | and ``wrap`` raises it, where skorch's own fit returns     |
| any other exception      | exception, teardown         | skorch tells no callback                                   |

A stop ends the epoch's batches, by an iterator that ends; validation and on_epoch_end follow, and no epoch begins. No
KeyboardInterrupt is needed for it. A pause leaves skorch's epoch at once. Prediction fires nothing in skorch.

Resumed, ``max_epochs`` is the total, and the net's history begins anew. Kept are ``module_`` (of a net with modules of
its own names, all of them) and the optimizers; not a criterion's weights beside a ``module_``, nor what skorch's
callbacks know. The learning rate is that of the optimizers' groups: a scheduler of skorch's writes the same number, and
the later wins.

scikit-learn's ``clone``, and so ``GridSearchCV``, copies the bridge and each callback in it: every clone has its own.
While ``fit_loop`` runs, the net's class is a subclass of its own: see ``_carrier``.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import trainhooks
from trainhooks import errors

from ._bridge import Bridge
from ._wrapped import WrappedNet

__all__ = ["bridge", "plugin", "wrap"]


@functools.cache
def _bridge_class() -> type[Any]:
    with errors.importing("skorch", "skorch"):
        import skorch.callbacks
    return type("Bridge", (Bridge, skorch.callbacks.Callback), {"__module__": __name__, "__doc__": Bridge.__doc__})


def bridge(
    callbacks: Iterable[trainhooks.Callback] | None = None,
    *,
    min_epochs: int = 0,
    resume: Mapping[str, Any] | str | os.PathLike[str] | None = None,
    resume_stopped: bool = False,
    plugins: str | None = None,
) -> Any:
    """A callback of skorch's that carries ``callbacks``: ``NeuralNet(callbacks=[("trainhooks", bridge([...]))])``.

    Args:
        callbacks: attached in this order at the beginning of each fit.
        min_epochs: a decision to stop before so many finished epochs is held until then.
        resume: what ``run.state_dict()`` gave, the path of a checkpoint, or a folder of checkpoints, of which the
            newest good one is taken: the first fit goes on from it, and ends after ``max_epochs`` in all.
        resume_stopped: whether a run that had stopped goes on; without it no epoch is trained.
        plugins: as for ``trainhooks.wrap``.

    Raises:
        RegistrationError: a callback cannot be registered. What it needs of the net is asked when that is fitted.
        FrameworkNotInstalledError: skorch is not installed.
    """
    given = trainhooks.WrapOptions(callbacks).check().callbacks
    settings = {"min_epochs": min_epochs, "resume": resume, "resume_stopped": resume_stopped, "plugins": plugins}
    return _bridge_class()(list(given), **settings)


def wrap(
    net: Any,
    *,
    callbacks: Iterable[trainhooks.Callback] | None = (),
    min_epochs: int = 0,
    resume: Mapping[str, Any] | str | os.PathLike[str] | None = None,
    resume_stopped: bool = False,
    plugins: str | None = None,
) -> WrappedNet:
    """The net with ``callbacks`` carried by its ``fit`` and ``partial_fit``.

    Args:
        net: a ``skorch.NeuralNet``.
        callbacks, min_epochs, resume, resume_stopped, plugins: as for ``bridge``.

    Raises:
        RegistrationError: a callback cannot be registered, or needs what the net lacks.
    """
    made = bridge(callbacks, min_epochs=min_epochs, resume=resume, resume_stopped=resume_stopped, plugins=plugins)
    made.check(net)
    return WrappedNet(net, made)


class Plugin:
    """What trainhooks finds: it loads nothing to answer no."""

    @trainhooks.hookimpl
    def trainhooks_frameworks(self) -> dict[str, str]:
        return {"skorch": "trainhooks[skorch]"}

    @trainhooks.hookimpl
    def trainhooks_adapter(self, target: object) -> Callable[[trainhooks.WrapOptions], WrappedNet] | None:
        skorch = sys.modules.get("skorch")
        if skorch is None or not isinstance(target, skorch.NeuralNet):
            return None
        return functools.partial(_wrapped, target)


def _wrapped(target: Any, options: trainhooks.WrapOptions) -> WrappedNet:
    whence = "the net makes its own: NeuralNet(optimizer=torch.optim.Adam)"
    return wrap(target, **options.settings("a skorch net", optimizer=whence))


plugin = Plugin()
