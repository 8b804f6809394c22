"""Handwritten digits under Ignite: the trainer and the evaluator are Ignite's, the callbacks are trainhooks'."""

import torch
from ignite.engine import Events, create_supervised_evaluator, create_supervised_trainer
from ignite.metrics import Accuracy, Loss
from torch.utils.data import DataLoader, TensorDataset

import trainhooks
from trainhooks.callbacks import CSVLogger, EarlyStopping, ModelCheckpoint, ReduceLROnPlateau

torch.manual_seed(0)
train, held_out = (TensorDataset(*map(torch.from_numpy, part)) for part in trainhooks.datasets.digits())
loader, val_loader = DataLoader(train, batch_size=64, shuffle=True), DataLoader(held_out, batch_size=256)
model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
loss_fn = torch.nn.CrossEntropyLoss()

trainer = create_supervised_trainer(model, optimizer, loss_fn)
evaluator = create_supervised_evaluator(model, {"loss": Loss(loss_fn), "accuracy": Accuracy()})


@trainer.on(Events.EPOCH_COMPLETED)
def validate() -> None:
    evaluator.run(val_loader)


callbacks = [EarlyStopping("val_loss", patience=3), ReduceLROnPlateau("val_loss", patience=1), ModelCheckpoint("best", save_best_only=True), CSVLogger("log.csv")]
wrapped = trainhooks.wrap(trainer, evaluator=evaluator, model=model, optimizer=optimizer, callbacks=callbacks)
wrapped.run(loader, max_epochs=30)

run = wrapped.last_run
print(run.outcome, run.epochs_done, run.stop_reason)
print(f"accuracy on held-out digits: {run.history[-1].logs['val_accuracy']:.3f}")
