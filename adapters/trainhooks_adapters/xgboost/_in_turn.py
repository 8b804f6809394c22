"""InTurn: several native callbacks as one, so that their order is certain: XGBoost 3.0 has them in a set."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Any


class InTurn:
    """Calls native callbacks in the order of a list; ``in_turn`` makes a ``TrainingCallback`` of it."""

    callbacks: tuple[Any, ...] = ()

    def before_training(self, model: Any) -> Any:
        for one in self.callbacks:
            model = one.before_training(model=model)
        return model

    def before_iteration(self, model: Any, epoch: int, evals_log: Mapping[str, Any]) -> bool:
        return any(one.before_iteration(model, epoch, evals_log) for one in self.callbacks)

    def after_iteration(self, model: Any, epoch: int, evals_log: Mapping[str, Any]) -> bool:
        return any(one.after_iteration(model, epoch, evals_log) for one in self.callbacks)

    def after_training(self, model: Any) -> Any:
        for one in self.callbacks:
            model = one.after_training(model=model)
        return model


@functools.cache
def _native_class() -> type[Any]:
    import xgboost

    return type("InTurn", (InTurn, xgboost.callback.TrainingCallback), {})


def in_turn(callbacks: Iterable[Any]) -> Any:
    """One native callback that calls these in turn, each once."""
    made = _native_class()()
    made.callbacks = tuple(dict.fromkeys(callbacks))
    return made
