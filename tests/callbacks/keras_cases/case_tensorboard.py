"""Ours and Keras's own on the same fits; the graph, the profile, the tables. Run by test_tensorboard_keras.py."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from event_files import everything, images, nodes, read, steps
from trainhooks_adapters.keras._trainable import KerasTrainable

import trainhooks
from trainhooks import Callback
from trainhooks.callbacks.tensorboard import TensorBoard
from trainhooks.testing import Do, play

BACKEND = keras.backend.backend()
X = np.linspace(-1, 1, 24, dtype="float32").reshape(12, 2)
Y = X.sum(axis=1, keepdims=True)


def build() -> Any:
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((2,)), keras.layers.Dense(3, name="first"), keras.layers.Dense(1, name="last")], name="small"
    )
    model.compile(keras.optimizers.SGD(2.0**-6), "mse", metrics=["mae"])
    return model


def fit(model: Any, *callbacks: Callback, native: Any = (), batch_size: int = 2, epochs: int = 3) -> Any:
    """Epochs of 6 batches, unless ``batch_size`` says otherwise."""
    wrapped = trainhooks.wrap(model, callbacks=callbacks)
    wrapped.fit(
        X,
        Y,
        batch_size=batch_size,
        epochs=epochs,
        validation_data=(X, Y),
        shuffle=False,
        verbose=0,
        callbacks=list(native),
    )
    return wrapped


def both(folder: Path, batch_size: int = 2, **options: Any) -> tuple[Path, Path]:
    """What ours and Keras's own write of one and the same fit."""
    ours, keras_s = folder / "ours", folder / "keras"
    fit(
        build(),
        TensorBoard(ours, **options),
        native=[keras.callbacks.TensorBoard(str(keras_s), **options)],
        batch_size=batch_size,
    )
    return ours, keras_s


# Against Keras's own, which writes with TensorFlow

against_keras = pytest.mark.skipif(find_spec("tensorflow") is None, reason="Keras's own TensorBoard needs TensorFlow")


@against_keras
@pytest.mark.parametrize("update_freq", ["epoch", "batch", 3])
def test_folders_tags_steps_and_values_are_keras_s(tmp_path: Path, update_freq: Any) -> None:
    ours, keras_s = both(tmp_path, update_freq=update_freq)
    assert everything(ours) == everything(keras_s)
    assert list(everything(ours)) == ["train", "validation"]


@against_keras
def test_an_epoch_is_written_that_keras_drops_since_its_steps_are_no_multiple(tmp_path: Path) -> None:
    ours, keras_s = (everything(one) for one in both(tmp_path, batch_size=3, update_freq=3))
    assert [step for step, _ in ours["train"]["batch_loss"]] == [3, 6, 9, 12]
    assert [step for step, _ in ours["train"]["epoch_loss"]] == [0, 1, 2]
    assert [step for step, _ in keras_s["train"]["epoch_loss"]] == [2]
    for folder, series in keras_s.items():
        for tag, values in series.items():
            assert [one for one in ours[folder][tag] if one in values] == values


@against_keras
def test_the_rates_of_steps_have_keras_s_tags_and_steps(tmp_path: Path) -> None:
    ours, keras_s = (steps(one) for one in both(tmp_path, update_freq=3, write_steps_per_second=True))
    assert ours == keras_s
    assert ours["train/batch_steps_per_second"] == [3, 6, 9, 12, 15, 18]


@against_keras
def test_histograms_and_images_have_keras_s_tags_and_steps_and_sizes(tmp_path: Path) -> None:
    ours, keras_s = both(tmp_path, histogram_freq=2, write_images=True)
    ours, keras_s = ours / "train", keras_s / "train"
    tags, theirs = read(ours).Tags(), read(keras_s).Tags()["tensors"]
    assert sorted(tags["histograms"]) == sorted(tag for tag in theirs if tag.endswith("/histogram"))
    assert [one.step for one in read(ours).Histograms("small/first/kernel/histogram")] == [0, 2]
    assert sorted(tags["tensors"]) == sorted(tag for tag in theirs if tag.endswith("/image"))
    for tag in tags["tensors"]:
        assert images(ours, tag)[:2] == images(keras_s, tag)[:2]


