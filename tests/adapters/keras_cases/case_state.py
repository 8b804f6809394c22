"""A Keras run goes on from its state as if it had never stopped: weights, optimizer, seeds; and from a backup."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from tiny import bare, build, fit, plain, rows
from trainhooks_adapters.keras import bridge

import trainhooks
from trainhooks.callbacks.backup_and_restore import BackupAndRestore
from trainhooks.callbacks.early_stopping import EarlyStopping
from trainhooks.errors import WeightsError
from trainhooks.state_file import load_state, save_state
from trainhooks.testing import Do, RaiseAt, StopAt, Trace

OPTIMIZERS: dict[str, Callable[[], Any]] = {
    "momentum": lambda: keras.optimizers.SGD(0.01, momentum=0.9),
    "adam": lambda: keras.optimizers.Adam(0.05),
    "schedule": lambda: keras.optimizers.Adam(keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)),
    "ema": lambda: keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5),
    "scaled": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1, momentum=0.5)),
}


def random_model(optimizer: Any) -> Any:
    """With dropout and batch normalization: it draws random numbers, and keeps more than trainable weights."""
    keras.utils.set_random_seed(0)
    layers = keras.layers.Dense(4), keras.layers.BatchNormalization(), keras.layers.Dropout(0.5, seed=1)
    return build(*layers, keras.layers.Dense(1), optimizer=optimizer)


def told(model: Any, run: Any) -> Any:
    return [value.tolist() for value in model.get_weights()], list(run.history)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_to_go_on_from_a_file_is_never_to_have_stopped(name: str, tmp_path: Path) -> None:
    whole = random_model(OPTIMIZERS[name]())
    never = trainhooks.wrap(whole)
    fit(never, epochs=4)
    file = tmp_path / "state.safetensors"
    keep = Do("epoch_end", lambda run: save_state(file, run.state_dict()), 1)
    keep.phase = "save"
    fit(trainhooks.wrap(random_model(OPTIMIZERS[name]()), callbacks=[keep]), epochs=2)
    other = random_model(OPTIMIZERS[name]())
    other.set_weights([np.zeros(value.shape) for value in other.get_weights()])
    again = trainhooks.wrap(other, resume=load_state(file))
    fit(again, epochs=4)
    assert told(other, again.run) == told(whole, never.run)


def test_another_model_is_refused_and_nothing_is_written() -> None:
    model = plain()
    wrapped = trainhooks.wrap(model)
    fit(wrapped)
    other = build(keras.layers.Dense(2), keras.layers.Dense(1))
    before = [value.tolist() for value in other.get_weights()]
    with pytest.raises(WeightsError, match=r"load_state_dict\(\): the model has 4 variables, the state 2\."):
        fit(trainhooks.wrap(other, resume=wrapped.run.state_dict()))
    assert [value.tolist() for value in other.get_weights()] == before


def test_another_optimizer_is_refused_and_nothing_is_written() -> None:
    wrapped = trainhooks.wrap(build(optimizer=keras.optimizers.Adam(0.1)))
    fit(wrapped)
    other = build(optimizer=keras.optimizers.Adamax(0.1))
    before = [value.tolist() for value in other.get_weights()]
    with pytest.raises(WeightsError, match=r"the state is of Adam, the optimizer is Adamax\. Nothing was written\."):
        fit(trainhooks.wrap(other, resume=wrapped.run.state_dict()))
    assert [value.tolist() for value in other.get_weights()] == before


@pytest.mark.parametrize("carry", ["wrap", "bridge"])
def test_the_same_script_run_again_goes_on_after_a_crash(carry: str, tmp_path: Path) -> None:
    def script(*more: Any) -> tuple[Any, Any, str]:
        """What a user's script does, whether it runs for the first time or again."""
        trace = Trace(batches=False)
        model = build(optimizer=keras.optimizers.Adam(0.05))
        callbacks = [BackupAndRestore(tmp_path / "backup"), EarlyStopping("loss", patience=3), trace, *more]
        run = None
        try:
            if carry == "wrap":
                wrapped = trainhooks.wrap(model, callbacks=callbacks)
                fit(wrapped, epochs=5)
                run = wrapped.run
            else:
                made = bridge(callbacks)
                fit(model, epochs=5, callbacks=[made])
                run = made.run
        except ZeroDivisionError:
            pass
        assert model._initial_epoch is None
        return model, run, trace.outline()

    whole, never, _ = script()
    assert not (tmp_path / "backup").exists()
    script(RaiseAt("epoch_begin", 3, ZeroDivisionError()))
    assert (tmp_path / "backup" / "backup.safetensors").exists()
    again, run, outline = script()
    assert outline == "setup train[ epoch3[] epoch4[] ] teardown"
    assert told(again, run) == told(whole, never)
    assert not (tmp_path / "backup").exists()


def test_an_evaluation_neither_reads_the_backup_nor_deletes_it(tmp_path: Path) -> None:
    backup = BackupAndRestore(tmp_path, delete_checkpoint=False)
    fit(trainhooks.wrap(plain(), callbacks=[backup]), epochs=2)
    file, model = tmp_path / "backup.safetensors", plain()
    before = file.read_bytes()
    trainhooks.wrap(model, callbacks=[BackupAndRestore(tmp_path)]).evaluate(*rows(), verbose=0)
    assert (file.read_bytes() == before, model.get_weights()[1].tolist()) == (True, [0])


def test_a_pause_leaves_the_backup_and_a_stopped_run_that_is_kept_stays_stopped(tmp_path: Path) -> None:
    backup = BackupAndRestore(tmp_path, delete_checkpoint=False)
    assert bare(backup, StopAt("epoch_end", 1, kind="pause"), epochs=4).endswith("paused")
    assert bare(backup, StopAt("epoch_end", 0), epochs=4).endswith("] stop ] teardown stopped")
    assert bare(backup, epochs=4) == "setup train[] teardown stopped"
