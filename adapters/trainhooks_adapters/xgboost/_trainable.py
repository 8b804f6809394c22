"""XGBoostTrainable: the verbs over a booster in training."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

import trainhooks
from trainhooks import errors

LACKS: Final = {
    "batches": "a boosting round has no batches: use on_epoch_end.",
    "batch_logs": "a boosting round has one value of each metric: use logs.",
    "mid_epoch": "XGBoost trains whole rounds, and goes on between two of them.",
    "end_epoch": "a boosting round cannot be cut short: call run.stop(...).",
    "data_wait": "XGBoost has all its data before the first round.",
    "weights": "a booster has trees and no weights: use run.model, or ModelCheckpoint('model.ubj') for its file.",
    "snapshot": (
        "a booster keeps all its rounds, so that none need be brought back: leave restore_best_weights out. After "
        "EarlyStopping booster.best_iteration is set, and booster[: booster.best_iteration + 1] has the best rounds."
    ),
    "optimizer_step": "boosting has no optimizer: each epoch is one round, so use on_epoch_end.",
    "gradients": "trees are grown, and no gradient moves weights that could be clipped: there is max_delta_step.",
    "average": "a booster has no weights to average.",
    "optimizer_average": "boosting has no optimizer that could keep an average.",
    "graph": "a booster has trees and no layers: there is xgboost.to_graphviz(run.model).",
    "embeddings": "a booster has no embedding layers.",
    "profile": "XGBoost has no profiler to begin and end: verbosity=3 among its parameters prints the times.",
}

_UP: Final = ("auc", "aucpr", "pre", "map", "ndcg", "interval-regression-accuracy")
_DOWN: Final = (
    *("rmse", "rmsle", "mae", "mape", "mphe", "logloss", "error", "merror", "mlogloss", "quantile", "expectile"),
    *("poisson-nloglik", "gamma-nloglik", "gamma-deviance", "tweedie-nloglik", "cox-nloglik", "aft-nloglik"),
)


def direction_of(metric: str) -> Literal["min", "max"] | None:
    """Which way a metric of XGBoost's own is better, as ``ndcg@5``; None of another's."""
    name = metric.partition("@")[0].removesuffix("-")
    return "max" if name in _UP else "min" if name in _DOWN else None


class XGBoostTrainable(trainhooks.Trainable):
    """A booster in training.

    Args:
        booster: the ``xgboost.Booster``; None before there is one.

    Attributes:
        directions: which way each metric is better, by its name in the logs, as far as that is known.
    """

    framework = "xgboost"
    formats = {".ubj": "the booster in binary JSON", ".json": "the booster in JSON"}

    def __init__(self, booster: Any) -> None:
        self.model = booster
        self.directions: dict[str, Literal["min", "max"] | None] = {}
        self._lr: float | None = None

    def missing(self, need: str) -> str | None:
        return LACKS.get(need) or super().missing(need)

    def direction(self, metric: str) -> Literal["min", "max"] | None:
        return self.directions.get(metric, direction_of(metric.removeprefix("val_")))

    def get_lrs(self) -> list[float]:
        # XGBoost holds a float32, which a callback of its own may have set since
        there = next(_found("learning_rate", json.loads(self.model.save_config())))
        if self._lr is None or np.float32(self._lr) != np.float32(there):
            self._lr = float(str(np.float32(there)))
        return [self._lr]

    def set_lrs(self, lrs: Sequence[float]) -> None:
        if len(lrs) != 1:
            raise ValueError(f"run.lrs = {list(lrs)!r}: the parameter groups are 1, the values {len(lrs)}")
        (self._lr,) = lrs
        self.model.set_param("learning_rate", repr(float(lrs[0])))

    def state_dict(self) -> dict[str, Any]:
        raw = np.frombuffer(self.model.save_raw("ubj"), np.uint8).copy()
        return {
            "lr": self.get_lrs()[0],
            "rounds": self.model.num_boosted_rounds(),
            "bytes": len(raw),
            "booster": raw,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        import xgboost

        raw = bytearray(np.asarray(state["booster"]).tobytes())
        if len(raw) != state["bytes"]:  # XGBoost reads over what follows
            raise errors.WeightsError(f"the booster is of {state['bytes']} bytes, given {len(raw)}. Nothing was read.")
        loaded = xgboost.Booster()
        try:
            loaded.load_model(raw)
        except xgboost.core.XGBoostError as error:
            raise errors.WeightsError(f"XGBoost cannot read the booster: {error}") from error
        config = self.model.save_config()  # what the user's params say: a booster that loads forgets them
        before, given = _shape(config), _shape(loaded.save_config())
        if before != given:
            raise errors.WeightsError(
                f"the booster is of {given}, and this training is of {before}. Nothing was written."
            )
        self.model.load_model(raw)
        self.model.load_config(config)
        self.set_lrs([state["lr"]])

    def save(self, path: Path) -> None:
        self.model.save_model(path)


def _shape(config: str) -> str:
    params = json.loads(config)["learner"]["learner_model_param"]
    names = {"num_feature": "features", "num_class": "classes", "num_target": "targets"}
    return ", ".join(f"{params[name]} {what}" for name, what in names.items() if name in params)


def _found(name: str, config: Any) -> Iterator[str]:
    """The values of a parameter: where it stands depends on the kind of booster."""
    if isinstance(config, dict):
        if isinstance(config.get(name), str):
            yield config[name]
        for inner in config.values():
            yield from _found(name, inner)
