"""flax.nnx: the loop is yours, and the module and its optimizer are wrapped."""

import optax
from flax import nnx

import trainhooks
from trainhooks.callbacks import CSVLogger, EarlyStopping, ModelCheckpoint, ReduceLROnPlateau

(x_train, y_train), validation = trainhooks.datasets.digits()
rngs = nnx.Rngs(0)
model = nnx.Sequential(nnx.Linear(64, 32, rngs=rngs), nnx.relu, nnx.Linear(32, 10, rngs=rngs))
optimizer = nnx.Optimizer(model, optax.inject_hyperparams(optax.adam)(learning_rate=0.01), wrt=nnx.Param)


def loss_fn(model, x, y):
    return optax.softmax_cross_entropy_with_integer_labels(model(x), y).mean()


@nnx.jit
def step(model, optimizer, x, y):
    loss, grads = nnx.value_and_grad(loss_fn)(model, x, y)
    optimizer.update(model, grads)
    return loss


callbacks = [EarlyStopping("val_loss", patience=3), ReduceLROnPlateau("val_loss", patience=1), ModelCheckpoint("best", save_best_only=True), CSVLogger("log.csv")]
batches = [(x_train[at : at + 32], y_train[at : at + 32]) for at in range(0, 1408, 32)]
with trainhooks.wrap(model, optimizer=optimizer, callbacks=callbacks) as run:
    for _ in run.epochs(30):
        for x, y in run.train(batches):
            run.log(loss=step(model, optimizer, x, y))
        for x, y in run.test([validation]):
            run.log(loss=loss_fn(model, x, y))
print(run.outcome, run.epochs_done, run.stop_reason)
