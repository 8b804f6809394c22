"""Peers' training loops on the model of ``torch_loop``, each as its documentation says, with all off that it lets one
switch off: progress bars, loggers, checkpoints, printing, and the timing and scoring that a peer does by default.

Each function here makes a call that trains an epoch and returns the seconds between the peer's begin and end of it.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch

from .listening import ones

LISTENING = 4
Loader = list[tuple[torch.Tensor, torch.Tensor]]

loss_of = torch.nn.CrossEntropyLoss()


def made() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(64, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10))
    return model, torch.optim.SGD(model.parameters(), lr=1e-3)


def ignite(loader: Loader) -> Callable[[], float]:
    from ignite.engine import Engine, Events

    own, its = made()
    marks: list[float] = []

    def update(engine: Engine, batch: Any) -> float:
        x, y = batch
        loss = loss_of(own(x), y)
        its.zero_grad()
        loss.backward()
        its.step()
        return loss.item()

    engine = Engine(update)
    engine.add_event_handler(Events.EPOCH_STARTED, lambda: marks.append(time.perf_counter()))
    for one in ones(LISTENING, object, {"seen_by": "engine"}):
        engine.add_event_handler(Events.ITERATION_COMPLETED, one.seen_by)
    engine.add_event_handler(Events.EPOCH_COMPLETED, lambda: marks.append(time.perf_counter()))

    def epoch() -> float:
        marks.clear()
        engine.run(loader, max_epochs=1)
        return marks[1] - marks[0]

    return epoch


def skorch(loader: Loader) -> Callable[[], float]:
    from skorch import NeuralNet
    from skorch.callbacks import Callback

    marks: list[float] = []

    class Clock(Callback):
        def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
            marks.append(time.perf_counter())

        on_epoch_end = on_epoch_begin

    takes = {"on_batch_end": "net, batch=None, training=False, **kwargs"}
    off = dict.fromkeys(["callbacks__epoch_timer", "callbacks__print_log", "callbacks__train_loss"])
    net = NeuralNet(
        made()[0],
        criterion=torch.nn.CrossEntropyLoss,
        optimizer=torch.optim.SGD,
        lr=1e-3,
        train_split=None,
        iterator_train=lambda dataset, **settings: loader,
        callbacks=[*ones(LISTENING, Callback, takes), Clock()],
        callbacks__valid_loss=None,
        **off,
    )
    net.initialize()
    data = torch.zeros(1, 64), torch.zeros(1, dtype=torch.long)  # its iterator gives the loader in their place

    def epoch() -> float:
        marks.clear()
        net.history.clear()
        net.partial_fit(*data, epochs=1)
        return marks[1] - marks[0]

    return epoch


def lightning(loader: Loader, barebones: bool = False) -> Callable[[], float]:
    from lightning.pytorch import Callback, LightningModule, Trainer

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    marks: list[float] = []

    class Module(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.its = made()

        def training_step(self, batch: Any, number: int) -> torch.Tensor:
            x, y = batch
            loss = loss_of(self.inner(x), y)
            if not barebones:  # in which it warns that nothing is logged
                self.log("loss", loss)
            return loss  # type: ignore[no-any-return]

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return self.its

    class Clock(Callback):
        def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
            marks.append(time.perf_counter())

        on_train_epoch_end = on_train_epoch_start

    class Batches:  # a list would be taken for many loaders
        def __iter__(self) -> Iterator[Any]:
            return iter(loader)

        def __len__(self) -> int:
            return len(loader)

    takes = {"on_train_batch_end": "trainer, module, outputs, batch, number"}
    module, callbacks = Module(), [Clock(), *ones(LISTENING, Callback, takes)]
    off: dict[str, Any] = dict.fromkeys(
        ["logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"], False
    )
    trainer = Trainer(accelerator="cpu", devices=1, max_epochs=0, callbacks=callbacks, barebones=barebones, **off)
    total = itertools.count(1)

    def epoch() -> float:
        marks.clear()
        trainer.fit_loop.max_epochs = next(total)  # goes on with the one epoch more
        with contextlib.redirect_stderr(None):
            trainer.fit(module, Batches())
        return marks[1] - marks[0]

    return epoch


PEERS: dict[str, Callable[[Loader], Callable[[], float]]] = {
    "ignite": ignite,
    "skorch": skorch,
    "lightning, self.log": lightning,
    "lightning, barebones, nothing logged": functools.partial(lightning, barebones=True),
}
"""By the name of the package to import, and after a comma how it is used."""