def test_an_evaluation_alone_writes_as_that_of_keras_at_the_step_of_its_own_run(tmp_path: Path) -> None:
    model = build()
    trainhooks.wrap(model, callbacks=[TensorBoard(tmp_path)]).evaluate(X, Y, verbose=0)
    assert steps(tmp_path) == {
        "validation/evaluation_loss_vs_iterations": [0],
        "validation/evaluation_mae_vs_iterations": [0],
    }


def test_a_second_fit_is_written_beside_the_first(tmp_path: Path) -> None:
    model = build()
    board = TensorBoard(tmp_path, update_freq=6)
    for _ in range(2):
        fit(model, board, epochs=2)
    assert steps(tmp_path)["train/epoch_loss"] == [0, 1, 0, 1]
    assert steps(tmp_path)["train/batch_loss"] == [6, 12, 6, 12]
    assert steps(tmp_path)["validation/evaluation_loss_vs_iterations"] == [6, 12, 6, 12]


def test_the_rate_of_a_schedule_is_written_too(tmp_path: Path) -> None:
    model = build()
    halving = keras.optimizers.schedules.ExponentialDecay(0.5, decay_steps=6, decay_rate=0.5, staircase=True)
    model.compile(keras.optimizers.SGD(halving), "mse")
    fit(model, TensorBoard(tmp_path), epochs=2)
    assert everything(tmp_path)["train"]["epoch_learning_rate"] == [(0, 0.25), (1, 0.125)]


# The graph


def test_the_graph_of_a_sequential_model_is_its_chain(tmp_path: Path) -> None:
    fit(build(), TensorBoard(tmp_path), epochs=1)
    assert nodes(tmp_path / "train") == [
        ("input", "InputLayer", []),
        ("first", "Dense", ["input"]),
        ("last", "Dense", ["first"]),
    ]


def test_the_graph_of_a_functional_model_has_its_edges_and_a_group_for_each_call_of_a_model_inside(
    tmp_path: Path,
) -> None:
    one, other = keras.Input((2,), name="one"), keras.Input((2,), name="other")
    inner = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, name="dense")], name="inner")
    joined = keras.layers.Concatenate(name="joined")([inner(one), inner(other)])
    model = keras.Model([one, other], keras.layers.Dense(1, name="out")(joined + 1.0))
    model.compile("sgd", "mse")
    trainhooks.wrap(model, callbacks=[TensorBoard(tmp_path)]).fit([X, X], Y, verbose=0)
    assert nodes(tmp_path / "train") == [
        ("one", "InputLayer", []),
        ("other", "InputLayer", []),
        ("inner/dense", "Dense", ["one"]),
        ("inner_1/dense", "Dense", ["other"]),
        ("joined", "Concatenate", ["inner/dense", "inner_1/dense"]),
        ("add", "Add", ["joined"]),
        ("out", "Dense", ["add"]),
    ]


def test_a_functional_model_inside_is_fed_at_its_own_inputs(tmp_path: Path) -> None:
    inside = keras.Input((2,), name="inside")
    inner = keras.Model(inside, keras.layers.Dense(2, name="dense")(inside), name="inner")
    outside = keras.Input((2,), name="outside")
    model = keras.Model(outside, keras.layers.Dense(1, name="out")(inner(outside)))
    model.compile("sgd", "mse")
    trainhooks.wrap(model, callbacks=[TensorBoard(tmp_path)]).fit(X, Y, verbose=0)
    assert nodes(tmp_path / "train") == [
        ("outside", "InputLayer", []),
        ("inner/inside", "InputLayer", ["outside"]),
        ("inner/dense", "Dense", ["inner/inside"]),
        ("out", "Dense", ["inner/dense"]),
    ]


