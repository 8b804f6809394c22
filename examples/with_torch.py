"""Handwritten digits in PyTorch: the loop is yours, the callbacks are trainhooks'."""

import torch
from torch.utils.data import DataLoader, TensorDataset

import trainhooks
from trainhooks.callbacks import CSVLogger, EarlyStopping, ModelCheckpoint, ReduceLROnPlateau

torch.manual_seed(0)
train, held_out = (TensorDataset(*map(torch.from_numpy, part)) for part in trainhooks.datasets.digits())
loader, val_loader = DataLoader(train, batch_size=64, shuffle=True), DataLoader(held_out, batch_size=256)
model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
loss_fn = torch.nn.CrossEntropyLoss()

callbacks = [EarlyStopping("val_loss", patience=3), ReduceLROnPlateau("val_loss", patience=1), ModelCheckpoint("best", save_best_only=True), CSVLogger("log.csv")]
with trainhooks.wrap(model, optimizer=optimizer, callbacks=callbacks) as run:
    for epoch in run.epochs(30):
        for x, y in run.train(loader):
            loss = loss_fn(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            run.log(loss=loss, n=len(x))
        with torch.no_grad():
            for x, y in run.test(val_loader):
                run.log(loss=loss_fn(model(x), y), n=len(x))
print(run.outcome, run.epochs_done, run.stop_reason)
