"""Handwritten digits under skorch: the net is skorch's, the callbacks are trainhooks'."""

import torch
from skorch import NeuralNetClassifier
from skorch.dataset import Dataset
from skorch.helper import predefined_split

import trainhooks
from trainhooks.callbacks import CSVLogger, EarlyStopping, ModelCheckpoint, ReduceLROnPlateau


class Classifier(torch.nn.Sequential):
    def __init__(self, width: int = 64) -> None:
        super().__init__(torch.nn.Linear(64, width), torch.nn.ReLU(), torch.nn.Linear(width, 10))


torch.manual_seed(0)
(x, y), (x_val, y_val) = trainhooks.datasets.digits()
net = NeuralNetClassifier(
    Classifier,
    criterion=torch.nn.CrossEntropyLoss,
    optimizer=torch.optim.Adam,
    lr=0.01,
    batch_size=64,
    max_epochs=30,
    iterator_train__shuffle=True,
    train_split=predefined_split(Dataset(x_val, y_val)),
    verbose=0,
)

callbacks = [EarlyStopping("val_loss", patience=3), ReduceLROnPlateau("val_loss", patience=1), ModelCheckpoint("best", save_best_only=True), CSVLogger("log.csv")]
wrapped = trainhooks.wrap(net, callbacks=callbacks)  # in GridSearchCV: callbacks=[("trainhooks", bridge(callbacks))]
wrapped.fit(x, y)

run = wrapped.run
print(run.outcome, run.epochs_done, run.stop_reason)
print(f"accuracy on held-out digits: {wrapped.score(x_val, y_val):.3f}")
