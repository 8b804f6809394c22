"""A real PyTorch loop under trainhooks, over the same loop written by hand, and over the bare one.

    python benchmarks/torch_loop.py

A step of about 100 us (a small MLP, batch 32, SGD, one thread), its loss logged at each step, four callbacks that
listen to the batch's end. By hand that is ``loss.item()``, a weighted mean and four calls. Each figure is the median
of the ratios of rounds in which the three run in turn.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

import trainhooks

ROUNDS = 25
STEPS = 500

torch.set_num_threads(1)
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(64, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10))
optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
loss_of = torch.nn.CrossEntropyLoss()
loader = [(torch.randn(32, 64), torch.randint(0, 10, (32,)))] * STEPS


def step(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    loss = loss_of(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss  # type: ignore[no-any-return]


def listener(number: int) -> Any:
    """A callback of a class of its own."""

    def on_train_batch_end(self: Any, batch: int, logs: Any = None) -> None:
        self.seen = batch

    return type(f"Listener{number}", (trainhooks.Callback,), {"on_train_batch_end": on_train_batch_end})()


callbacks = [listener(number) for number in range(4)]


def ours() -> None:
    with trainhooks.wrap(model, optimizer=optimizer, callbacks=callbacks) as run:
        for _ in run.epochs(1):
            for x, y in run.train(loader):
                run.log(loss=step(x, y), n=len(x))


def by_hand() -> None:
    total = weight = 0.0
    for batch, (x, y) in enumerate(loader):
        total += step(x, y).item() * len(x)
        weight += len(x)
        logs = {"loss": total / weight}
        for callback in callbacks:
            callback.on_train_batch_end(batch, logs)


def bare() -> None:
    for x, y in loader:
        step(x, y)


def seconds(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def main() -> None:
    for call in (ours, by_hand, bare):
        call()
    gc.disable()
    rounds = [(seconds(ours), seconds(by_hand), seconds(bare)) for _ in range(ROUNDS)]
    gc.enable()
    print(f"one step of the bare loop: {statistics.median(one[2] for one in rounds) / STEPS * 1e6:.0f} us")
    print(f"trainhooks over the loop written by hand: {statistics.median(one[0] / one[1] for one in rounds):.3f}")
    print(f"trainhooks over the bare loop:            {statistics.median(one[0] / one[2] for one in rounds):.3f}")
    print(f"written by hand over the bare loop:       {statistics.median(one[1] / one[2] for one in rounds):.3f}")


if __name__ == "__main__":
    main()
