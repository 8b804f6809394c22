"""LightGBMTrainable: the verbs over a booster in training, or one that is to be trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

import trainhooks
from trainhooks import errors

LACKS: Final = {
    "batches": "a boosting round has no batches: use on_epoch_end.",
    "batch_logs": "a boosting round has one value of each metric: use logs.",
    "mid_epoch": "LightGBM trains whole rounds, and goes on between two of them.",
    "end_epoch": "a boosting round cannot be cut short: call run.stop(...).",
    "data_wait": "LightGBM has all its data before the first round.",
    "weights": "a booster has trees and no weights: use run.model, or ModelCheckpoint('model.txt') for its file.",
    "snapshot": (
        "a booster keeps all its rounds, so that none need be brought back: leave restore_best_weights out. With "
        "trainhooks.wrap booster.best_iteration is set after EarlyStopping, and predict() takes the best rounds."
    ),
    "optimizer_step": "boosting has no optimizer: each epoch is one round, so use on_epoch_end.",
    "gradients": "trees are grown, and no gradient moves weights that could be clipped: there is max_delta_step.",
    "average": "a booster has no weights to average.",
    "optimizer_average": "boosting has no optimizer that could keep an average.",
    "graph": "a booster has trees and no layers: there is lightgbm.create_tree_digraph(run.model).",
    "embeddings": "a booster has no embedding layers.",
    "profile": "LightGBM has no profiler to begin and end: verbosity=2 among its parameters prints more.",
}

RATES: Final = ("learning_rate", "shrinkage_rate", "eta")
"""What the learning rate is called in ``params``, the main name first."""


class LightGBMTrainable(trainhooks.Trainable):
    """A booster in training; until LightGBM has made it, what it is to begin with.

    Args:
        params: what LightGBM was given.

    Attributes:
        begin_with: the booster that training goes on from; None to begin anew.
        directions: which way each metric is better, by its name in the logs, as far as that is known.
    """

    framework = "lightgbm"
    formats = {".txt": "the booster as LightGBM's text"}

    def __init__(self, params: Mapping[str, Any] | None = None) -> None:
        self.begin_with: Any = None
        self.directions: dict[str, Literal["min", "max"]] = {}
        self._params: Any = dict(params or {})
        self._asked: float | None = None
        """A learning rate that was set before there was a booster."""

    def begin(self, booster: Any, params: dict[str, Any]) -> None:
        """Training begins, with this booster; ``params`` is what LightGBM's own callbacks see and change."""
        self.model, self._params = booster, params
        asked, self._asked = self._asked, None
        if asked is not None:
            self.set_lrs([asked])

    def missing(self, need: str) -> str | None:
        return LACKS.get(need) or super().missing(need)

    def direction(self, metric: str) -> Literal["min", "max"] | None:
        return self.directions.get(metric)

    def get_lrs(self) -> list[float]:
        if self._asked is not None:
            return [self._asked]
        return [float(next((self._params[name] for name in RATES if self._params.get(name) is not None), 0.1))]

    def set_lrs(self, lrs: Sequence[float]) -> None:
        if len(lrs) != 1:
            raise ValueError(f"run.lrs = {list(lrs)!r}: the parameter groups are 1, the values {len(lrs)}")
        lr = float(lrs[0])
        if lr == 0:
            raise ValueError("run.lr = 0: LightGBM's learning rate is above 0. Give a small one, or stop the run.")
        if self.model is None:
            self._asked = lr
        else:
            self.model.reset_parameter({RATES[0]: lr})
            self._params[RATES[0]] = lr  # LightGBM's own reset_parameter(...) compares with it

    def state_dict(self) -> dict[str, Any]:
        booster = self.begin_with if self.model is None else self.model
        if booster is None:
            raise errors.NoWeightsError("LightGBM makes its booster as the first round begins: there is none yet.")
        text = booster.model_to_string(num_iteration=-1).encode()
        return {
            "lr": self.get_lrs()[0],
            "rounds": booster.current_iteration(),
            "bytes": len(text),
            "booster": np.frombuffer(text, np.uint8).copy(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        import lightgbm

        text = np.asarray(state["booster"]).tobytes()
        if len(text) != state["bytes"]:  # LightGBM reads over what follows
            raise errors.WeightsError(f"the booster is of {state['bytes']} bytes, given {len(text)}. Nothing was read.")
        if self.model is not None and self.model.current_iteration() != state["rounds"]:
            raise errors.LoopError(
                f"the state is of {state['rounds']} rounds, and LightGBM's training has begun with "
                f"{self.model.current_iteration()}: its callbacks cannot give it others. Use "
                "trainhooks.wrap(lightgbm.train, callbacks=[...]), or give training the booster as init_model."
            )
        try:
            loaded = lightgbm.Booster(model_str=text.decode())
        except (lightgbm.basic.LightGBMError, UnicodeDecodeError) as error:
            raise errors.WeightsError(f"LightGBM cannot read the booster: {error}") from error
        if self.model is None:
            self.begin_with = loaded
        self.set_lrs([state["lr"]])

    def save(self, path: Path) -> None:
        self.model.save_model(path, num_iteration=-1)
