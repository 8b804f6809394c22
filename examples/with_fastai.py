"""Handwritten digits with fastai: its Learner, and the callbacks of trainhooks."""

import torch
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.learner import Learner
from fastai.metrics import accuracy
from fastai.torch_core import set_seed

import trainhooks
from trainhooks.callbacks import CSVLogger, EarlyStopping, ModelCheckpoint, ReduceLROnPlateau

callbacks = [EarlyStopping("val_loss", patience=3), ReduceLROnPlateau("val_loss", patience=1), ModelCheckpoint("best", save_best_only=True), CSVLogger("log.csv")]

set_seed(0)
parts = [zip(*map(torch.from_numpy, part), strict=True) for part in trainhooks.datasets.digits()]
train, validation = map(list, parts)
dls = DataLoaders(DataLoader(train, bs=64, shuffle=True), DataLoader(validation, bs=256), device="cpu")
model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
learn = Learner(dls, model, torch.nn.CrossEntropyLoss(), lr=0.01, metrics=accuracy)

learn = trainhooks.wrap(learn, callbacks=callbacks)
learn.fit(30)
run = learn.run
print(run.outcome, run.epochs_done, run.stop_reason)
