"""Handwritten digits under Lightning, with callbacks of trainhooks."""

import lightning
import torch
from torch.utils.data import DataLoader, TensorDataset

import trainhooks
from trainhooks.callbacks import CSVLogger, EarlyStopping, ModelCheckpoint, ReduceLROnPlateau


class Digits(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))

    def training_step(self, batch, batch_idx):
        x, y = batch
        return torch.nn.functional.cross_entropy(self.layers(x), y)

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", self.training_step(batch, batch_idx))

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.02)


lightning.seed_everything(0)
train, held_out = (TensorDataset(*map(torch.from_numpy, part)) for part in trainhooks.datasets.digits())
callbacks = [EarlyStopping("val_loss", patience=3), ReduceLROnPlateau("val_loss", patience=1), ModelCheckpoint("best", save_best_only=True), CSVLogger("log.csv")]
quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
trainer = lightning.Trainer(max_epochs=30, accelerator="cpu", **quiet)
trainer = trainhooks.wrap(trainer, callbacks=callbacks)
trainer.fit(Digits(), DataLoader(train, batch_size=64, shuffle=True), DataLoader(held_out, batch_size=256))
run = trainer.run
print(run.outcome, run.epochs_done, run.stop_reason)