class Own(keras.Model):
    """A model whose call says what it does."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = keras.layers.Dense(3, name="first"), keras.layers.Dense(1, name="last")

    def call(self, x: Any) -> Any:
        return self.last(self.first(x))


def test_the_graph_of_a_model_of_ones_own_is_its_layers(tmp_path: Path) -> None:
    model = Own()
    model.compile("sgd", "mse")
    fit(model, TensorBoard(tmp_path), epochs=1)
    assert nodes(tmp_path / "train") == [("first", "Dense", []), ("last", "Dense", [])]


class Late(Own):
    """A model that makes its layers when it is built."""

    def __init__(self) -> None:
        keras.Model.__init__(self, name="late")

    def build(self, shape: Any) -> None:
        self.first, self.last = keras.layers.Dense(3, name="first"), keras.layers.Dense(1, name="last")
        self.first.build(shape)
        self.last.build((None, 3))


def test_a_model_that_has_no_layers_yet_has_no_graph_and_a_line_says_so(tmp_path: Path) -> None:
    model = Late()
    model.compile("sgd", "mse")
    trainable = KerasTrainable(lambda: model, frozenset())
    with pytest.warns(RuntimeWarning) as caught:
        play([{"loss": 1.0}], [TensorBoard(tmp_path)], trainable=trainable)
    assert [str(one.message) for one in caught if one.category is RuntimeWarning] == [
        "TensorBoard: no graph of the model was written: the model 'late' has no layers yet: it makes them when it is "
        "built"
    ]
    assert steps(tmp_path)["train/epoch_loss"] == [0]


# Embeddings


def worded() -> Any:
    model = keras.Sequential(
        [keras.Input((2,), dtype="int32"), keras.layers.Embedding(4, 3, name="words"), keras.layers.Flatten()]
    )
    model.add(keras.layers.Dense(1))
    model.compile("sgd", "mse")
    return model


def test_the_tables_of_embedding_layers_stand_as_they_were_at_the_last_due_epoch(tmp_path: Path) -> None:
    model = worded()
    kept: list[Any] = []
    last = Do("epoch_end", lambda run: kept.append(np.array(model.get_weights()[0])), nth=None)
    board = TensorBoard(tmp_path, embeddings_freq=2)
    trainhooks.wrap(model, callbacks=[board, last]).fit(np.ones((4, 2), "int32"), Y[:4], epochs=4, verbose=0)
    written = np.loadtxt(tmp_path / "train" / "words.tsv", delimiter="\t", dtype=np.float32)
    assert np.array_equal(written, kept[2]) and not np.array_equal(written, kept[3])
    assert (tmp_path / "train" / "projector_config.pbtxt").read_text() == (
        'embeddings {\n  tensor_name: "words"\n  tensor_path: "words.tsv"\n}\n'
    )


def test_a_model_without_an_embedding_layer_is_refused_before_it_trains(tmp_path: Path) -> None:
    with pytest.raises(ValueError) as caught:
        fit(build(), TensorBoard(tmp_path, embeddings_freq=1))
    assert str(caught.value) == (
        "TensorBoard(embeddings_freq=1): the model has no embedding layer. Leave embeddings_freq out."
    )


# The profile


def test_the_backends_own_profiler_writes_where_the_profile_page_looks(tmp_path: Path) -> None:
    fit(build(), TensorBoard(tmp_path, profile_batch=(3, 5)), epochs=1)
    sessions = list((tmp_path / "train" / "plugins" / "profile").iterdir())
    suffix = {"torch": ".pt.trace.json"}.get(BACKEND, ".xplane.pb")
    traces = [path for session in sessions for path in session.glob(f"*{suffix}")]
    assert (len(sessions), len(traces), [path.stat().st_size > 0 for path in traces]) == (1, 1, [True])
