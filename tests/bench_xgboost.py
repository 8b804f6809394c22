"""XGBoostBench: boosted stumps on twelve rows, for the kits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xgboost

import trainhooks
from trainhooks import Callback, Run
from trainhooks.testing import Bench, Epoch
from trainhooks.trainable import CAPABILITIES

ROWS = np.arange(12.0, dtype=np.float32).reshape(6, 2) / 6
PARAMS = {"nthread": 1, "max_depth": 1, "base_score": 0.0, "disable_default_eval_metric": 1, "verbosity": 0}


class Stops(xgboost.callback.TrainingCallback):
    """A user's own callback, that ends training once it is asked to."""

    asked = False

    def before_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        return self.asked


class XGBoostBench(Bench):
    """Each round is one batch; the metrics are the user's own, and tell what the history says."""

    batches = 1
    looks_after_batches = True
    lacks = frozenset(CAPABILITIES) - {"lr", "read_lr", "state", "save"}

    def __init__(self) -> None:
        self.dtrain = xgboost.DMatrix(ROWS, np.arange(6.0), nthread=1)
        self.dval = xgboost.DMatrix(ROWS, np.ones(6), nthread=1)
        self.own = Stops()

    def train(self, history: Sequence[Epoch], callbacks: Sequence[Callback], *, resume: Any = None) -> Run:
        self.own = Stops()
        train = trainhooks.wrap(xgboost.train, callbacks=callbacks, resume=resume, plugins="none")

        def metric(predictions: Any, data: Any) -> list[tuple[str, float]]:
            assert train.run is not None
            epoch = history[train.run.epoch]
            told = self.told(epoch, 0) if data is self.dtrain else self.told_in_validation(epoch)
            return list(told.items())

        given: dict[str, Any] = {"custom_metric": metric, "callbacks": [self.own], "verbose_eval": False}
        given["evals"] = [(self.dtrain, "train"), (self.dval, "held_out")]
        train(PARAMS, self.dtrain, len(history), **given)
        assert train.run is not None
        return train.run  # type: ignore[no-any-return]

    def stop_itself(self) -> None:
        self.own.asked = True
