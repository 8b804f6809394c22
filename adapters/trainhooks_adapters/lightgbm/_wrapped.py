"""``lightgbm.train``, and an estimator of LightGBM's, that carry callbacks."""

from __future__ import annotations

import copy
import inspect
import warnings
from collections import OrderedDict, defaultdict
from collections.abc import Mapping
from typing import Any, Final

import trainhooks
from trainhooks import errors

from ._translation import TRAINING, Bridge

ROUNDS: Final = (
    *("num_iterations", "num_iteration", "n_iter", "num_tree", "num_trees", "num_round", "num_rounds", "nrounds"),
    *("num_boost_round", "n_estimators", "max_iter"),
)
"""What the number of rounds is called in ``params``, the main name first."""


class WrappedTrain(trainhooks.Wrapped):
    """``lightgbm.train`` with callbacks: the same arguments, and the same result."""

    __slots__ = ()

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self._target)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        train, bridge = self._target, self._bridge
        if bridge.driver is not None:  # from inside a callback: no part of the run around it
            return train(*args, **kwargs)
        bound = inspect.signature(train).bind(*args, **kwargs)
        bound.apply_defaults()
        named = bound.arguments
        named["callbacks"] = joined(named["callbacks"], bridge, "lightgbm.train")
        names, sets = listed(named["valid_names"]), listed(named["valid_sets"])
        bridge.training = frozenset(
            names[place] if place < len(names) else TRAINING
            for place, one in enumerate(sets)
            if one is named["train_set"]
        ) or frozenset([TRAINING])
        with bridge.carried(named["params"]) as driver:
            total = rounds_of(named["params"], named["num_boost_round"])
            left = _left(driver, total + _rounds_in(named["init_model"]))
            if left == 0:
                return _nothing_to_train(bridge, driver)
            if driver.run.resumed:
                named["params"] = {name: one for name, one in named["params"].items() if name not in ROUNDS}
                named["num_boost_round"] = left
                named["init_model"] = _begin_with(bridge, named["init_model"])
            booster = train(**named)
            finish(bridge, driver, booster)
        return booster


class WrappedEstimator(trainhooks.Wrapped):
    """An estimator whose ``fit`` carries callbacks; all else is its own."""

    __slots__ = ()

    def fit(self, *args: Any, **kwargs: Any) -> WrappedEstimator:
        """``estimator.fit`` with the callbacks; exception and teardown are certain.

        Where a run that goes on has no round left to train the estimator stays as it is.
        """
        model, bridge = self._target, self._bridge
        if bridge.driver is not None:  # from inside a callback: no part of the run around it
            model.fit(*args, **kwargs)
            return self
        named = inspect.signature(model.fit).bind(*args, **kwargs).arguments
        named["callbacks"] = joined(named.get("callbacks"), bridge, type(model).__name__)
        names = listed(named.get("eval_names"))
        bridge.training = frozenset(
            name
            for place, x in enumerate(_evaluated(named))
            if x is named.get("X")  # a classifier of LightGBM 4.7 takes it for another among eval_X
            for name in ([names[place]] if place < len(names) else [TRAINING, f"valid_{place}"])
        ) or frozenset([TRAINING])
        params = model.get_params()
        asked = next((name for name in ROUNDS if params.get(name) is not None), "n_estimators")
        with bridge.carried(params) as driver:
            left = _left(driver, params[asked] + _rounds_in(named.get("init_model")))
            if left == 0:
                _nothing_to_train(bridge, driver)
                return self
            if driver.run.resumed:
                model.set_params(**{asked: left})
                named["init_model"] = _begin_with(bridge, named.get("init_model"))
            try:
                model.fit(**named)
            finally:
                model.set_params(**{asked: params[asked]})
            finish(bridge, driver, model.booster_)
            # no public name sets what the estimator tells of them
            model._best_iteration, model._best_score = model.booster_.best_iteration, model.booster_.best_score
        return self

    def set_params(self, **params: Any) -> WrappedEstimator:
        """As the estimator's own; it stays wrapped."""
        self._target.set_params(**params)
        return self

    def __sklearn_clone__(self) -> WrappedEstimator:
        """What scikit-learn trains in place of it, with callbacks of its own: copies of these."""
        from sklearn.base import clone

        return type(self)(clone(self._target), copy.deepcopy(self._bridge))


