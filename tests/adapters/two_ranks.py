"""One of two processes that train together on the CPU; ``check_both`` starts them, and sees what each noted."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

RANKS = 2
VALIDATIONS = {0: [1.0, 0.5, 0.5, 0.25, 0.125, 0.0625], 1: [1.0, 0.75, 1.25, 2.0, 4.0, 8.0]}
"""What each rank's one validation batch reports, by epoch: the first alone would never stop."""
WEIGHTS = {0: 3, 1: 1}


def both(framework: str, folder: Path) -> list[dict[str, Any]]:
    """Train on two ranks in ``folder``; what each noted."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {"WORLD_SIZE": str(RANKS), "NODE_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    shared |= {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    started = []
    for rank in map(str, range(RANKS)):
        env = {**os.environ, **shared, "RANK": rank, "LOCAL_RANK": rank}
        command = [sys.executable, __file__, framework, str(folder)]
        started.append(subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
    try:
        told = [one.communicate(timeout=120)[0] for one in started]
    finally:
        for one in started:
            one.kill()
    assert [one.returncode for one in started] == [0] * RANKS, "\n".join(told)
    return [json.loads((folder / f"rank-{rank}.json").read_text()) for rank in range(RANKS)]


def check_both(framework: str, folder: Path) -> None:
    """Two processes decide alike on what each measured otherwise, end together, and the main one writes."""
    noted = both(framework, folder)
    assert [one.pop("rank") for one in noted] == [0, 1]
    first, second = noted
    assert first == second  # metrics, decisions, weights and answers
    history = first["history"]
    assert [one["val_loss"] for one in history] == [1.0, 0.5625, 0.6875, 0.6875]  # three parts to one, by WEIGHTS
    assert [one["val_only_here"] for one in history] == [0.5] * 4
    why = "val_loss has not improved on 0.5625 of epoch 2 for 2 checks"
    assert first["stopped"] == ["stopped", 4, why, "EarlyStopping", 8, 8]
    assert first["lrs"] == pytest.approx([0.125, 0.125, 0.0125, 0.00125])
    assert (first["size"], first["names"]) == (
        2,
        dict.fromkeys(["0.weight", "0.bias", "1.weight", "1.bias"], "float32"),
    )
    assert first["questions"] == [True, False, pytest.approx(2 / 3), "of 0"]
    assert first["resumed"] == [True, 4]
    assert first["asked"] == ["stopped", 2, "of the second rank", "its user"]
    written = ["backup", "best.pt", "log.csv", "rank-0.json", "rank-1.json"]
    assert sorted(path.name for path in folder.iterdir()) == written
    assert len((folder / "log.csv").read_text().splitlines()) == 1 + 4


def prepared(framework: str) -> tuple[Any, Any, Any, Any, int]:
    """What is wrapped, the model, the optimizer, what calls backward, and the rank."""
    import torch

    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.125)
    if framework == "torch":
        torch.distributed.init_process_group("gloo")
        model = torch.nn.parallel.DistributedDataParallel(model)
        return model, model, optimizer, torch.Tensor.backward, torch.distributed.get_rank()
    if framework == "accelerate":
        from accelerate import Accelerator

        accelerator = Accelerator(cpu=True, mixed_precision="bf16")
        model, optimizer = accelerator.prepare(model, optimizer)
        return accelerator, model, optimizer, accelerator.backward, accelerator.process_index
    from lightning_fabric import Fabric

    fabric = Fabric(accelerator="cpu", devices=RANKS, strategy="ddp", precision="bf16-mixed")
    fabric.launch()
    model, optimizer = fabric.setup(model, optimizer)
    return fabric, model, optimizer, fabric.backward, fabric.global_rank


def train(framework: str) -> dict[str, Any]:
    import torch

    import trainhooks
    from trainhooks.callbacks import BackupAndRestore, CSVLogger, EarlyStopping, ModelCheckpoint, ReduceLROnPlateau

    target, model, optimizer, backward, rank = prepared(framework)

    def run_of(callbacks: list[Any]) -> Any:
        named = {} if target is model else {"model": model}
        return trainhooks.wrap(target, **named, optimizer=optimizer, callbacks=callbacks, plugins="none")

    def epoch_of(run: Any) -> None:
        for x in run.train(torch.ones(2, 1, 2) * (rank + 1)):
            loss = model(x).square().mean()
            backward(loss)
            optimizer.step()
            optimizer.zero_grad()
            run.log(loss=loss, n=WEIGHTS[rank])

    lrs = []
    callbacks = [
        EarlyStopping("val_loss", patience=2),
        ReduceLROnPlateau("val_loss", patience=1),
        ModelCheckpoint("best.pt", save_best_only=True),
        CSVLogger("log.csv"),
        BackupAndRestore("backup", delete_checkpoint=False),
    ]
    with run_of(callbacks) as run:
        run.on("epoch_end", phase="report")(lambda run: lrs.append(run.lr))
        for epoch in run.epochs(6):
            epoch_of(run)
            for _ in run.test(range(1)):
                run.log(loss=VALIDATIONS[rank][epoch], n=WEIGHTS[rank])
                if rank == 0:
                    run.log(only_here=0.5)
    told = {
        "rank": run.world.rank,
        "size": run.world.size,
        "stopped": [run.outcome, run.epochs_done, run.stop_reason, run.stop_source, run.step, run.optimizer_step],
        "history": [record.logs for record in run.history],
        "lrs": lrs,
        "weights": hashlib.sha256(b"".join(one.tobytes() for one in run.get_weights().values())).hexdigest(),
        "names": {name: str(one.dtype) for name, one in run.get_weights().items()},
        "questions": [
            run.world.any(rank == 1),
            run.world.any(False),
            run.world.mean(float(rank), 1.0 + rank),
            run.world.broadcast(f"of {rank}"),
        ],
    }
    with run_of([BackupAndRestore("backup", resume_stopped=True)]) as again:
        told["resumed"] = [again.resumed, again.epochs_done]
    with run_of([]) as asked:
        for _ in asked.epochs(4):
            epoch_of(asked)
            if rank == 1 and asked.epoch == 1:
                asked.stop("of the second rank", source="its user")
    told["asked"] = [asked.outcome, asked.epochs_done, asked.stop_reason, asked.stop_source]
    return told


if __name__ == "__main__":
    framework, folder = sys.argv[1:]
    os.chdir(folder)
    noted = train(framework)
    Path(f"rank-{noted['rank']}.json").write_text(json.dumps(noted))
    import torch

    torch.distributed.destroy_process_group()
