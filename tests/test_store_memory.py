"""store: writing and reading take little memory beyond the arrays themselves, whatever their order in memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

MEASURED = """
import os, sys, tracemalloc
import numpy as np
from pathlib import Path
from trainhooks.store import checkpoints, load_arrays, load_checkpoint, save_arrays, save_checkpoint
from trainhooks.trainable import OnDevice

folder = Path(sys.argv[1])
SIZE = 16 << 20
STATES = {
    "dense": [np.ones(SIZE // 4, "f4") for _ in range(3)],
    "transposed": [np.ones((4, SIZE // 16), "f4").T],
    "big-endian": [np.ones(SIZE // 4, ">f4")],
    "broadcast": [np.broadcast_to(np.float32(1), (1 << 10, SIZE >> 12))],
    "odd": [np.ones(SIZE // 16, "c16")[::-1], np.ones(SIZE // 8).view("M8[s]")],
}
tracemalloc.start()

def beyond(do):
    tracemalloc.reset_peak()
    begin = tracemalloc.get_traced_memory()[0]
    made = do()
    return round((tracemalloc.get_traced_memory()[1] - begin) / SIZE, 2), made

import ml_dtypes, hashlib, json, warnings  # what is loaded when first used is not counted
for name, arrays in STATES.items():
    took, _ = beyond(lambda: save_checkpoint(folder / name, {"arrays": arrays}))
    print("write", name, took)
    took, made = beyond(lambda: load_checkpoint(folder / name))
    print("read", name, took - len(arrays))
    assert all(np.array_equal(a, b) for a, b in zip(made["arrays"], arrays))
    del made
    took, made = beyond(lambda: checkpoints(folder, verify=True))
    print("verify", name, took)

def on_device():  # made anew each time
    return OnDevice(lambda: np.ones(SIZE // 4, "f4"), (SIZE // 4,), np.dtype("f4"))

took, _ = beyond(lambda: save_checkpoint(folder / "device", {"arrays": [on_device() for _ in range(4)]}))
print("write device", took - 1)
took, _ = beyond(lambda: save_arrays(folder / "w.safetensors", {str(n): a for n, a in enumerate(STATES["dense"])}))
print("write arrays", took)
took, made = beyond(lambda: load_arrays(folder / "w.safetensors"))
print("read arrays", took - 3)
"""


def test_beyond_the_arrays_that_are_read_only_a_chunk_is_taken(tmp_path: Path) -> None:
    pytest.importorskip("ml_dtypes")
    done = subprocess.run([sys.executable, "-c", MEASURED, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    took = {name: float(times) for name, times in (line.rsplit(" ", 1) for line in done.stdout.splitlines())}
    assert len(took) == 18
    chunk = 0.75  # of an array here: three times 4 MiB, for what is copied, brought into order, and written
    assert {name: times for name, times in took.items() if times > chunk} == {}
