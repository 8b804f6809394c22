"""How long a background save of 500 MB holds the training loop, over how long a save in the loop does.

    python -m benchmarks.background_save [--rounds 5] [--megabytes 500] [--folder FOLDER] [--json]

In a round each of the two saves once, one after the other, so that a drifting machine drifts under both. What is held
is the time from where a batch asks for the save until the next batch. Each write is over before the next save is asked
for, as where saves are further apart than a write is long; closer together, the loop waits for the write before. The
state is a model's with its momentum, half of the bytes each, and the files are synced to the disk.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import trainhooks
from trainhooks.callbacks.backup_and_restore import BackupAndRestore

from .pairs import Row, in_turn, missing, show

ROUNDS = 5
LAYERS = 10
SELDOM = 10**9  # steps: only where it is asked for


def numpy_model(width: int) -> tuple[Any, Callable[[], object]]:
    model = trainhooks.MLP((width,) * (LAYERS + 1), optimizer="sgd", lr=0.0, momentum=0.9, loss="mse")
    batch = np.ones((1, width), np.float32), np.ones((1, width), np.float32)
    return model, lambda: model.train_step(batch)


def torch_model(width: int) -> tuple[Any, Callable[[], object]]:
    import torch
    from trainhooks_adapters.torch import TorchTrainable

    module = torch.nn.Sequential(*[torch.nn.Linear(width, width) for _ in range(LAYERS)])
    optimizer = torch.optim.SGD(module.parameters(), lr=0.0, momentum=0.9)

    def step() -> None:
        optimizer.zero_grad()
        module(torch.ones(1, width)).sum().backward()
        optimizer.step()

    return TorchTrainable(module, optimizer), step


def saves(trainable: Any, step: Callable[[], object], backup: BackupAndRestore) -> Iterator[float]:
    """Train, save at each batch, and give the seconds until the next one."""
    with trainhooks.LoopRun(trainable, [backup]) as run:
        for _ in run.epochs(1):
            asked = None
            for _ in run.train(itertools.count()):
                if asked is not None:
                    yield time.perf_counter() - asked
                step()
                writes_are_over()
                run.save()
                asked = time.perf_counter()


def writes_are_over() -> None:
    """Wait for what the background writes."""
    for thread in threading.enumerate():
        if thread.name == "trainhooks-write":
            thread.join()


def measured(
    name: str,
    model: Callable[[int], tuple[Any, Callable[[], object]]],
    rounds: int,
    megabytes: float,
    where: str | None,
) -> Row:
    trainable, step = model(int((megabytes * 1e6 / 4 / 2 / LAYERS) ** 0.5))
    with tempfile.TemporaryDirectory(dir=where) as folder:
        ways = {
            way: saves(trainable, step, BackupAndRestore(Path(folder) / way, SELDOM, background=way == "background"))
            for way in ("background", "loop")
        }

        def held(way: str) -> float:
            seconds = next(ways[way])
            writes_are_over()
            return seconds

        times = in_turn({way: partial(held, way) for way in ways}, rounds)  # in the first, memory is new to the process
        for one in ways.values():
            one.close()  # type: ignore[attr-defined]
        size = sum(file.stat().st_size for file in Path(folder, "loop").glob("*/*"))
    beside = f"{times.median('background') * 1e3:.0f} ms over {times.median('loop') * 1e3:,.0f} ms"
    what = f"{name}, {size / 1e6:.0f} MB: the loop is held by a save in the background, over by one in the loop"
    return times.ratio(what, "background", "loop", beside=beside)


def rows(rounds: int = ROUNDS, megabytes: float = 500, folder: str | None = None) -> Iterator[Row]:
    yield measured("numpy", numpy_model, rounds, megabytes, folder)
    if not missing("torch"):
        yield measured("torch", torch_model, rounds, megabytes, folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--megabytes", type=float, default=500)
    parser.add_argument("--folder", help="on the disk to write to; the system's temporary folder by default")
    parser.add_argument("--json", action="store_true", help="print rows as lines of JSON")
    options = parser.parse_args()
    show(rows(options.rounds, options.megabytes, options.folder))


if __name__ == "__main__":
    main()
