"""What memory a checkpoint takes beyond the state itself, and how long it takes.

    python -m benchmarks.big_checkpoint [GIB] [FOLDER] [--json]

One array of so many GiB (2.25 by default), more than the 2 GiB that Linux writes at once; in memory order, transposed,
and as an array that is still on a device, whose copy on the host is the one array that writing it takes. Every step
runs in a process of its own, whose peak resident memory is compared with the array's size. The figures of time hang on
the disk, and on what else it is doing.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from trainhooks.store import checkpoints, load_checkpoint, save_checkpoint
from trainhooks.trainable import OnDevice

from .pairs import Row, read, show

MANY = 1 << 18
STEPS = ("write", "verify", "read")
KINDS = {"dense": "in memory order", "transposed": "that is transposed", "device": "on a device"}


def peak() -> int:
    """Bytes: the most that this process ever had in memory."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def numbers(begin: int, end: int) -> Any:
    return np.arange(begin, min(begin + MANY, end)) % 1000


def made(size: int, kind: str) -> Any:
    if kind == "device":
        return OnDevice(lambda: made(size, "dense"), (4, size // 16), np.dtype("f4"))
    array = np.empty((4, size // 16), "f4")
    for begin in range(0, size // 16, MANY):  # in parts, so that the peak before a step is the array itself
        array[:, begin : begin + MANY] = numbers(begin, size // 16)
    return array.T if kind == "transposed" else array


def step(what: str, kind: str, size: int, folder: Path) -> None:
    """Run one step and print a row of the memory it took beyond the state, in arrays, with the seconds beside it."""
    state = {"w": made(size, kind), "small": np.ones(3, "M8[s]")} if what == "write" else {}
    before, begin = peak(), time.perf_counter()
    if what == "write":
        save_checkpoint(folder / "c1", state, {"step": 1})
        own = 0
    elif what == "verify":
        assert [found.problem for found in checkpoints(folder, verify=True)] == [None]
        own = 0
    else:
        state = load_checkpoint(folder / "c1")
        own = size
    seconds = time.perf_counter() - begin
    extra = (peak() - before - own) / size
    if what == "read":
        rows = state["w"] if len(state["w"]) == 4 else state["w"].T
        for at in range(0, size // 16, MANY):
            assert (rows[:, at : at + MANY] == numbers(at, size // 16)).all()
    told = f"a checkpoint of an array {KINDS[kind]}: memory to {what} it, beyond the state"
    show([Row(told, extra, unit="arrays", beside=beside(size, seconds))])


def beside(size: int, seconds: float) -> str:
    return f"{size / 2**30:.2f} GiB at {size / seconds / 2**30:.2f} GiB/s"


def rows(gibibytes: float = 2.25, where: str | None = None) -> Iterator[Row]:
    for kind in KINDS:
        with tempfile.TemporaryDirectory(dir=where) as folder:
            for what in STEPS:
                own = [what, kind, str(int(gibibytes * 2**30) // 16 * 16), folder, "--json"]
                command = [sys.executable, "-m", "benchmarks.big_checkpoint", *own]
                done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
                yield from read(done.stdout.splitlines())


if __name__ == "__main__":
    given = [one for one in sys.argv[1:] if one != "--json"]
    if given and given[0] in STEPS:
        step(given[0], given[1], int(given[2]), Path(given[3]))
    else:
        show(rows(*map(float, given[:1]), *given[1:2]))
