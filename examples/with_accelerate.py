"""Handwritten digits in one's own loop under Accelerate: on one process, or on many with ``accelerate launch``."""

import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader, TensorDataset

import trainhooks
from trainhooks.callbacks import CSVLogger, EarlyStopping, ModelCheckpoint, ReduceLROnPlateau

torch.manual_seed(0)
train, held_out = (TensorDataset(*map(torch.from_numpy, part)) for part in trainhooks.datasets.digits())
model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
loss_fn = torch.nn.CrossEntropyLoss()

accelerator = Accelerator()
model, optimizer, loader, val_loader = accelerator.prepare(
    model, optimizer, DataLoader(train, batch_size=64, shuffle=True), DataLoader(held_out, batch_size=256)
)

callbacks = [EarlyStopping("val_loss", patience=3), ReduceLROnPlateau("val_loss", patience=1), ModelCheckpoint("best", save_best_only=True), CSVLogger("log.csv")]
with trainhooks.wrap(accelerator, model=model, optimizer=optimizer, callbacks=callbacks) as run:
    for epoch in run.epochs(30):
        for x, y in run.train(loader):
            loss = loss_fn(model(x), y)
            accelerator.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
            run.log(loss=loss, n=len(x))
        with torch.no_grad():
            for x, y in run.test(val_loader):
                scores = model(x)
                run.log(loss=loss_fn(scores, y), accuracy=(scores.argmax(1) == y).float().mean(), n=len(x))

print(run.outcome, run.epochs_done, run.stop_reason)
