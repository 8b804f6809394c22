"""JAX and optax: the loop is yours. The newest parameters are in a TrainState, where callbacks find them."""

import jax
import optax
from trainhooks_adapters.jax import TrainState

import trainhooks
from trainhooks.callbacks import CSVLogger, EarlyStopping, ModelCheckpoint, ReduceLROnPlateau

(x_train, y_train), validation = trainhooks.datasets.digits()
batches = [(x_train[at : at + 32], y_train[at : at + 32]) for at in range(0, 1408, 32)]
keys = jax.random.split(jax.random.key(0))
params = {"w1": jax.random.normal(keys[0], (64, 32)) / 8, "w2": jax.random.normal(keys[1], (32, 10)) / 6}
optimizer = optax.inject_hyperparams(optax.adam)(learning_rate=0.01)


def loss_fn(params, x, y):
    logits = jax.nn.relu(x @ params["w1"]) @ params["w2"]
    return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()


@jax.jit
def step(params, opt_state, x, y):
    loss, grads = jax.value_and_grad(loss_fn)(params, x, y)
    updates, opt_state = optimizer.update(grads, opt_state, params)
    return optax.apply_updates(params, updates), opt_state, loss


callbacks = [EarlyStopping("val_loss", patience=3), ReduceLROnPlateau("val_loss", patience=1), ModelCheckpoint("best", save_best_only=True), CSVLogger("log.csv")]
state = TrainState(params, optimizer.init(params))
with trainhooks.wrap(state, callbacks=callbacks) as run:
    for _ in run.epochs(30):
        for x, y in run.train(batches):
            state.params, state.opt_state, loss = step(state.params, state.opt_state, x, y)
            run.log(loss=loss)
        for x, y in run.test([validation]):
            run.log(loss=loss_fn(state.params, x, y))
print(run.outcome, run.epochs_done, run.stop_reason)
