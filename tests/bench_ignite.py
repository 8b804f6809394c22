"""IgniteBench: a tiny PyTorch module under an Ignite engine, for the kits."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from ignite.engine import Engine, Events

import trainhooks
from trainhooks import Callback, Run
from trainhooks.testing import BATCHES, Bench, Epoch

ROWS = torch.arange(12.0, device="cpu").reshape(BATCHES, 3, 2) / 6
for name in ("ignite.engine.engine.Engine", "trainer", "evaluator"):
    logging.getLogger(name).setLevel(logging.CRITICAL)  # each exception that the kit raises is logged otherwise


class IgniteBench(Bench):
    """A linear layer under SGD with momentum, in two parameter groups."""

    lacks = frozenset({"optimizer_average", "mid_epoch"})

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.model = torch.nn.Linear(2, 1, device="cpu")
        groups: list[dict[str, Any]] = [{"params": [self.model.weight]}, {"params": [self.model.bias], "lr": 0.0625}]
        self.optimizer = torch.optim.SGD(groups, lr=0.125, momentum=0.5)
        self.trainer, self.evaluator = Engine(self.step), Engine(self.test_step)
        self.trainer.add_event_handler(Events.EPOCH_COMPLETED, self.validate)
        self.history: Sequence[Epoch] = ()
        self.validation: Mapping[str, float] = {}
        self.handlers = self.count_handlers()

    def step(self, engine: Engine, x: Any) -> dict[str, Any]:
        state = engine.state
        told = self.told(self.history[state.epoch - 1], (state.iteration - 1) % BATCHES)
        loss = (self.model(x) - 1).square().mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return {name: torch.tensor(value) for name, value in told.items()}

    @torch.no_grad()
    def test_step(self, engine: Engine, x: Any) -> dict[str, float]:
        self.model(x)
        return dict(self.validation)

    def validate(self, engine: Engine) -> None:
        self.validation = self.told_in_validation(self.history[engine.state.epoch - 1])
        if self.validation:
            self.evaluator.run(ROWS)

    def wrap(self, callbacks: Sequence[Callback], resume: Any = None) -> Any:
        for engine in (self.trainer, self.evaluator):
            engine.state.max_epochs = None  # as Ignite has one begin anew
        parts: dict[str, Any] = {"model": self.model, "optimizer": self.optimizer, "evaluator": self.evaluator}
        return trainhooks.wrap(self.trainer, callbacks=callbacks, resume=resume, plugins="none", **parts)

    def train(self, history: Sequence[Epoch], callbacks: Sequence[Callback], *, resume: Any = None) -> Run:
        self.history = history
        wrapped = self.wrap(callbacks, resume)
        wrapped.run(ROWS, max_epochs=len(history))
        assert wrapped.last_run is not None
        return wrapped.last_run  # type: ignore[no-any-return]

    def evaluate(self, metrics: Mapping[str, float], callbacks: Sequence[Callback]) -> Run | None:
        return self.evaluate_resumed(metrics, callbacks, None)

    def evaluate_resumed(self, metrics: Mapping[str, float], callbacks: Sequence[Callback], resume: Any) -> Run | None:
        self.validation = metrics
        trainer_epochs = self.trainer.state.max_epochs
        wrapped = self.wrap(callbacks, resume)
        wrapped.evaluate(ROWS)
        self.trainer.state.max_epochs = trainer_epochs  # it may be running
        return wrapped.last_run  # type: ignore[no-any-return]

    def stop_itself(self) -> None:
        self.trainer.terminate()

    def count_handlers(self) -> int:
        engines = (self.trainer, self.evaluator)
        return sum(len(some) for engine in engines for some in engine._event_handlers.values())

    def left_on(self) -> list[Any]:
        of_steps = ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks")
        hooks = [hook for name in of_steps for hook in getattr(self.optimizer, name).values()]
        return hooks + ["a handler"] * (self.count_handlers() - self.handlers)
