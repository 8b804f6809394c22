"""Boosted trees on handwritten digits, with callbacks: pip install trainhooks[lightgbm]."""

import lightgbm

import trainhooks
from trainhooks.callbacks import CSVLogger, EarlyStopping, ModelCheckpoint, ReduceLROnPlateau

(x_train, y_train), (x_val, y_val) = trainhooks.datasets.digits()
train_set = lightgbm.Dataset(x_train, y_train)
val_set = train_set.create_valid(x_val, y_val)

callbacks = [EarlyStopping("val_loss", patience=3), ReduceLROnPlateau("val_loss", patience=1), ModelCheckpoint("best", save_best_only=True), CSVLogger("log.csv")]
names = {"multi_logloss": "loss", "val_multi_logloss": "val_loss"}
train = trainhooks.wrap(lightgbm.train, callbacks=callbacks, names=names)

params = {"objective": "multiclass", "num_class": 10, "num_leaves": 7, "learning_rate": 0.5, "num_threads": 1}
booster = train({**params, "verbosity": -1}, train_set, 60, valid_sets=[train_set, val_set])

accuracy = (booster.predict(x_val).argmax(1) == y_val).mean()  # it predicts with the best rounds
print(f"accuracy of the best {booster.best_iteration} rounds: {accuracy:.3f}")
run = train.run
print(run.outcome, run.epochs_done, run.stop_reason)
