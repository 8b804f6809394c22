"""Handwritten digits with numpy alone: trainhooks' own small model, and its reference loop."""

import trainhooks
from trainhooks.callbacks import CSVLogger, EarlyStopping, ModelCheckpoint, ReduceLROnPlateau

train, validation = trainhooks.datasets.digits()
model = trainhooks.MLP((64, 64, 10), optimizer="adam", lr=0.01)

callbacks = [EarlyStopping("val_loss", patience=3), ReduceLROnPlateau("val_loss", patience=1), ModelCheckpoint("best", save_best_only=True), CSVLogger("log.csv")]
run = trainhooks.fit(model, train, validation, epochs=30, batch_size=64, seed=0, callbacks=callbacks)
print(run.outcome, run.epochs_done, run.stop_reason)
