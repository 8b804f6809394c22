"""XGBoost: ``wrap(xgboost.train)``, ``wrap(estimator)`` and ``bridge(callbacks)``.

| native signal            | our event                     | what differs                                             |
|--------------------------|-------------------------------|----------------------------------------------------------|
| before_training          | setup, train_begin            | each training is a run; it goes on from a state here     |
| before_iteration         | epoch_begin,                  | a round is an epoch of one batch, so that run.step       |
|                          | train_batch_begin             | counts rounds too; here a stop is passed on              |
| after_iteration          | train_batch_end, test_begin,  | what was evaluated on other data than the training set   |
|                          | test_batch_..., test_end,     | is a validation of one batch for each such data set; the |
|                          | epoch_end                     | values are in evals_log already                          |
| after_training           | train_end, teardown           | where a callback of XGBoost's own ended training, the    |
|                          |                               | run is stopped by "xgboost"                              |
| an exception             | exception, teardown           | XGBoost tells no callback: wrap sees every one, bridge   |
|                          |                               | those of our callbacks; after another one it ends that   |
|                          |                               | run when it is used next                                 |

**Metrics.** Those of the training set, if it is among ``evals``, go by XGBoost's names; those of one other set are
``val_<metric>``, those of several ``<data>_<metric>``. ``names={"val_mlogloss": "val_loss"}`` gives others. Which way
XGBoost's own metrics are better is known to ``mode="auto"``. A callback that looks at ``loss``, as ``TerminateOnNaN``,
finds it where ``names`` gives a metric of the training set that name.

**Stops** are looked for before each round: one that is asked for in ``epoch_begin`` comes after that round. All rounds
stay in the booster. After an ``EarlyStopping`` of ours ``booster.best_iteration`` and ``best_score`` are set as
XGBoost's own sets them: an estimator then predicts with the best rounds, ``booster[: booster.best_iteration + 1]`` has
them alone.

**The learning rate** is ``learning_rate`` (``eta``) of the next round. XGBoost's own ``LearningRateScheduler`` sets one
after each round; with ``wrap`` ours come after it, so that what one sets in ``epoch_end`` or ``epoch_begin`` holds.

**To go on**, with ``resume=`` or a ``BackupAndRestore``, is to train up to ``num_boost_round`` in all; rounds that
``xgb_model`` brings are counted too, and added to it. Where rows or columns are drawn at random (``subsample``), others
are drawn than without the interruption: XGBoost keeps the state of its generator to itself.

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

from ._trainable import XGBoostTrainable
from ._translation import TRAINING, translation
from ._wrapped import WrappedEstimator, WrappedTrain

__all__ = ["bridge", "plugin", "wrap"]


def bridge(
    callbacks: Iterable[trainhooks.Callback] | None,
    *,
    num_boost_round: int | None = None,
    names: Mapping[str, str] | None = None,
    training: str | None = None,
    min_epochs: int = 0,
    resume: Mapping[str, Any] | str | os.PathLike[str] | None = None,
    resume_stopped: bool = False,
    plugins: str | None = None,
) -> Any:
    """A native callback that carries ``callbacks``, for ``xgboost.train`` or an estimator; good for many trainings.

    Put it last in the list: a round that a later callback ends before it is trained was told to have begun. (Where
    XGBoost calls its callbacks in no certain order, as up to 3.0 at least, ``wrap`` sees to it that ours come last.)

    Args:
        callbacks: attached in this order at the beginning of each training.
        num_boost_round: the total, which XGBoost does not tell its callbacks; without it ``run.max_epochs`` is None,
            and a run that goes on trains as many rounds more as XGBoost was asked for.
        names: what metrics are to be called, by what they are called otherwise, as ``{"val_mlogloss": "val_loss"}``.
        training: what the training set is called among ``evals``; ``"train"``, ``"training"`` or ``"dtrain"`` by
            default. Of an estimator it is ``"validation_0"``, if it is the first in ``eval_set``.
        min_epochs: a decision to stop before so many finished rounds is held until then.
        resume: what ``run.state_dict()`` gave, the path of a checkpoint, or a folder of checkpoints, of which the
            newest good one is taken: the first training goes on from it.
        resume_stopped: whether a run that had stopped goes on; without it no round is trained.
        plugins: as for ``trainhooks.wrap``.

    Raises:
        RegistrationError: a callback cannot be registered, or needs what XGBoost lacks.
        ValueError: a name in ``names`` has no place.
        FrameworkNotInstalledError: XGBoost is not installed.
    """
    options = trainhooks.WrapOptions(
        callbacks, min_epochs=min_epochs, resume=resume, resume_stopped=resume_stopped, plugins=plugins
    )
    options.driver(XGBoostTrainable(None))  # refuses what can be refused before any round is trained
    names = dict(names or {})
    for old, new in names.items():
        if old.startswith("val_") != new.startswith("val_"):
            raise ValueError(f"names={{{old!r}: {new!r}}}: a validation's metric stays one: both begin with 'val_'")
    return translation(options, names, num_boost_round, TRAINING if training is None else [training])


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
    """``xgboost.train`` or an estimator with ``callbacks``; which of ``evals`` is the training set it sees itself.

    Args:
        target: ``xgboost.train``, or an estimator as ``xgboost.XGBClassifier()``.
        callbacks, names, min_epochs, resume_stopped, plugins: as for ``bridge``.
        resume: as for ``bridge``; ``num_boost_round`` is the total.

    Raises:
        RegistrationError: a callback cannot be registered, or needs what XGBoost lacks.
        TypeError: ``target`` is neither.
    """
    made = bridge(
        callbacks, names=names, min_epochs=min_epochs, resume=resume, resume_stopped=resume_stopped, plugins=plugins
    )
    import xgboost

    if target is xgboost.train:
        return WrappedTrain(target, made)
    if target is xgboost.cv:
        raise TypeError(
            "wrap(xgboost.cv): it trains several boosters at once, and a run has one: wrap xgboost.train, and call it "
            "for each fold."
        )
    if not isinstance(target, getattr(xgboost, "XGBModel", ())):
        raise TypeError(f"wrap({target!r}): it is neither xgboost.train nor an estimator of XGBoost's")
    return WrappedEstimator(target, made)


class Plugin:
    """What trainhooks finds: it loads nothing to answer no."""

    @trainhooks.hookimpl
    def trainhooks_frameworks(self) -> dict[str, str]:
        return {"xgboost": "trainhooks[xgboost]"}

    @trainhooks.hookimpl
    def trainhooks_adapter(self, target: object) -> Callable[[trainhooks.WrapOptions], Any] | None:
        xgboost = sys.modules.get("xgboost")
        if xgboost is None:
            return None
        functions = (getattr(xgboost, "train", None), getattr(xgboost, "cv", None))  # it may be half imported
        if any(target is one for one in functions if one is not None):
            return functools.partial(_wrapped, target)
        return functools.partial(_wrapped, target) if isinstance(target, getattr(xgboost, "XGBModel", ())) else None


def _wrapped(target: Any, options: trainhooks.WrapOptions) -> Any:
    whence = "boosting has no optimizer; its rate is learning_rate in params"
    return wrap(target, **options.settings("xgboost", ["names"], optimizer=whence))


plugin = Plugin()
