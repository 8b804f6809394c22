"""What memory a checkpoint takes beyond the state itself, and how long it takes.

    python benchmarks/big_checkpoint.py [GIB] [FOLDER]

One array of so many GiB (3 by default), more than the 2 GiB that Linux writes at once; in memory order, transposed, and
as an array that is still on a device, whose copy on the host is the one array that writing it takes. Every step runs in
a process of its own, whose peak resident memory is compared with the array's size. The figures of time hang on the
disk, and on what else it is doing.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from trainhooks.store import checkpoints, load_checkpoint, save_checkpoint
from trainhooks.trainable import OnDevice

MANY = 1 << 18


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
    """Run one step and print the memory it took beyond the state, in arrays, and the seconds."""
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
    print(f"{kind:11} {what:7} {extra:6.3f} arrays beyond the state, {size / seconds / 2**30:5.2f} GiB/s", flush=True)


def main(gibibytes: float, where: str | None) -> None:
    for kind in ("dense", "transposed", "device"):
        with tempfile.TemporaryDirectory(dir=where) as folder:
            for what in ("write", "verify", "read"):
                command = [sys.executable, __file__, what, kind, str(int(gibibytes * 2**30) // 16 * 16), folder]
                subprocess.run(command, check=True)


if __name__ == "__main__":
    if sys.argv[1:2] in (["write"], ["read"], ["verify"]):
        step(sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
    else:
        main(float(sys.argv[1]) if len(sys.argv) > 1 else 3.0, sys.argv[2] if len(sys.argv) > 2 else None)
