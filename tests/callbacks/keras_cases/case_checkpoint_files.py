"""What ModelCheckpoint writes in a real fit: that Keras loads it, and when. Run by test_model_checkpoint_keras.py."""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from trainhooks_adapters.keras import bridge, wrap

from trainhooks import Callback, Run
from trainhooks.callbacks.model_checkpoint import ModelCheckpoint
from trainhooks.errors import CapabilityError
from trainhooks.store import load_arrays
from trainhooks.testing import Do, Trace

X = np.linspace(-1, 1, 24, dtype="float32").reshape(12, 2)
Y = X.sum(axis=1, keepdims=True) + 1


def build(*layers: Any) -> Any:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((2,)), *layers, keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.1), "mse")
    return model


def fit(target: Any, epochs: int = 3, **more: Any) -> None:
    """Six batches of two rows each epoch, in their order, then a validation."""
    target.fit(X, Y, batch_size=2, epochs=epochs, shuffle=False, verbose=0, validation_data=(X, Y), **more)


def variables(model: Any) -> list[np.ndarray]:
    """The weights and the optimizer's state."""
    return [np.array(keras.ops.convert_to_numpy(one)) for one in (*model.weights, *model.optimizer.variables)]


def same(first: list[np.ndarray], second: list[np.ndarray]) -> bool:
    return len(first) == len(second) and all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


class Watching(Callback):
    """Write down what the model holds when a file was saved, and what its name is."""

    def __init__(self) -> None:
        self.seen: dict[str, list[np.ndarray]] = {}

    def on_checkpoint(self, path: Path) -> None:
        self.seen[path.name] = variables(self.model)


def test_a_keras_file_is_loaded_and_predicts_and_trains_on_the_same(tmp_path: Path) -> None:
    model, watching = build(), Watching()
    fit(wrap(model, callbacks=[ModelCheckpoint(tmp_path / "w.keras"), watching]), epochs=2)
    loaded = keras.models.load_model(tmp_path / "w.keras")
    assert np.array_equal(loaded.predict(X, verbose=0), model.predict(X, verbose=0))
    assert same(variables(loaded), watching.seen["w.keras"])
    assert [path.name for path in tmp_path.iterdir()] == ["w.keras"]
    assert set(zipfile.ZipFile(tmp_path / "w.keras").namelist()) == {"metadata.json", "config.json", "model.weights.h5"}


@pytest.mark.parametrize("save_weights_only", [False, True])
def test_weights_h5_gives_back_the_weights_and_the_optimizer(save_weights_only: bool, tmp_path: Path) -> None:
    model, watching, path = build(), Watching(), tmp_path / "w.weights.h5"
    fit(wrap(model, callbacks=[ModelCheckpoint(path, save_weights_only=save_weights_only), watching]), epochs=2)
    fresh = build()
    fresh.optimizer.build(fresh.trainable_variables)
    fresh.load_weights(path)
    assert same(variables(fresh), watching.seen["w.weights.h5"])
    assert int(fresh.optimizer.iterations) == 12


def test_safetensors_hold_the_weights_by_name(tmp_path: Path) -> None:
    model = build()
    fit(wrap(model, callbacks=[ModelCheckpoint(tmp_path / "w.safetensors")]), epochs=1)
    names = [f"{place}.{one.path}" for place, one in enumerate(model.weights)]
    arrays = load_arrays(tmp_path / "w.safetensors")
    assert sorted(arrays) == sorted(names)
    assert same([arrays[name] for name in names], model.get_weights())


