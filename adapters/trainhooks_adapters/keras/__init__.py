"""Keras 3, on any backend: ``wrap(model)`` and ``bridge(callbacks)``.

| native signal            | our event                   | what differs                                               |
|--------------------------|-----------------------------|------------------------------------------------------------|
| on_train_begin           | setup, train_begin          | each fit is a run                                          |
| on_epoch_begin, _end     | epoch_begin, epoch_end      | the end's logs are Keras's own, shared with its callbacks  |
| on_train_batch_begin     | train_batch_begin           | subscribed to only when somebody listens; a batch that     |
|                          |                             | Keras never ends (data ran out) is dropped                 |
| on_train_batch_end       | train_batch_end             | as above; logs are running means; with steps_per_execution |
|                          |                             | one event stands for several steps                         |
| on_test_begin, _end      | test_begin, test_end        | without a fit around it, a run of its own                  |
| on_predict_...           | predict_...                 | likewise                                                   |
| on_train_end             | train_end, teardown         |                                                            |
| an exception             | exception, teardown         | Keras tells no callback: wrap sees every one, bridge those |
|                          |                             | of our callbacks; after another one it ends that run when  |
|                          |                             | it is used next. On TensorFlow what data raises arrives as |
|                          |                             | another exception                                          |

A run that goes on begins at an epoch, inside one never; what the order of the data is drawn from on each backend, and
so whether it goes on as well, is told in ``_random``.

Keras looks for a stop after a batch and after an epoch's end: after one that is asked for in ``train_begin``,
``epoch_begin`` or ``train_batch_begin`` it still trains one batch. After a pause it validates on; those events are
dropped. ``evaluate`` and ``predict`` go on to their end. Per-batch values, the optimizer's own steps and ending an
epoch early are not to be had. Where nobody listens to the ends of batches, steps are counted at the end of each epoch's
batches: on TensorFlow exactly, elsewhere from the optimizer's updates.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import trainhooks
from trainhooks import errors

from ._trainable import BATCH_HOOKS
from ._translation import Translation
from ._wrapped import WrappedModel

__all__ = ["bridge", "plugin", "wrap"]


@functools.cache
def _bridge_class(hooks: frozenset[str]) -> type[Any]:
    """A Keras callback that overrides just these batch hooks: Keras looks at what is overridden."""
    with errors.importing("keras", "keras"):
        import keras
    own = {
        "on_train_batch_begin": Translation._batch_begin,
        "on_test_batch_begin": Translation._batch_begin,
        "on_predict_batch_begin": Translation._batch_begin,
        "on_train_batch_end": Translation._train_batch_end,
        "on_test_batch_end": Translation._test_batch_end,
        "on_predict_batch_end": Translation._predict_batch_end,
    }
    if "on_train_batch_end" not in hooks:
        own["on_train_batch_begin"] = Translation._counting_batch_begin
    body = {name: own[name] for name in hooks}
    if keras.backend.backend() == "tensorflow":  # it costs nothing there; the optimizer counts a batch begun in vain
        body.setdefault("on_train_batch_end", Translation._note_batch_end)
    return type("Bridge", (Translation, keras.callbacks.Callback), body | {"hooks": hooks})


def bridge(
    callbacks: Iterable[trainhooks.Callback] | None,
    *,
    min_epochs: int = 0,
    resume: Mapping[str, Any] | str | os.PathLike[str] | None = None,
    resume_stopped: bool = False,
    plugins: str | None = None,
) -> Any:
    """A native Keras callback that carries ``callbacks``, for ``model.fit(callbacks=[...])``; good for many fits.

    Args:
        callbacks: attached in this order at the beginning of each ``fit``, ``evaluate`` or ``predict``.
        min_epochs: a decision to stop before so many finished epochs is held until then.
        resume: what ``run.state_dict()`` gave, the path of a checkpoint, or a folder of checkpoints, of which the
            newest good one is taken: the first ``fit`` goes on from it, and is told at which epoch to begin (an
            ``initial_epoch`` of its own does not count; with ``wrap`` it does).
        resume_stopped: whether a run that had stopped goes on; without it no epoch is trained.
        plugins: as for ``trainhooks.wrap``. Where one is installed that attaches callbacks, Keras's batch hooks are all
            subscribed to: it wants to know of them before there is a run that the plugin could look at.

    Raises:
        RegistrationError: a callback cannot be registered.
        FrameworkNotInstalledError: Keras is not installed.
    """
    options = trainhooks.WrapOptions(
        callbacks, min_epochs=min_epochs, resume=resume, resume_stopped=resume_stopped, plugins=plugins
    )
    known = trainhooks.plugins.vocabulary(plugins)
    options.check()
    listened = {listener.event.hook for callback in options.callbacks for listener in callback.listeners(known)}
    if trainhooks.plugins.attaches(plugins):
        listened |= set(BATCH_HOOKS)
    hooks = frozenset(listened.intersection(BATCH_HOOKS))
    hooks |= {hook.replace("_end", "_begin") for hook in hooks}  # an end needs its begin, which costs Keras little
    made = _bridge_class(hooks)()
    made.prepare(options)
    return made


def wrap(
    model: Any,
    *,
    callbacks: Iterable[trainhooks.Callback] | None = (),
    min_epochs: int = 0,
    resume: Mapping[str, Any] | str | os.PathLike[str] | None = None,
    resume_stopped: bool = False,
    plugins: str | None = None,
) -> WrappedModel:
    """The model with ``callbacks`` carried by its ``fit``, ``evaluate`` and ``predict``.

    Args:
        model: a Keras model.
        callbacks, min_epochs, resume_stopped, plugins: as for ``bridge``.
        resume: as for ``bridge``; the first ``fit`` begins at the epoch that follows, unless it is given an
            ``initial_epoch``.

    In each event Keras's own callbacks come first, then these, then ``History``.

    Raises:
        RegistrationError: a callback cannot be registered, or needs what the model lacks.
    """
    made = bridge(callbacks, min_epochs=min_epochs, resume=resume, resume_stopped=resume_stopped, plugins=plugins)
    if getattr(model, "optimizer", None) is not None:  # one that is not compiled yet is asked when it is fitted
        made.set_model(model)
        made.new_driver()
    made.check_state()
    return WrappedModel(model, made)


class Plugin:
    """What trainhooks finds: it loads nothing to answer no."""

    @trainhooks.hookimpl
    def trainhooks_frameworks(self) -> dict[str, str]:
        return {"keras": "trainhooks[keras]"}

    @trainhooks.hookimpl(tryfirst=True)  # on its torch backend a Keras model is a torch module too
    def trainhooks_adapter(self, target: object) -> Callable[[trainhooks.WrapOptions], WrappedModel] | None:
        keras = sys.modules.get("keras")
        if keras is None or not isinstance(target, keras.Model):
            return None
        return functools.partial(_wrapped, target)


def _wrapped(target: Any, options: trainhooks.WrapOptions) -> WrappedModel:
    whence = "its optimizer is given to model.compile(optimizer=...)"
    return wrap(target, **options.settings("a Keras model", optimizer=whence))


plugin = Plugin()