def finish(bridge: Bridge, driver: trainhooks.Driver, booster: Any) -> None:
    """Training ended, and no callback was told."""
    run = driver.run
    driver.close_down(2)
    if run.max_epochs is not None and run.epochs_done < run.max_epochs and not run.should_stop:
        run.stop("a callback of LightGBM's own ended training", source="lightgbm")
        driver.attend()
    elif run.stop_kind != "pause" and (best := bridge.best_epoch) is not None:
        booster.best_iteration = best + 1  # as LightGBM's own early_stopping sets it; no round is taken out
        if bridge.best_results:
            booster.best_score = defaultdict(OrderedDict)
            for name, metric, value, *_ in bridge.best_results:
                booster.best_score[name][metric] = value


def joined(given: Any, bridge: Bridge, who: str) -> list[Any]:
    """LightGBM's own callbacks, and the bridge's."""
    native = listed(given)
    for one in native:
        if isinstance(one, trainhooks.Callback):
            raise TypeError(
                f"{who}(callbacks=[{one!r}]): it is no LightGBM callback; give it to wrap(..., callbacks=[...])"
            )
    return [*native, *bridge]


def listed(given: Any) -> list[Any]:
    """A list, where LightGBM takes one value alone too."""
    return [] if given is None else list(given) if isinstance(given, (list, tuple, set)) else [given]


def rounds_of(params: Mapping[str, Any], given: int) -> int:
    """How many rounds are asked for: LightGBM heeds ``params`` first."""
    return int(next((params[name] for name in ROUNDS if params.get(name) is not None), given))


def _evaluated(named: Mapping[str, Any]) -> list[Any]:
    """The rows of each set that ``fit`` is to evaluate."""
    if (rows := named.get("eval_X")) is not None:  # LightGBM 4.7 has it in place of eval_set
        return list(rows) if isinstance(rows, tuple) else [rows]
    sets = named.get("eval_set") or []
    return [one[0] for one in ([sets] if isinstance(sets, tuple) else sets)]


def _rounds_in(model: Any) -> int:
    """How many rounds an ``init_model`` has."""
    import lightgbm

    if model is None:
        return 0
    booster = getattr(model, "booster_", model)
    if not isinstance(booster, lightgbm.Booster):
        booster = lightgbm.Booster(model_file=booster)
    return int(booster.current_iteration())


def _begin_with(bridge: Bridge, given: Any) -> Any:
    return given if bridge.trainable.begin_with is None else bridge.trainable.begin_with


def _left(driver: trainhooks.Driver, total: int) -> int:
    """How many rounds are left to train; 0 where the run is stopped."""
    run = driver.run
    if not run.resumed:
        return total
    if not run.should_stop and run.epochs_done >= total:
        warnings.warn(
            f"num_boost_round={total}: the run that goes on has {run.epochs_done} rounds behind it, so that none is "
            "left to train. Ask for more, or begin anew without its state.",
            stacklevel=3,
        )
    driver.progress.max_epochs = total
    return 0 if run.should_stop else max(0, total - run.epochs_done)


def _nothing_to_train(bridge: Bridge, driver: trainhooks.Driver) -> Any:
    """The run of a training that LightGBM is not asked for: it trains one round at least."""
    if bridge.trainable.begin_with is None:
        raise errors.LoopError("the state is of another trainer, so that it has no booster, and no round is left.")
    driver.open("train")
    driver.close("train")
    return bridge.trainable.begin_with
