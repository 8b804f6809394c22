"""Handwritten digits under Keras, on any backend: the model is Keras's, the callbacks are trainhooks'."""

import keras

import trainhooks
from trainhooks.callbacks import CSVLogger, EarlyStopping, ModelCheckpoint, ReduceLROnPlateau

keras.utils.set_random_seed(0)
(x, y), validation = trainhooks.datasets.digits()
layers = keras.layers
model = keras.Sequential([keras.Input((64,)), layers.Dense(64, activation="relu"), layers.Dense(10)])
model.compile(keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True))

callbacks = [EarlyStopping("val_loss", patience=3), ReduceLROnPlateau("val_loss", patience=1), ModelCheckpoint("best", save_best_only=True), CSVLogger("log.csv")]
model = trainhooks.wrap(model, callbacks=callbacks)
model.fit(x, y, batch_size=64, epochs=30, validation_data=validation, verbose=0)
run = model.run
print(run.outcome, run.epochs_done, run.stop_reason)
