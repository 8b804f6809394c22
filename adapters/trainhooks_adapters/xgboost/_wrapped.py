"""``xgboost.train``, and an estimator of XGBoost's, that carry callbacks."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterable
from typing import Any

import trainhooks

from ._in_turn import in_turn
from ._translation import TRAINING


class Carrying(trainhooks.Wrapped):
    """What trains with callbacks; all else is the target's own."""

    __slots__ = ()

    def _carry(self, rounds: int, training: Iterable[str], call: Callable[[], Any]) -> Any:
        bridge = self._bridge
        bridge.rounds, bridge.training = rounds, frozenset(training) or frozenset(TRAINING)
        try:
            return call()
        except BaseException as error:  # raised on
            bridge.over(error)
            raise


class WrappedTrain(Carrying):
    """``xgboost.train`` with callbacks: the same arguments, and the same result."""

    __slots__ = ()

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self._target)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        train = self._target
        if self._bridge.driver is not None:  # from inside a callback: no part of the run around it
            return train(*args, **kwargs)
        bound = inspect.signature(train).bind(*args, **kwargs)
        bound.apply_defaults()
        named = bound.arguments
        named["callbacks"] = joined(named["callbacks"], self._bridge, "xgboost.train")
        of_training = [name for data, name in named["evals"] or () if data is named["dtrain"]]
        return self._carry(named["num_boost_round"], of_training, lambda: train(**named))


class WrappedEstimator(Carrying):
    """An estimator whose ``fit`` carries callbacks; all else is its own."""

    __slots__ = ()

    def fit(self, *args: Any, **kwargs: Any) -> WrappedEstimator:
        """``estimator.fit`` with the callbacks; exception and teardown are certain."""
        model = self._target
        if self._bridge.driver is not None:  # from inside a callback: no part of the run around it
            model.fit(*args, **kwargs)
            return self
        named = inspect.signature(model.fit).bind(*args, **kwargs).arguments
        x, sets = named.get("X"), named.get("eval_set") or ()
        of_training = [f"validation_{place}" for place, data in enumerate(sets) if data[0] is x]
        native = model.callbacks
        model.callbacks = joined(native, self._bridge, type(model).__name__)
        try:
            self._carry(model.get_num_boosting_rounds(), of_training, lambda: model.fit(**named))
        finally:
            model.callbacks = native
        return self

    def set_params(self, **params: Any) -> WrappedEstimator:
        """As the estimator's own; it stays wrapped."""
        self._target.set_params(**params)
        return self

    def __sklearn_clone__(self) -> WrappedEstimator:
        """What scikit-learn trains in place of it, with callbacks of its own: copies of these."""
        from sklearn.base import clone

        return type(self)(clone(self._target), copy.deepcopy(self._bridge))


def joined(given: Any, bridge: Any, who: str) -> list[Any]:
    """XGBoost's own callbacks, then the bridge: what an earlier one stops, it is not told to have begun."""
    import xgboost

    native = list(given or ())
    for one in native:
        if isinstance(one, trainhooks.Callback):
            raise TypeError(
                f"{who}(callbacks=[{one!r}]): it is no XGBoost callback; give it to wrap(..., callbacks=[...])"
            )
    if not native or not all(isinstance(one, xgboost.callback.TrainingCallback) for one in native):
        return [*native, bridge]  # XGBoost itself refuses what is none
    return [in_turn([*native, bridge])]
