"""LightGBMBench: boosted stumps on twelve numbers, for the kits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import lightgbm
import numpy as np

import trainhooks
from trainhooks import Callback, Run
from trainhooks.testing import Bench, Epoch
from trainhooks.trainable import CAPABILITIES

ROWS = np.arange(12.0).reshape(6, 2) / 6
TREES = {"num_leaves": 2, "min_data_in_leaf": 1, "min_data_in_bin": 1, "learning_rate": 0.125}
QUIET = {"num_threads": 1, "verbosity": -1, "deterministic": True, "force_row_wise": True}
PARAMS: dict[str, Any] = {"objective": "regression", "metric": "None", **TREES, **QUIET}


class LightGBMBench(Bench):
    """Each round is one batch; the metrics are the user's own, and tell what the history says."""

    batches = 1
    looks_after_batches = True
    lacks = frozenset(CAPABILITIES) - {"lr", "read_lr", "state", "save"}

    def __init__(self) -> None:
        self.asked = False

    def train(self, history: Sequence[Epoch], callbacks: Sequence[Callback], *, resume: Any = None) -> Run:
        self.asked = False
        train = trainhooks.wrap(lightgbm.train, callbacks=callbacks, resume=resume, plugins="none")
        data = lightgbm.Dataset(ROWS, np.arange(6.0), params=PARAMS)  # of one that was trained on the rows are gone

        def metric(predictions: Any, evaluated: Any) -> list[tuple[str, float, bool]]:
            assert train.run is not None
            epoch = history[train.run.epoch]
            told = self.told(epoch, 0) if evaluated is data else self.told_in_validation(epoch)
            return [(name, value, False) for name, value in told.items()]

        def own(env: Any) -> None:
            if self.asked:
                raise lightgbm.callback.EarlyStopException(env.iteration, env.evaluation_result_list)

        sets = [data, data.create_valid(ROWS, np.ones(6))]
        train(PARAMS, data, len(history), sets, ["train", "held_out"], feval=metric, callbacks=[own])
        assert train.run is not None
        return train.run  # type: ignore[no-any-return]

    def stop_itself(self) -> None:
        self.asked = True
