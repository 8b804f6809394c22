"""How long a background save of 500 MB holds the training loop, over how long a save in the loop does.

    python benchmarks/background_save.py [--rounds 9] [--megabytes 500] [--folder FOLDER]

In a round each of the two saves once, one after the other, so that a drifting machine drifts under both. What is held
is the time from where a batch asks for the save until the next batch. Each write is over before the next save is asked
for, as where saves are further apart than a write is long; closer together, the loop waits for the write before. The
state is a model's with its momentum, half of the bytes each, and the files are synced to the disk.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

import trainhooks
from trainhooks.callbacks.backup_and_restore import BackupAndRestore

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


def measure(name: str, model: Callable[[int], tuple[Any, Callable[[], object]]], options: argparse.Namespace) -> None:
    trainable, step = model(int((options.megabytes * 1e6 / 4 / 2 / LAYERS) ** 0.5))
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        ways = [
            saves(trainable, step, BackupAndRestore(Path(folder) / way, SELDOM, background=way == "background"))
            for way in ("background", "loop")
        ]
        rounds = []
        for number in range(options.rounds + 1):
            found = {}
            for way in (0, 1) if number % 2 else (1, 0):
                found[way] = next(ways[way])
                writes_are_over()
            rounds.append((found[0], found[1]))
        for one in ways:
            one.close()  # type: ignore[attr-defined]
        size = sum(file.stat().st_size for file in Path(folder, "loop").glob("*/*"))
    first, *rest = rounds  # in the first one, memory is new to the process
    background, loop = (statistics.median(times) for times in zip(*rest, strict=True))
    ratios = sorted(one / other for one, other in rest)
    print(
        f"{name}, {size / 1e6:.0f} MB: the loop is held {background * 1e3:.0f} ms by a save in the background, "
        f"{loop * 1e3:.0f} ms by one in the loop; ratio {statistics.median(ratios):.3f} "
        f"(of {len(ratios)} rounds {ratios[0]:.3f} to {ratios[-1]:.3f}; the very first save {first[0] / first[1]:.3f})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--megabytes", type=float, default=500)
    parser.add_argument("--folder", help="on the disk to write to; the system's temporary folder by default")
    options = parser.parse_args()
    measure("numpy", numpy_model, options)
    if find_spec("torch"):
        measure("torch", torch_model, options)
    else:
        print("torch is not installed: not measured")


if __name__ == "__main__":
    main()
