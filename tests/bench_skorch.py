"""SkorchBench: a tiny PyTorch module under a skorch net, for the kits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from skorch import NeuralNet, NeuralNetRegressor
from skorch.callbacks import Callback as NativeCallback
from skorch.callbacks import PassthroughScoring
from skorch.dataset import Dataset, ValidSplit
from trainhooks_adapters.skorch import bridge as bridge_of

import trainhooks
from trainhooks import Callback, Run
from trainhooks.testing import BATCHES, Bench, Epoch

ROWS = np.arange(12.0, dtype=np.float32).reshape(BATCHES * 3, 2) / 6
TARGETS = np.ones((BATCHES * 3, 1), np.float32)


class Script(NativeCallback):  # type: ignore[misc]
    """Says what is to be reported now, validates where the history has it, and stops the net when it is told to."""

    def __init__(self, history: Sequence[Epoch] = ()) -> None:
        self.history = history
        self.epoch_: Epoch = {}
        self.first_ = self.batch_ = 0
        self.stops_ = False

    def on_epoch_begin(self, net: Any, **given: Any) -> None:
        self.epoch_, self.batch_ = self.history[self.first_ + len(net.history) - 1], 0

    def on_epoch_end(self, net: Any, **given: Any) -> None:
        if self.stops_:
            self.stops_ = False
            raise KeyboardInterrupt

    def told(self, training: bool) -> dict[str, float]:
        """What the step that has begun reports; its exception is raised here."""
        if not training:
            return Bench.told_in_validation(self.epoch_)
        self.batch_ += 1
        return Bench.told(self.epoch_, self.batch_ - 1)


class Net(NeuralNet):  # type: ignore[misc]
    """A net that reports what its script says, and validates when that says so."""

    script: Script

    def get_loss(self, y_pred: Any, y_true: Any, *data: Any, training: bool = False, **given: Any) -> Any:
        told, mean = self.script.told(training), y_pred.mean()
        for name, value in told.items():
            if name != "loss":
                self.history.record_batch(f"{'train' if training else 'valid'}_{name}", value)
        return told.get("loss", 0.0) + (mean - mean.detach())

    def run_single_epoch(self, iterator: Any, training: bool, *args: Any, **given: Any) -> None:
        if training or Bench.told_in_validation(self.script.epoch_):
            super().run_single_epoch(iterator, training, *args, **given)


class SkorchBench(Bench):
    """A linear layer under SGD with momentum, in two parameter groups."""

    lacks = frozenset({"optimizer_average", "mid_epoch"})

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.script = Script()
        self.net = Net(
            torch.nn.Linear(2, 1),
            torch.nn.MSELoss,
            optimizer=torch.optim.SGD,
            lr=0.0625,
            optimizer__momentum=0.5,
            optimizer__param_groups=[("bias", {"lr": 0.125})],
            batch_size=3,
            train_split=lambda dataset, y=None, **given: (dataset, Dataset(ROWS, TARGETS)),
            iterator_train__shuffle=True,
            callbacks=[("script", self.script), ("accuracy", PassthroughScoring("valid_accuracy"))],
            verbose=0,
            warm_start=True,
        )
        self.net.initialize()
        self.net.script = self.script

    def wrap(self, callbacks: Sequence[Callback], history: Sequence[Epoch], resume: Any = None) -> Any:
        self.script.history, self.script.stops_ = history, False
        self.net.initialize_history()  # a fit of its own, of the same module
        self.net.set_params(max_epochs=len(history))
        return trainhooks.wrap(self.net, callbacks=callbacks, resume=resume, plugins="none")

    def train(self, history: Sequence[Epoch], callbacks: Sequence[Callback], *, resume: Any = None) -> Run:
        self.script.first_ = 0 if resume is None else resume["progress"]["epochs_done"]
        wrapped = self.wrap(callbacks, history, resume)
        wrapped.fit(ROWS, TARGETS)
        assert wrapped.run is not None
        return wrapped.run  # type: ignore[no-any-return]

    def stop_itself(self) -> None:
        self.script.stops_ = True

    def left_on(self) -> list[Any]:
        of_steps = ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks")
        hooks = [hook for name in of_steps for hook in getattr(self.net.optimizer_, name).values()]
        return hooks + [type(self.net)] * (type(self.net) is not Net)


def net_of(*callbacks: Any, **given: Any) -> NeuralNetRegressor:
    """A net of a user's own: two batches an epoch, and a validation on the last third of the rows."""
    settings = {
        "max_epochs": 3,
        "lr": 0.125,
        "batch_size": 2,
        "verbose": 0,
        "train_split": ValidSplit(3),
    } | given
    torch.manual_seed(0)
    return NeuralNetRegressor(
        torch.nn.Linear,
        module__in_features=2,
        module__out_features=1,
        callbacks=list(callbacks),
        **settings,
    )


def bridge(*callbacks: Callback, **given: Any) -> Any:
    """A callback of such a net, with no plugins."""
    return bridge_of(callbacks, plugins="none", **given)
