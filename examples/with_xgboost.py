"""Boosted trees on handwritten digits, with callbacks: pip install trainhooks[xgboost]."""

import xgboost

import trainhooks
from trainhooks.callbacks import CSVLogger, EarlyStopping, ModelCheckpoint, ReduceLROnPlateau

(x_train, y_train), (x_val, y_val) = trainhooks.datasets.digits()
train_set, val_set = xgboost.DMatrix(x_train, y_train), xgboost.DMatrix(x_val, y_val)

callbacks = [EarlyStopping("val_loss", patience=3), ReduceLROnPlateau("val_loss", patience=1), ModelCheckpoint("best", save_best_only=True), CSVLogger("log.csv")]
train = trainhooks.wrap(xgboost.train, callbacks=callbacks, names={"mlogloss": "loss", "val_mlogloss": "val_loss"})

params = {"objective": "multi:softprob", "num_class": 10, "max_depth": 3, "learning_rate": 0.5, "nthread": 1}
booster = train(params, train_set, 60, evals=[(train_set, "train"), (val_set, "val")], verbose_eval=10)

best = booster[: booster.best_iteration + 1]
accuracy = (best.predict(val_set).argmax(1) == y_val).mean()
print(f"accuracy of the best {best.num_boosted_rounds()} rounds: {accuracy:.3f}")
run = train.run
print(run.outcome, run.epochs_done, run.stop_reason)
