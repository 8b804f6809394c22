"""TransformersBench: a tiny PyTorch module under Hugging Face's Trainer, for the kits."""

from __future__ import annotations

import gc
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import transformers

import trainhooks
from trainhooks import Callback, Run
from trainhooks.testing import BATCHES, Bench, Epoch

transformers.logging.set_verbosity(logging.CRITICAL)
_ = transformers.Trainer  # imported when it is first asked for
gc.freeze()  # each training collects garbage, and need not look through all that these imports made

ROWS = torch.arange(12.0, device="cpu").reshape(BATCHES * 3, 2) / 6
DATA = [{"x": row, "labels": row[:1]} for row in ROWS]
"""The Trainer asks for a loss in an evaluation where there are labels."""


class Script(transformers.TrainerCallback):
    """Says what is to be reported now; the model asks it at each step."""

    def __init__(self, history: Sequence[Epoch]) -> None:
        self.history, self.epoch, self.batch = history, -1, 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **native: Any) -> None:
        self.epoch = int(state.epoch or 0) - 1

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **native: Any) -> None:
        self.epoch, self.batch = self.epoch + 1, 0

    def on_epoch_end(self, args: Any, state: Any, control: Any, **native: Any) -> None:
        if not Bench.told_in_validation(self.history[self.epoch]):
            control.should_evaluate = False


class Model(torch.nn.Module):
    """A linear layer with dropout, whose loss is what its script tells, with the gradient of the outputs' mean."""

    def __init__(self) -> None:
        super().__init__()
        self.drop, self.dense = torch.nn.Dropout(0.25), torch.nn.Linear(2, 1)
        self.script = Script([])

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        script = self.script
        epoch = script.history[script.epoch]
        if self.training:
            told = Bench.told(epoch, script.batch)
            script.batch += 1
        else:
            told = Bench.told_in_validation(epoch)
        outputs = self.dense(self.drop(x))
        mean = outputs.mean()
        return {"loss": told.get("loss", 0.0) + (mean - mean.detach()), "outputs": outputs}


class TransformersBench(Bench):
    """Adam over two parameter groups, with the Trainer's usual schedule."""

    lacks = frozenset({"mid_epoch", "optimizer_average"})
    looks_after_batches = True

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.model = Model()
        self.trainer = self.make()

    def make(self, callbacks: Sequence[Any] = (), data: Any = DATA, eval_data: Any = DATA, **changed: Any) -> Any:
        """A Trainer of the model; what is in ``changed`` is given to its ``TrainingArguments``."""
        given: dict[str, Any] = {
            "output_dir": "unused",
            "per_device_train_batch_size": 3,
            "per_device_eval_batch_size": 3,
            "num_train_epochs": 2,
            "learning_rate": 0.125,
            "eval_strategy": "epoch",
            "logging_strategy": "no",
            "save_strategy": "no",
            "report_to": [],
            "disable_tqdm": True,
            "use_cpu": True,
            "optim": "adamw_torch",
            "remove_unused_columns": False,
        }
        args = transformers.TrainingArguments(**(given | changed))
        native = [self.model.script, *callbacks]
        trainer = transformers.Trainer(self.model, args, train_dataset=data, eval_dataset=eval_data, callbacks=native)
        trainer.remove_callback(transformers.PrinterCallback)
        return trainer

    def wrap(self, callbacks: Sequence[Callback], resume: Any = None) -> Any:
        return trainhooks.wrap(self.trainer, callbacks=callbacks, resume=resume, plugins="none")

    def train(self, history: Sequence[Epoch], callbacks: Sequence[Callback], *, resume: Any = None) -> Run:
        self.model.script.history = history
        self.trainer.args.num_train_epochs = len(history)
        wrapped = self.wrap(callbacks, resume)
        wrapped.train()
        return wrapped.run  # type: ignore[no-any-return]

    def evaluate(self, metrics: Mapping[str, float], callbacks: Sequence[Callback]) -> Run | None:
        return self.evaluate_resumed(metrics, callbacks, None)

    def evaluate_resumed(self, metrics: Mapping[str, float], callbacks: Sequence[Callback], resume: Any) -> Run | None:
        script = self.model.script
        before, script.history = script.history, [{f"val_{name}": value for name, value in metrics.items()}] * 9
        wrapped = self.wrap(callbacks, resume)
        try:
            wrapped.evaluate()
        finally:
            script.history = before
        return wrapped.run  # type: ignore[no-any-return]

    def predict(self, callbacks: Sequence[Callback]) -> Run | None:
        self.model.script.history = [{}] * 9
        wrapped = self.wrap(callbacks)
        wrapped.predict(DATA)
        return wrapped.run  # type: ignore[no-any-return]

    def stop_itself(self) -> None:
        self.trainer.control.should_training_stop = True

    def left_on(self) -> list[Any]:
        methods = ("training_step", "prediction_step", "evaluate", "predict")
        left = [name for name in methods if name in vars(self.trainer)]
        left += [one for one in self.trainer.callback_handler.callbacks if type(one).__name__ == "Bridge"]
        optimizer = getattr(self.trainer.optimizer, "optimizer", self.trainer.optimizer)
        for name in ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks"):
            left += getattr(optimizer, name, {}).values()
        return left + list(self.model._forward_hooks.values())
