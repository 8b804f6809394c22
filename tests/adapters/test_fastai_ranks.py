"""fastai in two processes that train together."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("fastai", reason="fastai is not installed")

RANK = """
import json, sys
import torch
from small_learner import learner
from trainhooks.callbacks import CSVLogger, EarlyStopping, ReduceLROnPlateau
from trainhooks_adapters.fastai import wrap

torch.distributed.init_process_group("gloo")
rank = torch.distributed.get_rank()

def mark(outputs, y):
    return torch.tensor(float(rank))

learn = learner(lr=0.01 * (1 + rank), metrics=mark)
stop = EarlyStopping("val_loss", patience=2, min_delta=0.2)
reduce = ReduceLROnPlateau("val_loss", patience=1, min_delta=1)
wrapped = wrap(learn, callbacks=[stop, reduce, CSVLogger(sys.argv[1])])
wrapped.fit(8)
run = wrapped.run
history = [[one.logs["val_loss"], one.logs["val_mark"]] for one in run.history]
own = learn.recorder.values[-1][1]
wrapped.validate()
validated = wrapped.run.logs.copy()
told = {"told": [run.epochs_done, run.stop_reason, history], "lr": run.lr, "own": own, "validated": validated}
print(json.dumps(told))
torch.distributed.destroy_process_group()
"""


def test_two_processes_decide_alike_on_the_means_of_both_and_one_writes(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": "2"}
    command = [sys.executable, "-c", RANK, str(tmp_path / "log.csv")]
    processes = [
        subprocess.Popen(
            command,
            cwd=Path(__file__).parent.parent,
            env={**os.environ, **shared, "OMP_NUM_THREADS": "1", "RANK": str(rank)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        first, second = (json.loads(one.communicate(timeout=300)[0]) for one in processes)
    finally:
        for one in processes:
            one.kill()
    assert first["told"] == second["told"] and first["told"][0] < 8
    assert first["lr"] == pytest.approx(second["lr"] / 2)  # each has its own, and all were lowered together
    assert first["told"][2][-1] == [pytest.approx(first["own"]), 0.5]  # fastai takes the mean of both as well
    assert first["validated"] == second["validated"] == {"loss": pytest.approx(first["own"]), "mark": 0.5}
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 1 + first["told"][0]
