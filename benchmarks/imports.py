"""What ``import trainhooks`` costs those who import numpy and pluggy anyway: the time of one statement over the other.

    python -m benchmarks.imports

Each statement runs in a fresh interpreter, in turn, and the interpreter itself says how long the statement took: its
own start, and what its `site` loads, are on neither side. trainhooks imports numpy and pluggy, so a ratio of 1 would be
a library that costs nothing. The round that does not count reads all files and writes their bytecode, so that what is
measured is an import as it is from the second time on. Beside it stand what most people load next, that some callbacks
are imported and that a run is made; and for scale tqdm, as what it would add to the same two.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec

from .pairs import Row, in_turn, show

BASE = "import numpy, pluggy"
OURS = "import trainhooks"
FURTHER = (
    f"{OURS}; from trainhooks.callbacks import EarlyStopping, ModelCheckpoint, CSVLogger",
    f"{OURS}; trainhooks.LoopRun(trainhooks.MLP((2, 1)))",
)
ROUNDS = 41


def fresh(statement: str) -> Callable[[], float]:
    """A call that runs ``statement`` in an interpreter of its own and returns the seconds that it took there."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    program = f"from time import perf_counter as now; a = now(); {statement}; print(now() - a)"

    def run() -> float:
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        return float(done.stdout)

    return run


def rows() -> Iterator[Row]:
    """Ours over the two, alone and with what is done next; tqdm with the two over the two."""
    statements = [BASE, OURS, *FURTHER, *([f"{BASE}, tqdm"] if find_spec("tqdm") else [])]
    times = in_turn({statement: fresh(statement) for statement in statements}, rounds=ROUNDS)
    for statement in statements[1:]:
        beside = f"{times.median(statement) * 1e3:.1f} ms over {times.median(BASE) * 1e3:.1f} ms"
        goal = 1.25 if statement == OURS else None
        yield times.ratio(f"{statement}: over {BASE}", statement, BASE, goal=goal, beside=beside)


if __name__ == "__main__":
    show(rows())
