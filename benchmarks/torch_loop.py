"""A real PyTorch loop under trainhooks, over the same loop written by hand, and over the bare one, beside peers.

    python -m benchmarks.torch_loop

A step of about 100 us (an MLP 64-128-10, batch 32, cross-entropy, SGD, one thread), its loss logged at each step, four
callbacks of four classes that listen to the batch's end. By hand that is ``loss.item()``, a weighted mean, a fresh
dictionary and a ``for`` over the callbacks; the bare loop only keeps the loss. These three run one ``step``. Peers have
a step of their own on a like model, with all off that they can switch off (bars, loggers, checkpoints, printing, what
they score and time by default), and their seconds are those between their own begin and end of the epoch; ours those of
the pass, in a run that is entered once. Passes are short,
and in turn: what disturbs the machine falls on few of them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import trainhooks

from .listening import listeners
from .pairs import Row, in_turn, missing, show

STEPS = 500
ROUNDS = 45


def rows(rounds: int = ROUNDS) -> Iterator[Row]:
    if missing("torch"):
        return
    import torch

    from .torch_peers import LISTENING, PEERS, loss_of, made

    torch.set_num_threads(1)
    loader = [(torch.randn(32, 64), torch.randint(0, 10, (32,)))] * STEPS
    model, optimizer = made()

    def step(x: Any, y: Any) -> Any:
        loss = loss_of(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    packages = {name: name.partition(",")[0] for name in PEERS}
    absent = missing(*dict.fromkeys(packages.values()))
    peers = {name: call(loader) for name, call in PEERS.items() if packages[name] not in absent}
    callbacks = listeners(LISTENING)

    def by_hand() -> None:
        total = weight = 0.0
        for batch, (x, y) in enumerate(loader):
            n = len(x)
            total += step(x, y).item() * n
            weight += n
            logs = {"loss": total / weight}
            for callback in callbacks:
                callback.on_train_batch_end(batch, logs)

    def bare() -> None:
        for x, y in loader:
            loss = step(x, y)
        del loss

    with trainhooks.wrap(model, optimizer=optimizer, callbacks=callbacks) as run:
        epochs = iter(run.epochs(None))

        def ours() -> float:
            next(epochs)  # ends the one before
            begin = time.perf_counter()
            for x, y in run.train(loader):
                run.log(loss=step(x, y), n=len(x))
            return time.perf_counter() - begin

        times = in_turn({"ours": ours, "hand": by_hand, "bare": bare, **peers}, rounds)
    beside = f"the bare step: {times.median('bare') / STEPS * 1e6:.0f} us"
    yield times.ratio("a PyTorch loop, 4 listening: over the loop by hand", "ours", "hand", goal=1.01, beside=beside)
    yield times.ratio("a PyTorch loop, 4 listening: over the bare loop", "ours", "bare", goal=1.03)
    yield times.ratio("a PyTorch loop by hand, 4 listening: over the bare loop", "hand", "bare")
    for name in peers:
        yield times.ratio(f"a PyTorch loop, 4 listening, {name}: over the bare loop", name, "bare")
    yield times.more("a PyTorch step, 4 listening: more than by hand", "ours", "hand", STEPS)


if __name__ == "__main__":
    show(rows())
