"""Hugging Face Trainer: a small classifier of handwritten digits, with callbacks of trainhooks."""

import torch
from transformers import Trainer, TrainingArguments

import trainhooks
from trainhooks.callbacks import CSVLogger, EarlyStopping, ModelCheckpoint, ReduceLROnPlateau
from trainhooks.datasets import digits


class Classifier(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))

    def forward(self, pixels, labels):
        logits = self.layers(pixels)
        return {"loss": torch.nn.functional.cross_entropy(logits, labels), "logits": logits}


train, validation = ([{"pixels": x, "labels": y} for x, y in zip(*part, strict=True)] for part in digits())
args = TrainingArguments(
    output_dir="checkpoints",
    num_train_epochs=10,
    per_device_train_batch_size=256,
    per_device_eval_batch_size=512,
    learning_rate=0.03,
    lr_scheduler_type="constant",  # the callbacks own the learning rate
    eval_strategy="epoch",
    save_strategy="no",
    report_to=[],
    use_cpu=True,
)
callbacks = [EarlyStopping("val_loss", patience=3), ReduceLROnPlateau("val_loss", patience=1), ModelCheckpoint("best", save_best_only=True), CSVLogger("log.csv")]
trainer = Trainer(Classifier(), args, train_dataset=train, eval_dataset=validation)
wrapped = trainhooks.wrap(trainer, callbacks=callbacks)
wrapped.train()
run = wrapped.run
print(run.outcome, run.epochs_done, run.stop_reason)
