"""LightGBM: ``wrap(lightgbm.train)``, ``wrap(estimator)`` and ``bridge(callbacks)``.

| native signal            | our event                     | what differs                                             |
|--------------------------|-------------------------------|----------------------------------------------------------|
| none, at the beginning   | setup                         | wrap tells it before LightGBM has made its booster;      |
|                          |                               | bridge with the first round                              |
| a callback with          | train_begin, with the first   | a round is an epoch of one batch, so that run.step       |
| before_iteration         | round; epoch_begin,           | counts rounds too; LightGBM's own callbacks come first   |
|                          | train_batch_begin             |                                                          |
| a callback without it    | train_batch_end, test_begin,  | what was evaluated on other data than the training set   |
|                          | test_batch_..., test_end,     | is a validation of one batch for each such data set; the |
|                          | epoch_end                     | values are there already. Ours comes first, so that a    |
|                          |                               | round that early_stopping(...) ends is told of           |
| one of the last order    | none                          | here a stop is passed on, once all others were called    |
| none, at the end         | train_end, teardown           | wrap sees to them; bridge after the last round, or after |
|                          |                               | a stop of ours: where a callback of LightGBM's own ended |
|                          |                               | training it learns so when it is used next               |
| an exception             | exception, teardown           | wrap sees every one, bridge those of our callbacks       |

**Metrics.** Those of the training set, if it is among ``valid_sets``, go by LightGBM's names; those of one other set
are ``val_<metric>``, those of several ``<data>_<metric>``. ``names={"val_multi_logloss": "val_loss"}`` gives others.
Which way each metric is better LightGBM tells, so that ``mode="auto"`` knows it. A callback that looks at ``loss``, as
``TerminateOnNaN``, finds it where ``names`` gives a metric of the training set that name.

**Stops** are looked for after each round: the one that has begun is trained. All rounds stay in the booster
(LightGBM's own ``early_stopping`` takes those after the best out of what it returns). With ``wrap``, after an
``EarlyStopping`` of ours ``booster.best_iteration`` is the best round's number from 1, which ``predict`` and
``save_model`` heed; with ``bridge`` it is not set: ``early_stopping.best_epoch + 1`` is it.

**The learning rate** is ``learning_rate`` of the next round, and above 0. LightGBM's own ``reset_parameter`` sets one
before our ``epoch_begin``: what a callback of ours sets there holds, what one sets at an epoch's end does not.

**To go on**, with ``resume=`` or a ``BackupAndRestore``, is to train up to ``num_boost_round`` in all, and needs
``wrap``: the callbacks of a training that has begun cannot give it other trees. Rounds that ``init_model`` brings are
counted too, and added to it. LightGBM then draws other rows or columns at random (``bagging_fraction``) than without
the interruption: it keeps the state of its generator to itself.

scikit-learn's ``clone``, and so ``GridSearchCV``, copies a wrapped estimator and each callback in it: every clone has
its own.

Weights, snapshots, gradients, an optimizer, batches and their values are lacking; each refusal says what to do instead.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import trainhooks
from trainhooks import errors

from ._trainable import LightGBMTrainable
from ._translation import TRAINING, Bridge
from ._wrapped import WrappedEstimator, WrappedTrain

__all__ = ["bridge", "plugin", "wrap"]


def bridge(
    callbacks: Iterable[trainhooks.Callback] | None,
    *,
    names: Mapping[str, str] | None = None,
    training: str = TRAINING,
    min_epochs: int = 0,
    resume: Mapping[str, Any] | str | os.PathLike[str] | None = None,
    resume_stopped: bool = False,
    plugins: str | None = None,
) -> Bridge:
    """Native callbacks that carry ``callbacks``, a list of them: ``lightgbm.train(..., callbacks=[*bridge(ours)])``.

    It is good for many trainings, and its ``run`` is the last one.

    Args:
        callbacks: attached in this order at the beginning of each training.
        names: what metrics are to be called, by what they are called otherwise, as
            ``{"val_multi_logloss": "val_loss"}``.
        training: what the training set is called among ``valid_names``.
        min_epochs: a decision to stop before so many finished rounds is held until then.
        resume: what ``run.state_dict()`` gave, the path of a checkpoint, or a folder of checkpoints, of which the
            newest good one is taken: the first training goes on from it, and is to be given as ``init_model`` the
            booster with its rounds. ``wrap`` does that itself.
        resume_stopped: whether a run that had stopped goes on.
        plugins: as for ``trainhooks.wrap``.

    Raises:
        RegistrationError: a callback cannot be registered, or needs what LightGBM lacks.
        ValueError: a name in ``names`` has no place.
        FrameworkNotInstalledError: LightGBM is not installed.
    """
    with errors.importing("lightgbm", "lightgbm"):
        import lightgbm  # noqa: F401
    options = trainhooks.WrapOptions(
        callbacks, min_epochs=min_epochs, resume=resume, resume_stopped=resume_stopped, plugins=plugins
    )
    options.driver(LightGBMTrainable())  # refuses what can be refused before any round is trained
    names = dict(names or {})
    for old, new in names.items():
        if old.startswith("val_") != new.startswith("val_"):
            raise ValueError(f"names={{{old!r}: {new!r}}}: a validation's metric stays one: both begin with 'val_'")
    return Bridge(options, names, [training])


def wrap(
    target: Any,
    *,
    callbacks: Iterable[trainhooks.Callback] | None = (),
    names: Mapping[str, str] | None = None,
    min_epochs: int = 0,
    resume: Mapping[str, Any] | str | os.PathLike[str] | None = None,
    resume_stopped: bool = False,
    plugins: str | None = None,
) -> Any:
    """``lightgbm.train`` or an estimator with ``callbacks``; which data set is the training set it sees itself.

    Args:
        target: ``lightgbm.train``, or an estimator as ``lightgbm.LGBMClassifier()``.
        callbacks, names, min_epochs, resume_stopped, plugins: as for ``bridge``.
        resume: as for ``bridge``, but that the booster is in the state; ``num_boost_round`` is the total.

    Raises:
        RegistrationError: a callback cannot be registered, or needs what LightGBM lacks.
        TypeError: ``target`` is neither.
    """
    made = bridge(
        callbacks, names=names, min_epochs=min_epochs, resume=resume, resume_stopped=resume_stopped, plugins=plugins
    )
    import lightgbm

    if target is lightgbm.train:
        return WrappedTrain(target, made)
    if target is lightgbm.cv:
        raise TypeError(
            "wrap(lightgbm.cv): it trains several boosters at once, and a run has one: wrap lightgbm.train, and call "
            "it for each fold."
        )
    if not isinstance(target, getattr(lightgbm, "LGBMModel", ())):
        raise TypeError(f"wrap({target!r}): it is neither lightgbm.train nor an estimator of LightGBM's")
    return WrappedEstimator(target, made)


class Plugin:
    """What trainhooks finds: it loads nothing to answer no."""

    @trainhooks.hookimpl
    def trainhooks_frameworks(self) -> dict[str, str]:
        return {"lightgbm": "trainhooks[lightgbm]"}

    @trainhooks.hookimpl
    def trainhooks_adapter(self, target: object) -> Callable[[trainhooks.WrapOptions], Any] | None:
        lightgbm = sys.modules.get("lightgbm")
        if lightgbm is None:
            return None
        functions = (getattr(lightgbm, "train", None), getattr(lightgbm, "cv", None))  # it may be half imported
        if any(target is one for one in functions if one is not None):
            return functools.partial(_wrapped, target)
        return functools.partial(_wrapped, target) if isinstance(target, getattr(lightgbm, "LGBMModel", ())) else None


def _wrapped(target: Any, options: trainhooks.WrapOptions) -> Any:
    whence = "boosting has no optimizer; its rate is learning_rate in params"
    return wrap(target, **options.settings("lightgbm", ["names"], optimizer=whence))


plugin = Plugin()
