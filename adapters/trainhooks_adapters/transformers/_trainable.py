"""TransformersTrainable: the verbs over what a Trainer trains."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from trainhooks_adapters.torch import TorchTrainable


class TransformersTrainable(TorchTrainable):
    """A Trainer's model, its optimizer and its scheduler.

    Args:
        model: as the Trainer holds it, with nothing around it.
        optimizer: the Trainer's; one that is no ``torch.optim.Optimizer`` (DeepSpeed's) is left out.
        lr_scheduler: the Trainer's; left out likewise.
        schedule: what the Trainer's own schedule is called, as ``"linear"``.
        is_watched: whether each batch's own loss is seen.

    Attributes:
        held: the learning rates that a callback has set; the Trainer's scheduler sets others at each step.
    """

    framework = "transformers"
    held: list[float] | None = None
    _is_apart = False

    def __init__(
        self,
        model: Any,
        optimizer: Any = None,
        lr_scheduler: Any = None,
        *,
        schedule: str = "constant",
        is_watched: bool = False,
    ) -> None:
        import torch

        schedulers = (torch.optim.lr_scheduler.LRScheduler, torch.optim.lr_scheduler.ReduceLROnPlateau)
        optimizer = optimizer if isinstance(optimizer, torch.optim.Optimizer) else None
        known = optimizer is not None and isinstance(lr_scheduler, schedulers)
        scaler = getattr(optimizer, "scaler", None)  # accelerate's has it
        super().__init__(
            model,
            optimizer,
            lr_scheduler=lr_scheduler if known else None,
            scaler=scaler if isinstance(scaler, torch.amp.GradScaler) else None,
        )
        self._schedule, self._is_watched = schedule, is_watched

    def missing(self, need: str) -> str | None:
        if need == "mid_epoch" and not self._is_apart:
            return (
                "The Trainer goes on inside an epoch from its own checkpoints only: "
                "train(resume_from_checkpoint=...) takes the callbacks along."
            )
        if need == "state" and self._is_apart:
            return "the Trainer's own checkpoint holds it."
        if need == "batch_logs" and not getattr(self, "_is_watched", True):
            return "the Trainer tells its callbacks no batch's own loss: use wrap(trainer, callbacks=[...])."
        return super().missing(need)

    @contextlib.contextmanager
    def apart(self) -> Iterator[None]:
        """For as long, the state of the run is one beside a checkpoint of the Trainer's, which holds what is trained
        and can be gone on from inside an epoch."""
        self._is_apart = True
        try:
            yield
        finally:
            self._is_apart = False

    def set_lrs(self, lrs: Sequence[float]) -> None:
        count = len(self.get_lrs())
        if len(lrs) != count:
            raise ValueError(f"run.lrs = {list(lrs)!r}: the parameter groups are {count}, the values {len(lrs)}")
        if self.held is None and self._schedule != "constant":
            warnings.warn(
                f"run.lr was set: from now on it holds, and the Trainer's own schedule ({self._schedule!r}) sets "
                "nothing more. Let one of the two own the learning rate: give lr_scheduler_type='constant', or leave "
                "out the callback.",
                stacklevel=4,  # where a hook says run.lr = ...
            )
        self.held = [float(lr) for lr in lrs]
        self.hold()

    def hold(self) -> None:
        """Set once more what a callback has set."""
        if self.held is not None:
            for scheduler in self._parts.schedulers:
                scheduler._last_lr = list(self.held)  # what the Trainer logs as its learning rate
            for group, lr in zip(self.optimizer.param_groups, self.held, strict=True):
                if hasattr(group["lr"], "fill_"):  # a tensor stays the same one
                    group["lr"].detach().fill_(lr)
                else:
                    group["lr"] = lr

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "held": self.held}

    def state_snapshot(self) -> dict[str, Any]:
        return {**super().state_snapshot(), "held": self.held}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self.held = None if state["held"] is None else [float(lr) for lr in state["held"]]
