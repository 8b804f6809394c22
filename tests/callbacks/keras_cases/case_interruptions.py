"""GracefulStop and NaNGuard under Keras. Run by test_interruptions_keras.py."""

from __future__ import annotations

import os
import signal
import warnings
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import pytest
from trainhooks_adapters.keras import bridge

import trainhooks
from trainhooks import Callback, Run
from trainhooks.callbacks.graceful_stop import GracefulStop
from trainhooks.callbacks.nan_guard import NaNGuard
from trainhooks.errors import CapabilityError
from trainhooks.testing import Do, Trace

STEPS = 4
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(2 * STEPS, 2)).astype("float32"), RNG.normal(size=(2 * STEPS, 1)).astype("float32")


def build() -> Any:
    keras.utils.set_random_seed(7)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, "tanh"), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.25), loss="mse")
    return model


def poisoned(*bad: int) -> Any:
    """The data, with these batches poisoned."""
    x = X.copy()
    for batch in bad:
        x[2 * batch, 1] = np.nan
    return x


def fit(x: Any, *callbacks: Callback, y: Any = Y, **options: Any) -> tuple[Any, list[str]]:
    """A wrapped model that was fitted, and what was warned of."""
    wrapped = trainhooks.wrap(build(), callbacks=callbacks)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        wrapped.fit(x, y, **{"batch_size": 2, "verbose": 0, "shuffle": False} | options)
    return wrapped, [text for one in caught if (text := str(one.message)).startswith(("NaNGuard", "GracefulStop"))]


def variables(wrapped: Any) -> list[Any]:
    """The weights, and the optimizer's own."""
    return [np.array(keras.ops.convert_to_numpy(one)) for one in [*wrapped.weights, *wrapped.optimizer.variables]]


def same(a: Sequence[Any], b: Sequence[Any]) -> bool:
    return len(a) == len(b) and all(np.array_equal(one, other) for one, other in zip(a, b, strict=True))


# NaNGuard


@pytest.mark.parametrize("bad", range(STEPS))
def test_after_a_poisoned_batch_training_goes_on_from_the_state_of_the_epochs_begin(bad: int) -> None:
    guarded, told = fit(poisoned(bad), NaNGuard(lr_factor=1))
    after = slice(2 * bad + 2, None)
    if bad < STEPS - 1:
        assert same(variables(guarded), variables(fit(X[after], y=Y[after])[0]))
    else:
        assert same(guarded.get_weights(), build().get_weights())
    assert [one.partition(". ")[0] for one in told] == [f"NaNGuard: epoch 0, batch {bad}: loss is nan"]
    assert guarded.history.history["nonfinite_batches"] == [1]
    assert np.isnan(guarded.history.history["loss"][0])


def test_the_learning_rate_falls_from_epoch_to_epoch_and_the_state_is_of_each_epochs_begin() -> None:
    lrs: list[float] = []
    seen = Do("train_batch_end", lambda run: lrs.append(run.lr), nth=None)
    guarded, told = fit(poisoned(1), NaNGuard(), seen, epochs=2, validation_data=(X, Y))
    assert lrs == [0.25, *[0.125] * 4, *[0.0625] * 3]
    assert told[1] == (
        "NaNGuard: epoch 1, batch 1: loss is nan. The state of step 4 is put back, the learning rate goes from 0.125 "
        "to 0.0625 (rollback 2 of 3)."
    )
    assert np.isfinite(guarded.history.history["val_loss"]).all()
    assert guarded.history.history["rollbacks"] == [1, 2]


def test_a_second_nan_in_an_epoch_is_seen_when_the_epoch_ends() -> None:
    guarded, told = fit(poisoned(0, 2), NaNGuard(lr_factor=1))
    assert len(told) == 2 and "NaNGuard: epoch 0, at its end: " in told[1]
    assert guarded.history.history["nonfinite_batches"] == [2]
    assert same(guarded.get_weights(), build().get_weights())


def test_or_when_a_state_is_taken() -> None:
    guarded, told = fit(poisoned(0, 2), NaNGuard(save_freq=1, lr_factor=1))
    assert len(told) == 2 and "NaNGuard: epoch 0, before batch 3: 'model/values/0' is not finite" in told[1]
    assert guarded.history.history["nonfinite_batches"] == [2]
    whole = [2, 3, 6, 7]
    assert same(variables(guarded), variables(fit(X[whole], y=Y[whole])[0]))


def test_without_a_nan_a_fit_with_it_is_as_one_without() -> None:
    plain, (guarded, told) = fit(X, epochs=2)[0], fit(X, NaNGuard(), epochs=2)
    assert same(variables(guarded), variables(plain))
    assert (guarded.history.history["loss"], told) == (plain.history.history["loss"], [])


def test_one_too_many_is_a_fault_and_leaves_the_good_state() -> None:
    guarded, told = fit(poisoned(0), NaNGuard(max_rollbacks=1), epochs=4)
    run = guarded.run
    assert (run.outcome, run.stop_kind, run.step, len(told)) == ("stopped", "fault", 5, 1)
    assert (
        run.stop_reason == "epoch 1, batch 0: loss is nan; max_rollbacks=1 are used up. The state of step 4 is put back"
    )
    assert all(np.isfinite(one).all() for one in variables(guarded))


def test_a_spike_is_not_to_be_seen_in_running_means() -> None:
    with pytest.raises(CapabilityError) as caught:
        fit(X, NaNGuard(spike=10))
    assert str(caught.value) == (
        "NaNGuard needs 'batch_logs', which this trainer lacks: Keras shows running means only: use logs."
    )


# GracefulStop


class Saver(Callback):
    """Shows in an outline where a checkpoint is taken."""

    def save(self, run: Run) -> None:
        run.emit("checkpoint", path=f"step{run.step}", logs=run.logs)


@pytest.mark.parametrize(
    "event, outline",
    [
        ("train_batch_begin", "setup train[ epoch0[ batch0[ stop ] checkpoint(step1) teardown"),
        ("test_batch_begin", "setup train[ epoch0[ {} test[ batch0[ stop ] checkpoint(step4) teardown"),
    ],
)
@pytest.mark.parametrize("bridged", [True, False])
def test_a_signal_is_a_pause_at_the_end_of_the_batch(event: str, outline: str, bridged: bool) -> None:
    def send(run: Run) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(2):  # Python looks for signals when it jumps back
            pass

    before, trace = signal.getsignal(signal.SIGTERM), Trace()
    callbacks = [GracefulStop(), Saver(), Do(event, send), trace]
    data: Any = {"epochs": 2, "batch_size": 2, "verbose": 0, "validation_data": (X, Y)}
    if bridged:
        made = bridge(callbacks)
        build().fit(X, Y, callbacks=[made], **data)
    else:
        made, _ = fit(X, *callbacks, **data)
    assert trace.outline() == outline.format(" ".join(f"batch{number}[]" for number in range(STEPS)))
    assert (made.run.outcome, made.run.stop_reason) == ("paused", "SIGTERM was received")
    assert signal.getsignal(signal.SIGTERM) is before


def test_with_it_alone_keras_tells_of_batches_so_that_a_signal_need_not_wait() -> None:
    assert bridge([GracefulStop()]).hooks >= {f"on_{kind}_batch_end" for kind in ("train", "test", "predict")}
