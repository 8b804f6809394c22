"""fastai: ``wrap(learn)`` and ``bridge(callbacks)``.

=============================== ===================== ==============================================================
native signal                   our event             what differs
=============================== ===================== ==============================================================
before_fit                      setup, train_begin    each fit is a run; ``fine_tune`` is two. Of ``lr_find``, a mock
                                                      training, nothing is told
before_epoch                    epoch_begin           an epoch that ``start_epoch=`` skips is not told
before_train, after_train       (none)                the training batches between them
before_batch, after_batch       ..._batch_begin, _end a batch cancelled before its work was done is dropped; one that
                                                      GradientAccumulation cancels counts
after_step                      optimizer_step        not where a callback raised CancelStepException, as mixed
                                                      precision does for what overflowed; gradients are still there
before_validate, after_validate test_begin, test_end  one without data, or skipped by a callback, is not told; with
                                                      ``validate`` a run of its own
the same in ``get_preds``       predict_...           likewise
after_epoch                     epoch_end             where a callback cut the epoch short, after what ends in it
after_cancel_fit                stop                  a CancelFitException that is none of ours is a stop whose source
                                                      is ``"fastai"``, and the missing ends follow
after_fit                       train_end, teardown
an exception                    exception, teardown   fastai tells no callback: wrap sees every one, and a bridge that
                                                      was given to ``fit(cbs=[...])``; one that was given to
                                                      ``Learner(cbs=[...])`` those of our callbacks: after another one
                                                      it ends that run when it is used next
=============================== ===================== ==============================================================

``loss`` is the mean of the batches' own losses, where fastai's ``train_loss`` is smoothed; the metrics of the Learner
come as ``val_<name>``, and with ``Recorder(train_metrics=True)`` as ``<name>`` too.

Our callbacks come after fastai's own in each event. A stop ends the epoch's batches by CancelTrainException, and once
the epoch has ended the fit by CancelFitException; a pause ends the fit at once; ``validate`` and ``get_preds`` go on to
their end. ``fit_one_cycle`` and its like set the learning rate before each batch, so that they win over ``run.lr``, and
a warning says so. A run that goes on begins at an epoch, inside one never: the epochs before are skipped, as by
``start_epoch=``, and DataLoaders shuffle on from where they were; of ``fine_tune`` it is the first of the two fits that
goes on. fastai's own EarlyStoppingCallback and its like fail in an epoch that is skipped, as under ``start_epoch=``.
What a Learner does in a callback of ours is no part of its run; there a validation has fastai begin its own counts
anew, and should be left to the end of an epoch. Of several processes, as in ``learn.distrib_ctx()``, the main one
writes, and all stop together at the end of an epoch.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import trainhooks
from trainhooks import errors

from ._translation import EVENTS, Translation
from ._wrapped import WrappedLearner

__all__ = ["bridge", "plugin", "wrap"]


@functools.cache
def _bridge_class() -> type[Any]:
    with errors.importing("fastai", "fastai"):
        from fastai.callback import core

    class Bridge(Translation, core.Callback):  # type: ignore[misc]
        order = 1000  # after all of fastai's own, so that nobody misses an event by a stop of ours
        remove_on_fetch = True  # fastai takes off for a while what is no part of a fetching of predictions
        name = "trainhooks"
        _learn: Any = None

        __setattr__ = object.__setattr__  # fastai's looks at each name in the Learner, and in its model

        @property
        def learn(self) -> Any:
            return self._learn

        @learn.setter
        def learn(self, learn: Any) -> None:
            if learn is None:
                self.leave()
            self._learn = learn

        def __call__(self, event: str) -> None:  # fastai's would put words of its own into what a callback raises
            if event in EVENTS:
                cancel = self.handle(event)
                if cancel is not None:
                    raise getattr(core, cancel)

        def __reduce__(self) -> Any:  # a Learner is exported with its callbacks
            given = self.options
            made = functools.partial(bridge, min_epochs=given.min_epochs, plugins=given.plugins)
            return made, (given.callbacks,), {"_learn": self._learn}

    return Bridge


def bridge(
    callbacks: Iterable[trainhooks.Callback] | None,
    *,
    min_epochs: int = 0,
    resume: Mapping[str, Any] | str | os.PathLike[str] | None = None,
    resume_stopped: bool = False,
    plugins: str | None = None,
) -> Any:
    """A native fastai callback that carries ``callbacks``, for ``learn.fit(cbs=[...])``; good for many fits.

    Args:
        callbacks: attached in this order at the beginning of each fit, validation or prediction.
        min_epochs: a decision to stop before so many finished epochs is held until then.
        resume: what ``run.state_dict()`` gave, the path of a checkpoint, or a folder of checkpoints, of which the
            newest good one is taken: the first fit goes on from it, with the total of epochs as ``n_epoch``.
        resume_stopped: whether a run that had stopped goes on; without it no epoch is trained.
        plugins: as for ``trainhooks.wrap``.

    Raises:
        RegistrationError: a callback cannot be registered.
        FrameworkNotInstalledError: fastai is not installed.
    """
    options = trainhooks.WrapOptions(
        callbacks, min_epochs=min_epochs, resume=resume, resume_stopped=resume_stopped, plugins=plugins
    )
    options.check()
    made = _bridge_class()()
    from fastai.torch_core import find_bs

    made.prepare(options, find_bs)
    return made


def wrap(
    learn: Any,
    *,
    callbacks: Iterable[trainhooks.Callback] | None = (),
    min_epochs: int = 0,
    resume: Mapping[str, Any] | str | os.PathLike[str] | None = None,
    resume_stopped: bool = False,
    plugins: str | None = None,
) -> WrappedLearner:
    """The Learner with ``callbacks`` carried by its fits, validations and predictions.

    Args:
        learn: a fastai Learner; the callbacks are on it only while it works.
        callbacks, min_epochs, resume, resume_stopped, plugins: as for ``bridge``.

    Raises:
        RegistrationError: a callback cannot be registered, or needs what the Learner lacks.
    """
    made = bridge(callbacks, min_epochs=min_epochs, resume=resume, resume_stopped=resume_stopped, plugins=plugins)
    made.check(learn)
    return WrappedLearner(learn, made)


class Plugin:
    """What trainhooks finds: it loads nothing to answer no."""

    @trainhooks.hookimpl
    def trainhooks_frameworks(self) -> dict[str, str]:
        return {"fastai": "trainhooks[fastai]"}

    @trainhooks.hookimpl
    def trainhooks_adapter(self, target: object) -> Callable[[trainhooks.WrapOptions], WrappedLearner] | None:
        fastai = sys.modules.get("fastai.learner")
        if fastai is None or not isinstance(target, fastai.Learner):
            return None
        return functools.partial(_wrapped, target)


def _wrapped(target: Any, options: trainhooks.WrapOptions) -> WrappedLearner:
    whence = "its optimizer is given to it, as Learner(..., opt_func=...)"
    return wrap(target, **options.settings("a Learner", optimizer=whence))


plugin = Plugin()
