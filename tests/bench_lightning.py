"""LightningBench: a tiny LightningModule under a Trainer, for the kits."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import lightning.pytorch as pl
import torch
from torch.utils.data import DataLoader

import trainhooks
from trainhooks import Callback, Run
from trainhooks.testing import BATCHES, Bench, Epoch

ROWS: Any = torch.arange(12.0, device="cpu").reshape(BATCHES * 3, 2) / 6
QUIET: dict[str, Any] = {
    "accelerator": "cpu",
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}

for _name in ("lightning.pytorch", "pytorch_lightning", "lightning.fabric"):
    logging.getLogger(_name).setLevel(logging.ERROR)


class TinyModule(pl.LightningModule):
    """A linear layer with dropout under SGD with momentum, in two parameter groups; it logs what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 1, device="cpu")
        self.history: Sequence[Epoch] = []
        self.evaluated: Mapping[str, float] = {}

    def configure_optimizers(self) -> Any:
        groups = [{"params": [self.layer.weight]}, {"params": [self.layer.bias], "lr": 0.0625}]
        return torch.optim.SGD(groups, lr=0.125, momentum=0.5)

    def on_train_epoch_start(self) -> None:
        told = Bench.told_in_validation(self.history[self.current_epoch])
        self.trainer.limit_val_batches = BATCHES if told else 0  # Lightning validates in all epochs, or in every n-th

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        told = Bench.told(self.history[self.current_epoch], batch_idx)
        self.log_dict({name: torch.tensor(value) for name, value in told.items()})
        return (torch.dropout(self.layer(batch), 0.25, train=True) - 1).square().mean()

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.layer(batch)
        if self.trainer.sanity_checking:
            self.log("val_loss", torch.tensor(float("nan")))
        elif self.evaluated:
            self.log_dict({name: torch.tensor(value) for name, value in self.evaluated.items()})
        else:
            told = Bench.told_in_validation(self.history[self.current_epoch])
            self.log_dict({f"val_{name}": torch.tensor(value) for name, value in told.items()})

    def predict_step(self, batch: Any, batch_idx: int) -> Any:
        return self.layer(batch)


class LightningBench(Bench):
    """Each training has a Trainer of its own, and all of them train one module."""

    lacks = frozenset({"optimizer_average", "mid_epoch"})

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.module = TinyModule()
        self.loader = DataLoader(ROWS, batch_size=3)
        self.trainer = self.trainer_for(0)

    def trainer_for(self, epochs: int) -> Any:
        return pl.Trainer(max_epochs=epochs, num_sanity_val_steps=1, **QUIET)

    def wrap(self, epochs: int, callbacks: Sequence[Callback], resume: Any = None) -> Any:
        self.trainer = self.trainer_for(epochs)
        return trainhooks.wrap(self.trainer, callbacks=callbacks, resume=resume, plugins="none")

    def train(self, history: Sequence[Epoch], callbacks: Sequence[Callback], *, resume: Any = None) -> Run:
        self.module.history, self.module.evaluated = history, {}
        wrapped = self.wrap(len(history), callbacks, resume)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            wrapped.fit(self.module, self.loader, self.loader)
        assert wrapped.run is not None
        return wrapped.run  # type: ignore[no-any-return]

    def stop_itself(self) -> None:
        self.trainer.should_stop = True

    def evaluate(self, metrics: Mapping[str, float], callbacks: Sequence[Callback]) -> Run | None:
        return self.evaluate_resumed(metrics, callbacks, None)

    def evaluate_resumed(self, metrics: Mapping[str, float], callbacks: Sequence[Callback], resume: Any) -> Run | None:
        return self.apart(callbacks, resume, lambda it: it.validate(self.module, self.loader, verbose=False), metrics)

    def predict(self, callbacks: Sequence[Callback]) -> Run | None:
        return self.apart(callbacks, None, lambda it: it.predict(self.module, self.loader), {})

    def apart(self, callbacks: Sequence[Callback], resume: Any, call: Any, metrics: Mapping[str, float]) -> Run | None:
        """A run by another Trainer, maybe inside a training: the module then goes back to that one."""
        trainer = self.module._trainer
        self.module.evaluated = metrics
        apart = trainhooks.wrap(pl.Trainer(**QUIET), callbacks=callbacks, resume=resume, plugins="none")
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", module="lightning")
                call(apart)
        finally:
            self.module.evaluated = {}
            if trainer is not None:
                self.module.trainer = trainer
                self.module.train()
        return apart.run  # type: ignore[no-any-return]

    def left_on(self) -> list[Any]:
        of_steps = ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks")
        hooks = [getattr(one, name) for one in self.trainer.optimizers for name in of_steps]
        hooks += [getattr(self.module, name) for name in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks")]
        left: list[Any] = [hook for some in hooks for hook in some.values()]
        return [*left, *self.trainer.callbacks, *["a stop"] * self.trainer.should_stop]


class Line(pl.LightningModule):
    """A linear layer under SGD, for tests to add to; ``log`` has what ``self.log`` is given with the loss."""

    def __init__(self, **log: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.how = torch.nn.Linear(2, 1, device="cpu"), log

    def forward(self, batch: Any) -> Any:
        return self.layer(batch)

    def loss(self, batch: Any) -> Any:
        return (self.layer(batch) - 1).square().mean()

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = self.loss(batch)
        self.log("loss", loss, **self.how)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", self.loss(batch))

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self.log("test_loss", self.loss(batch))

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.125)


def rows(size: int = 2) -> Any:
    """Six rows in batches of ``size``."""
    return DataLoader(ROWS, batch_size=size)


def wrapped(*callbacks: Callback, native: Sequence[Any] = (), resume: Any = None, **trainer: Any) -> Any:
    """A quiet Trainer with callbacks of ours, and with Lightning's own."""
    made = pl.Trainer(**{**QUIET, "callbacks": [*native], **trainer})
    return trainhooks.wrap(made, callbacks=callbacks, resume=resume, plugins="none")
