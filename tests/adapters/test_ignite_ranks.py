"""Ignite on two processes: one decision, one file, and means over both."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("ignite", reason="ignite is not installed")

SCRIPT = """
import json, sys, torch
import ignite.distributed as idist
from ignite.engine import Engine, Events
import trainhooks
from trainhooks.callbacks import CSVLogger, EarlyStopping

def train(rank):
    torch.set_num_threads(1)
    trainer, evaluator = Engine(lambda engine, x: float(rank)), Engine(lambda engine, x: 1.0 + rank)
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: evaluator.run([0]))
    callbacks = [EarlyStopping("val_loss", patience=2), CSVLogger("log.csv")]
    wrapped = trainhooks.wrap(trainer, evaluator=evaluator, callbacks=callbacks, plugins="none")
    wrapped.run([0, 1], max_epochs=9)
    run = wrapped.last_run
    with open(f"{rank}.json", "w") as file:
        json.dump([run.outcome, run.epochs_done, run.history[-1].logs], file)

if __name__ == "__main__":
    with idist.Parallel(backend="gloo", nproc_per_node=2, start_method="fork") as parallel:
        parallel.run(train)
"""


def test_every_rank_stops_at_the_same_epoch_on_the_means_of_all(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT, encoding="utf-8")
    ended = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-4000:]
    told = [json.loads((tmp_path / f"{rank}.json").read_text(encoding="utf-8")) for rank in (0, 1)]
    assert told == [["stopped", 3, {"loss": 0.5, "val_loss": 1.5}]] * 2
    assert (tmp_path / "log.csv").read_text(encoding="utf-8").splitlines()[1:] == [f"{n},0.5,1.5" for n in range(3)]
