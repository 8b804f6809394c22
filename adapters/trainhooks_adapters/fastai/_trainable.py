"""FastaiTrainable: the verbs over a Learner's model and optimizer."""

from __future__ import annotations

import random
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from trainhooks import errors
from trainhooks_adapters.torch import TorchTrainable

from ._optimizer import AsTorch, as_torch

_OPTIMIZER: Final = ("lr", "read_lr", "optimizer_step", "gradients")
_ZERO: Final = "zero"
"""In a state, in place of a gradient of zeros."""


class FastaiTrainable(TorchTrainable):
    """The model and the optimizer that a Learner has now; it makes its optimizer as its first fit begins.

    Args:
        learn: the Learner.
    """

    framework = "fastai"

    def __init__(self, learn: Any) -> None:
        self.learn, self._has_warned = learn, False
        optimizer = None if learn.opt is None else as_torch(learn.opt)
        super().__init__(learn.model, optimizer, scaler=vars(learn).get("scaler"))

    def missing(self, need: str) -> str | None:
        if need == "mid_epoch":
            return "fastai's fit begins at an epoch, never inside one."
        if need in _OPTIMIZER:
            return None  # every fit has an optimizer, which may not be made yet
        return super().missing(need)

    def _check_optimizer(self) -> None:
        if self.optimizer is None:
            reason = "the Learner has no optimizer yet: it makes one in its first fit, or in learn.create_opt()."
            raise errors.lacking("run.lr", "lr", reason)

    def get_lrs(self) -> list[float]:
        self._check_optimizer()
        return super().get_lrs()

    def set_lrs(self, lrs: Sequence[float]) -> None:
        self._check_optimizer()
        if not self._has_warned and any("lr" in vars(one).get("scheds", ()) for one in self.learn.cbs):
            self._has_warned = True
            warnings.warn(_SCHEDULED, stacklevel=4)  # where a hook says run.lr = ...
        super().set_lrs(lrs)

    def state_dict(self) -> dict[str, Any]:
        return self._without_zeros(super().state_dict())

    def state_snapshot(self) -> dict[str, Any]:
        return self._without_zeros(super().state_snapshot())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        own = self._own_parameters()
        if own and len(state["optimizers"]) == 1 == len(state["gradients"]):
            entries, gradients = state["optimizers"][0]["state"], list(state["gradients"][0])
            for place, (number, parameter) in enumerate(own):
                for name in ("grad_avg", "sqr_avg"):
                    shape = np.shape(entries.get(number, {}).get(name, 0.0))
                    if shape not in ((), tuple(parameter.shape)):
                        raise errors.WeightsError(
                            f"load_state_dict(): {name!r} of the optimizer for parameter {number} is {shape}, and the "
                            f"parameter {tuple(parameter.shape)}. Nothing was written."
                        )
                if gradients[place : place + 1] == [_ZERO]:
                    gradients[place] = np.zeros(tuple(parameter.shape), np.float32)
            state = {**state, "gradients": [gradients]}
        super().load_state_dict(state)

    def _without_zeros(self, state: dict[str, Any]) -> dict[str, Any]:
        """fastai sets gradients that are used to zeros: they need no room."""
        for place, (_, parameter) in enumerate(self._own_parameters()):
            gradients = state["gradients"][0]
            if gradients[place] is not None and not parameter.grad.any():
                gradients[place] = _ZERO
        return state

    def _own_parameters(self) -> list[tuple[str, Any]]:
        """Those of an optimizer of fastai's own, by their numbers; none of another."""
        return [*self.optimizer.parameters()] if isinstance(self.optimizer, AsTorch) else []

    def random_state(self, loader: Any = None) -> dict[str, Any]:
        return {
            **super().random_state(self._training(loader)),
            "dls": [_numbers(one) for one in self._generators_of_dls()],
        }

    def load_random_state(self, state: Mapping[str, Any], loader: Any = None, *, new_only: bool = False) -> None:
        super().load_random_state(state, self._training(loader), new_only=new_only)
        if not new_only:
            for generator, saved in zip(self._generators_of_dls(), state.get("dls", ()), strict=False):
                version, numbers, gauss = saved
                generator.setstate((version, tuple(np.asarray(numbers).tolist()), gauss))

    def _training(self, loader: Any) -> Any:
        return next(iter(self._loaders()), None) if loader is None else loader

    def _loaders(self) -> Sequence[Any]:
        return getattr(self.learn.dls, "loaders", ())

    def _generators_of_dls(self) -> list[random.Random]:
        """Those that fastai's DataLoaders shuffle by; each pass makes a new one of the last."""
        held = (vars(one).get("rng") for one in self._loaders() if hasattr(one, "__dict__"))
        return [one for one in held if isinstance(one, random.Random)]


def _numbers(generator: random.Random) -> list[Any]:
    version, numbers, gauss = generator.getstate()
    return [version, np.array(numbers, np.uint32), gauss]


_SCHEDULED: Final = (
    "run.lr was set, and fastai's ParamScheduler, as in fit_one_cycle, sets it anew before each batch: only what "
    "train_batch_begin sets comes after it. Let one of the two own the learning rate: train with fit, or leave out the "
    "callback."
)