def test_the_best_alone_is_in_the_file(tmp_path: Path) -> None:
    class Scripted(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            logs["val_loss"] = [2.0, 1.0, 3.0][epoch]

    watching, checkpoint = Watching(), ModelCheckpoint(tmp_path / "{epoch}.keras", save_best_only=True)
    fit(build(), callbacks=[Scripted(), bridge([checkpoint, watching])])
    assert list(watching.seen) == ["1.keras", "2.keras"] == sorted(path.name for path in tmp_path.iterdir())
    assert (checkpoint.best, checkpoint.best_path) == (1.0, tmp_path / "2.keras")


def test_save_freq_in_steps_saves_when_keras_does_and_the_weights_of_then(tmp_path: Path) -> None:
    """The file is written inside a batch's hook, where on JAX a model that was kept from before holds no weights."""
    theirs = keras.callbacks.ModelCheckpoint(
        str(tmp_path / "theirs-e{epoch}b{batch}.weights.h5"), save_weights_only=True, save_freq=4
    )
    watching = Watching()
    ours = ModelCheckpoint(tmp_path / "ours-e{epoch}b{batch}.weights.h5", save_freq=4)
    fit(build(), callbacks=[theirs, bridge([ours, watching])])
    names = ["e1b4", "e2b2", "e2b6", "e3b4"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        f"{who}-{name}.weights.h5" for who in ("ours", "theirs") for name in names
    )
    model, held = build(), []
    model.optimizer.build(model.trainable_variables)
    for name in names:
        for who in ("theirs", "ours"):
            model.load_weights(tmp_path / f"{who}-{name}.weights.h5")
            held.append(variables(model))
        assert same(held[-1], held[-2])
        assert same(held[-1], watching.seen[f"ours-{name}.weights.h5"])
    assert not any(same(held[at], held[at + 2]) for at in range(0, 6, 2))


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5", ".safetensors"])
def test_saving_inside_an_epoch_does_not_disturb_training(suffix: str, tmp_path: Path) -> None:
    plain, saved = build(), build()
    fit(plain, epochs=2)
    fit(wrap(saved, callbacks=[ModelCheckpoint(tmp_path / f"w{suffix}", save_freq=2)]), epochs=2)
    assert same(variables(saved), variables(plain))


def test_the_newest_stay(tmp_path: Path) -> None:
    fit(wrap(build(), callbacks=[ModelCheckpoint(tmp_path / "e{epoch}b{batch}.keras", save_freq=4, keep_last=2)]))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["e2b6.keras", "e3b4.keras"]


def test_a_format_of_another_trainer_is_refused_before_training(tmp_path: Path) -> None:
    path, trace = str(tmp_path / "w.pt"), Trace()
    with pytest.raises(CapabilityError) as caught:
        fit(wrap(build(), callbacks=[trace, ModelCheckpoint(path)]))
    assert str(caught.value) == (
        f"ModelCheckpoint(filepath={path!r}): keras does not write '.pt'. There is '.safetensors' (weights by name), "
        "'.keras' (the whole model, for keras.models.load_model), "
        "'.weights.h5' (weights and optimizer, for model.load_weights)."
    )
    assert trace.outline() == "setup exception(CapabilityError) teardown"


# A write that fails


class Moody(keras.layers.Layer):
    """A layer that can be told to fail while it is saved."""

    mood = "well"

    def call(self, inputs: Any) -> Any:
        return inputs

    def get_config(self) -> Any:
        if self.mood == "no config":
            raise RuntimeError("no config today")
        return super().get_config()

    def save_own_variables(self, store: Any) -> None:
        if self.mood == "no variables":
            raise RuntimeError("no variables today")
        super().save_own_variables(store)


@pytest.mark.parametrize(
    "name, mood", [("w.keras", "no config"), ("w.keras", "no variables"), ("w.weights.h5", "no variables")]
)
def test_a_model_that_fails_half_way_leaves_the_file_and_the_best(name: str, mood: str, tmp_path: Path) -> None:
    layer = Moody()
    model, path = build(keras.layers.Dense(3), layer), tmp_path / name
    checkpoint = ModelCheckpoint(path, save_best_only=True)
    before: list[Any] = []

    def break_it(run: Run) -> None:
        before.extend((path.read_bytes(), checkpoint.best))
        layer.mood = mood

    with pytest.raises(RuntimeError, match=f"{mood} today"):
        fit(wrap(model, callbacks=[checkpoint, Do("epoch_begin", break_it, nth=1)]))
    assert [path.read_bytes(), checkpoint.best] == before
    assert [one.name for one in tmp_path.iterdir()] == [name]


@contextlib.contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """No file of this process can grow beyond ``size`` bytes: a write fails half way, as on a disk that is full."""
    resource = pytest.importorskip("resource", reason="Windows has no such limit")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("name", ["w.keras", "w.weights.h5"])
def test_on_a_full_disk_the_file_that_was_there_is_whole(name: str, tmp_path: Path) -> None:
    wide, path = build(keras.layers.Dense(8000)), tmp_path / name
    fit(wrap(wide, callbacks=[ModelCheckpoint(path)]), epochs=1)
    before = path.read_bytes()
    assert len(before) > 200_000
    with no_file_beyond(100_000), pytest.raises(OSError, match=r"no room|too large"):
        fit(wrap(wide, callbacks=[ModelCheckpoint(path)]), epochs=1)
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == [name]
