"""A script that is paused by a signal inside an epoch, and run again as a new process, ends as one left alone.

The script is a user's own, with a loader that shuffles, dropout, a schedule and Adam.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

NUMPY = """
import os, random, signal, sys
import numpy as np
import trainhooks
from trainhooks.callbacks import BackupAndRestore, EarlyStopping, GracefulStop, ReduceLROnPlateau

(x, y), val = trainhooks.datasets.digits()
x, y = x[:300], y[:300]
random.seed(int(sys.argv[3])), np.random.seed(0)

class Dropout(trainhooks.MLP):
    def train_step(self, batch):
        return super().train_step((batch[0] * (np.random.random(batch[0].shape) > 0.2), batch[1]))

class Signal(trainhooks.Callback):
    def on_train_batch_end(self, run):
        if run.step == int(sys.argv[2]): os.kill(os.getpid(), signal.SIGTERM)

model = Dropout((64, 16, 10), optimizer="adam", lr=0.01)
callbacks = [BackupAndRestore(sys.argv[1]), EarlyStopping(patience=2), ReduceLROnPlateau(patience=1), GracefulStop()]
run = trainhooks.fit(model, (x, y), val, epochs=6, seed=0, callbacks=[*callbacks, Signal()])
print(run.outcome, run.step, run.lr, [record.logs for record in run.history], model.weights["layer0/bias"].tolist())
"""

TORCH = """
import os, random, signal, sys
import numpy as np, torch
import trainhooks
from trainhooks.callbacks import BackupAndRestore, EarlyStopping, GracefulStop

(x, y), (vx, vy) = trainhooks.datasets.digits()
data = torch.utils.data.TensorDataset(torch.from_numpy(x[:300]), torch.from_numpy(y[:300]))
torch.manual_seed(0)
net = torch.nn.Sequential(torch.nn.Linear(64, 16), torch.nn.Dropout(0.2), torch.nn.ReLU(), torch.nn.Linear(16, 10))
optimizer = torch.optim.AdamW(net.parameters(), lr=0.01)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 40)
loader = torch.utils.data.DataLoader(data, batch_size=32, shuffle=True)
held = torch.utils.data.TensorDataset(torch.from_numpy(vx), torch.from_numpy(vy))
held = torch.utils.data.DataLoader(held, batch_size=64)
loss_of = torch.nn.CrossEntropyLoss()

class Signal(trainhooks.Callback):
    def on_train_batch_end(self, run):
        if run.step == int(sys.argv[2]): os.kill(os.getpid(), signal.SIGTERM)
    def on_test_batch_end(self, run, batch):
        if run.step == -int(sys.argv[2]) and batch == 1: os.kill(os.getpid(), signal.SIGTERM)

callbacks = [BackupAndRestore(sys.argv[1]), EarlyStopping(patience=2), GracefulStop(), Signal()]
with trainhooks.wrap(net, optimizer=optimizer, lr_scheduler=scheduler, callbacks=callbacks) as run:
    for epoch in run.epochs(4):
        net.train()
        for a, b in run.train(loader):
            optimizer.zero_grad()
            loss = loss_of(net(a), b)
            loss.backward()
            optimizer.step()
            scheduler.step()
            run.log(loss=loss, n=len(a))
        net.eval()
        with torch.no_grad():
            for a, b in run.test(held):
                run.log(loss=loss_of(net(a), b), n=len(a))
print(run.outcome, run.step, run.lr, [record.logs for record in run.history], net[0].bias.tolist())
"""


def told(script: str, folder: Path, signal_at: int, seed: int = 0) -> str:
    """What a process says that runs the script."""
    command = [sys.executable, "-c", script, str(folder), str(signal_at), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "script, places",
    [pytest.param(NUMPY, (7, 10, 23), id="numpy"), pytest.param(TORCH, (13, -20), id="torch")],
)
def test_the_script_run_again_ends_as_one_left_alone(tmp_path: Path, script: str, places: tuple[int, ...]) -> None:
    if "torch" in script:
        pytest.importorskip("torch")
    whole = told(script, tmp_path / "whole", 0)
    for place in places:
        assert told(script, tmp_path / str(place), place).startswith("paused ")
        assert told(script, tmp_path / str(place), 0, seed=9) == whole
