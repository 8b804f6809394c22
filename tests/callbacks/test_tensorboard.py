"""TensorBoard: what is written, under which tag, in which folder, at which step; and what is refused."""

from __future__ import annotations

import io
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorboardX")
from event_files import everything, images, nodes, read, steps

from trainhooks import MLP, Callback, LoopRun, Run, fit
from trainhooks.callbacks._tensorboard_weights import images_of, pngs_of, tags_of
from trainhooks.callbacks.tensorboard import TensorBoard
from trainhooks.errors import CapabilityError
from trainhooks.testing import batches, play
from trainhooks.testing.play import Dial

X = np.linspace(-1, 1, 24, dtype=np.float32).reshape(12, 2)
Y = (X.sum(axis=1) > 0).astype(int)


def train(*callbacks: Callback, epochs: int = 2, batch_size: int = 4, **more: Any) -> LoopRun:
    """Epochs of 3 batches, each with a validation."""
    return fit(
        MLP((2, 3, 2)), (X, Y), (X, Y), epochs=epochs, batch_size=batch_size, seed=0, callbacks=callbacks, **more
    )


# Scalars


def test_each_epoch_and_each_validation_is_written(tmp_path: Path) -> None:
    history = [{"loss": 4.0, "val_loss": 2.0}, {"loss": 3.0}, {"loss": 1.0, "val_loss": 0.5}]
    play(history, [TensorBoard(tmp_path)])
    assert everything(tmp_path) == {
        "train": {
            "epoch_loss": [(0, 4.0), (1, 3.0), (2, 1.0)],
            "epoch_learning_rate": [(0, pytest.approx(0.1)), (1, pytest.approx(0.1)), (2, pytest.approx(0.1))],
        },
        "validation": {
            "evaluation_loss_vs_iterations": [(1, 2.0), (3, 0.5)],
            "epoch_loss": [(0, 2.0), (2, 0.5)],
        },
    }


@pytest.mark.parametrize(
    "update_freq, at", [("epoch", []), ("batch", [1, 2, 3, 4, 5, 6]), (np.int64(4), [4]), (2, [2, 4, 6]), (7, [])]
)
def test_within_an_epoch_metrics_are_written_every_so_many_steps_of_the_run(
    tmp_path: Path, update_freq: Any, at: list[int]
) -> None:
    train(TensorBoard(tmp_path, update_freq=update_freq))
    assert steps(tmp_path).get("train/batch_loss", []) == at
    assert steps(tmp_path)["train/epoch_loss"] == [0, 1]


def test_the_metrics_of_a_batch_are_the_running_means_of_its_epoch(tmp_path: Path) -> None:
    with LoopRun(callbacks=[TensorBoard(tmp_path, update_freq="batch")]) as run:
        for _ in run.epochs(2):
            for loss in run.train([1.0, 3.0]):
                run.log(loss=loss)
    assert everything(tmp_path)["train"]["batch_loss"] == [(1, 1.0), (2, 2.0), (3, 1.0), (4, 2.0)]


class Read:
    """A value that counts how often it is read, as one that must come from a device."""

    def __init__(self) -> None:
        self.times = 0

    def __float__(self) -> float:
        self.times += 1
        return 1.0


def test_a_metric_is_read_at_the_due_batches_alone(tmp_path: Path) -> None:
    value = Read()

    class Put(Callback):
        def on_train_batch_end(self, logs: dict[str, Any]) -> None:
            logs["own"] = value

        def on_epoch_end(self, logs: dict[str, Any]) -> None:
            del logs["own"]

    train(Put(), TensorBoard(tmp_path, update_freq=2), epochs=2)
    assert (value.times, steps(tmp_path)["train/batch_own"]) == (3, [2, 4, 6])


@pytest.mark.parametrize(
    "settings, heard",
    [
        ({}, set()),
        ({"write_steps_per_second": True}, set()),
        ({"update_freq": 5}, {"train_batch_end"}),
        ({"update_freq": 5, "write_steps_per_second": True}, {"train_batch_begin", "train_batch_end"}),
        ({"profile_batch": 5}, {"train_batch_begin", "train_batch_end"}),
    ],
)
def test_batches_are_listened_to_only_where_a_setting_needs_it(settings: Any, heard: set[str]) -> None:
    names = {one.event.name for one in TensorBoard("logs", **settings).listeners()}
    assert {name for name in names if "_batch_" in name} == heard
    assert ("epoch_begin" in names) == ("write_steps_per_second" in settings)


def test_a_validation_of_another_name_has_a_folder_of_its_own(tmp_path: Path) -> None:
    with LoopRun(callbacks=[TensorBoard(tmp_path)]) as run:
        for _ in run.epochs(1):
            for _ in run.train(batches(2)):
                for _ in run.test(batches(1), name="val_2"):  # twice in an epoch
                    run.log(loss=2.0)
            for _ in run.test(batches(1)):
                run.log(loss=1.0)
            for _ in run.test(batches(1), name="../held out"):
                run.log(loss=3.0)
    assert everything(tmp_path) == {
        "__held_out": {"evaluation_loss_vs_iterations": [(2, 3.0)], "epoch_loss": [(0, 3.0)]},
        "train": {},
        "val_2": {"evaluation_loss_vs_iterations": [(0, 2.0), (1, 2.0)], "epoch_loss": [(0, 2.0)]},
        "validation": {"evaluation_loss_vs_iterations": [(2, 1.0)], "epoch_loss": [(0, 1.0)]},
    }


def test_an_evaluation_alone_makes_no_folder_but_its_own(tmp_path: Path) -> None:
    with LoopRun(callbacks=[TensorBoard(tmp_path)]) as run:
        for _ in run.test(batches(1)):
            run.log(loss=1.0)
    assert everything(tmp_path) == {"validation": {"evaluation_loss_vs_iterations": [(0, 1.0)]}}


def test_what_other_callbacks_put_into_the_logs_is_written(tmp_path: Path) -> None:
    class Put(Callback):
        def on_epoch_end(self, logs: dict[str, Any]) -> None:
            logs.update({"learning_rate": 9.0, "gap/relative %": 0.5, "count": np.float32(2), "flag": True})

    with LoopRun(callbacks=[TensorBoard(tmp_path), Put()]) as run:
        for _ in run.epochs(1):
            run.log(loss=1.0)
    assert everything(tmp_path)["train"] == {
        "epoch_loss": [(0, 1.0)],
        "epoch_learning_rate": [(0, 9.0)],
        "epoch_gap/relative %": [(0, 0.5)],
        "epoch_count": [(0, 2.0)],
        "epoch_flag": [(0, 1.0)],
    }


def test_each_parameter_group_has_its_learning_rate(tmp_path: Path) -> None:
    play([{"loss": 1.0}], [TensorBoard(tmp_path)], trainable=Dial([0.5, 0.25]))
    assert everything(tmp_path)["train"] == {
        "epoch_loss": [(0, 1.0)],
        "epoch_learning_rate": [(0, 0.5)],
        "epoch_learning_rate/0": [(0, 0.5)],
        "epoch_learning_rate/1": [(0, 0.25)],
    }


def test_what_is_no_number_is_left_out_and_a_warning_says_so_once(tmp_path: Path) -> None:
    class Put(Callback):
        def on_epoch_end(self, logs: dict[str, Any]) -> None:
            logs.update({"confusion": np.zeros((2, 2)), "note": "3"})

    with pytest.warns(RuntimeWarning) as caught:
        train(Put(), TensorBoard(tmp_path))
    assert [str(one.message) for one in caught] == [
        "TensorBoard: epoch_confusion is left out: ndarray is not one number",
        "TensorBoard: epoch_note is left out: str is not one number",
    ]
    assert steps(tmp_path)["train/epoch_loss"] == [0, 1]


def test_nan_and_infinity_are_written_as_they_are(tmp_path: Path) -> None:
    play([{"loss": float("nan")}, {"loss": float("inf")}], [TensorBoard(tmp_path)])
    assert str(everything(tmp_path)["train"]["epoch_loss"]) == "[(0, nan), (1, inf)]"


def test_the_rates_of_steps_are_those_of_their_epoch_and_their_batch(tmp_path: Path) -> None:
    train(TensorBoard(tmp_path, update_freq=2, write_steps_per_second=True))
    series = everything(tmp_path)["train"]
    assert [step for step, _ in series["batch_steps_per_second"]] == [2, 4, 6]
    assert [step for step, _ in series["epoch_steps_per_second"]] == [0, 1]
    rates = [rate for tag in ("batch_steps_per_second", "epoch_steps_per_second") for _, rate in series[tag]]
    assert all(0 < rate < 1e9 for rate in rates)


# Weights


def test_weights_are_histograms_from_the_first_epoch_on(tmp_path: Path) -> None:
    kept: list[Any] = []

    class Keep(Callback):
        def on_epoch_end(self, run: Run) -> None:
            kept.append(run.get_weights()["layer0/kernel"])

    train(Keep(), TensorBoard(tmp_path, histogram_freq=2), epochs=4)
    found = read(tmp_path / "train").Histograms("layer0/kernel/histogram")
    assert sorted(read(tmp_path / "train").Tags()["histograms"]) == [
        "layer0/bias/histogram",
        "layer0/kernel/histogram",
        "layer1/bias/histogram",
        "layer1/kernel/histogram",
    ]
    assert [one.step for one in found] == [0, 2]
    for one, weights in zip(found, kept[::2], strict=True):
        value = one.histogram_value
        assert (value.num, value.min, value.max) == (weights.size, weights.min(), weights.max())
        assert sum(value.bucket) == weights.size


def test_weights_that_are_not_finite_are_left_out_of_their_histogram(tmp_path: Path) -> None:
    model = MLP((2, 2))
    model.weights["layer0/kernel"][...] = [[np.nan, 1.0], [np.inf, 3.0]]
    model.weights["layer0/bias"][...] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        play([{"loss": 1.0}], [TensorBoard(tmp_path, histogram_freq=1, write_images=True)], trainable=model)
    found = read(tmp_path / "train")
    assert found.Tags()["histograms"] == ["layer0/kernel/histogram"]
    assert found.Histograms("layer0/kernel/histogram")[0].histogram_value.num == 2


def test_a_weight_is_an_image_that_any_reader_of_png_can_open(tmp_path: Path) -> None:
    pillow = pytest.importorskip("PIL.Image")
    model = MLP((3, 2))
    model.weights["layer0/kernel"][...] = [[-1.0, 0.0], [1.0, 3.0], [0.0, -1.0]]
    play([{"loss": 1.0}], [TensorBoard(tmp_path, histogram_freq=1, write_images=True)], trainable=model)
    width, height, png = images(tmp_path / "train", "layer0/kernel/image")
    assert (width, height) == (b"3", b"2")
    assert np.asarray(pillow.open(io.BytesIO(png))).tolist() == [[0, 128, 64], [64, 255, 0]]


@pytest.mark.parametrize(
    "shape, outputs_first, becomes",
    [
        ((5,), False, (1, 5, 1, 1)),
        ((2, 5), False, (1, 2, 5, 1)),
        ((5, 2), False, (1, 2, 5, 1)),
        ((1, 5, 1), False, (1, 5, 1, 1)),
        ((4, 5, 6), False, (6, 4, 5, 1)),
        ((4, 5, 1, 6), False, (6, 4, 5, 1)),
        ((4, 5, 6, 3), False, (4, 5, 6, 3)),
        ((4, 5, 6, 2), False, None),
        ((6, 1, 4, 5), True, (6, 4, 5, 1)),
        ((3, 6, 4, 5), True, (4, 5, 6, 3)),
        ((5, 2), True, (1, 2, 5, 1)),
        ((), False, None),
        ((1, 1), False, None),
        ((0, 3), False, None),
        ((2, 2, 2, 2, 2), False, None),
    ],
)
def test_the_shape_says_what_images_a_weight_becomes(shape: Any, outputs_first: bool, becomes: Any) -> None:
    made = images_of(np.ones(shape), outputs_first=outputs_first)
    assert (None if made is None else made.shape) == becomes


def test_of_a_kernel_each_image_is_one_filter_under_both_layouts() -> None:
    filters = np.arange(24.0).reshape(2, 3, 4)
    keras_s, torch_s = filters.transpose(1, 2, 0)[:, :, None, :], filters[:, None]
    for weight, outputs_first in ((keras_s, False), (torch_s, True)):
        made = images_of(weight, outputs_first=outputs_first)
        assert made is not None and np.array_equal(made[..., 0], filters)


def test_a_constant_or_a_huge_weight_is_an_image_too_and_three_images_are_the_most() -> None:
    huge = np.array([-1e308, 1e308]).reshape(1, 1, 2, 1)
    assert [len(pngs_of(one)) for one in (np.ones((5, 2, 2, 1)), huge)] == [3, 1]


def test_the_tags_of_weights_are_paths_and_never_two_the_same() -> None:
    assert tags_of(["layer0/kernel", "0.small/dense/kernel", "1.twin/kernel", "2.twin/kernel", "net.0.weight"]) == {
        "layer0/kernel": "layer0/kernel",
        "0.small/dense/kernel": "small/dense/kernel",
        "1.twin/kernel": "1.twin/kernel",
        "2.twin/kernel": "2.twin/kernel",
        "net.0.weight": "net/0/weight",
    }


# The graph


def test_the_graph_is_written_when_training_begins(tmp_path: Path) -> None:
    train(TensorBoard(tmp_path))
    assert nodes(tmp_path / "train") == [
        ("x", "Input", []),
        ("layer0/dense", "Dense", ["x"]),
        ("layer0/relu", "ReLU", ["layer0/dense"]),
        ("layer1/dense", "Dense", ["layer0/relu"]),
        ("loss", "cross_entropy", ["layer1/dense"]),
    ]


def test_no_graph_is_written_where_none_is_wanted_or_to_be_had(tmp_path: Path) -> None:
    train(TensorBoard(tmp_path / "unwanted", write_graph=False))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        play([{"loss": 1.0}], [TensorBoard(tmp_path / "none")])
    assert [read(tmp_path / name / "train").Tags()["graph"] for name in ("unwanted", "none")] == [False, False]


class Unreadable(MLP):
    def graph(self) -> Any:
        raise RuntimeError("a layer has no name")


def test_a_graph_that_cannot_be_read_is_a_warning_and_training_goes_on(tmp_path: Path) -> None:
    with pytest.warns(RuntimeWarning) as caught:
        run = play([{"loss": 1.0}], [TensorBoard(tmp_path)], trainable=Unreadable((1, 1)))
    assert [str(one.message) for one in caught] == [
        "TensorBoard: no graph of the model was written: a layer has no name"
    ]
    assert (run.outcome, steps(tmp_path)["train/epoch_loss"]) == ("completed", [0])


# Embeddings


class Worded(MLP):
    """A model with two embedding tables that training moves."""

    tables = {"words": np.zeros((2, 3), np.float32), 'of "ü"/x': np.zeros((1, 2), np.float32)}

    def embeddings(self) -> Any:
        return {name: table + np.float32(0.1) for name, table in self.tables.items()}


def embed(folder: Path, **settings: Any) -> Path:
    play([{"loss": 1.0}], [TensorBoard(folder, embeddings_freq=1, **settings)], trainable=Worded((1, 1)))
    return folder / "train"


def projected(folder: Path) -> Any:
    """The configuration as the projector reads it."""
    from google.protobuf import text_format
    from tensorboard.plugins.projector import ProjectorConfig

    made = text_format.Parse((folder / "projector_config.pbtxt").read_text(), ProjectorConfig())
    return [(one.tensor_name, one.tensor_path, one.metadata_path) for one in made.embeddings]


def test_tables_are_written_for_the_projector(tmp_path: Path) -> None:
    train_folder = embed(tmp_path)
    assert projected(train_folder) == [("words", "words.tsv", ""), ('of "ü"/x', "of__ü__x.tsv", "")]
    assert (train_folder / "words.tsv").read_text() == "0.100000001\t0.100000001\t0.100000001\n" * 2


def test_the_names_of_rows_are_copied_to_where_the_projector_reads_them(tmp_path: Path) -> None:
    (tmp_path / "rows.tsv").write_text("one\ntwo\n")
    for metadata, layers in (("rows.tsv", [0, 1]), ({"words": tmp_path / "rows.tsv"}, [0])):
        train_folder = embed(tmp_path, embeddings_metadata=metadata)
        found = [name for *_, name in projected(train_folder)]
        assert [at for at, name in enumerate(found) if name] == layers
        assert all((train_folder / name).read_text() == "one\ntwo\n" for name in found if name)


@pytest.mark.parametrize(
    "metadata, message",
    [
        (
            {"wards": "rows.tsv"},
            "TensorBoard(embeddings_metadata=...): there is no embedding layer 'wards'. "
            "There are 'words', 'of \"ü\"/x'. Did you mean 'words'?",
        ),
        (
            {"words": "nowhere.tsv"},
            "TensorBoard(embeddings_metadata=...): there is no file 'nowhere.tsv', neither in 'logs' nor here. "
            "Write it before training: a line for each row of the table.",
        ),
    ],
)
def test_metadata_that_does_not_fit_is_refused_before_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, metadata: Any, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError) as caught:
        embed(Path("logs"), embeddings_metadata=metadata)
    assert (str(caught.value), list(tmp_path.iterdir())) == (message, [])


# What is refused


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"update_freq": 0}, "(update_freq=0): 'epoch', 'batch', or a number of steps, at least 1"),
        ({"update_freq": True}, "(update_freq=True): 'epoch', 'batch', or a number of steps, at least 1"),
        ({"update_freq": "step"}, "(update_freq='step'): 'epoch', 'batch', or a number of steps, at least 1"),
        ({"histogram_freq": 1.5}, "(histogram_freq=1.5): a whole number, at least 0"),
        ({"embeddings_freq": -1}, "(embeddings_freq=-1): a whole number, at least 0"),
        *(
            (
                {"profile_batch": value},
                f"(profile_batch={value!r}): a batch counted from 1, a pair (first, last) of them, or 0 for none",
            )
            for value in (-1, (5, 4), (0, 3), (1, 2, 3), 1.5, True, "2,3")
        ),
    ],
)
def test_a_setting_without_a_meaning_is_refused(settings: Any, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        TensorBoard("logs", **settings)
    assert str(caught.value) == f"TensorBoard{message}"


@pytest.mark.parametrize(
    "setting, need", [("profile_batch", "profile"), ("embeddings_freq", "embeddings"), ("histogram_freq", "weights")]
)
def test_what_the_trainer_lacks_is_refused_when_it_is_attached(tmp_path: Path, setting: str, need: str) -> None:
    reason = "it was given no model. Use trainhooks.wrap(model, ...)."
    with pytest.raises(CapabilityError) as caught:
        LoopRun(callbacks=[TensorBoard(tmp_path, **{setting: 1})])  # type: ignore[arg-type]
    assert str(caught.value) == f"TensorBoard needs {need!r}, which this trainer lacks: {reason}"


def test_the_numpy_model_says_that_it_has_no_profiler(tmp_path: Path) -> None:
    with pytest.raises(CapabilityError) as caught:
        train(TensorBoard(tmp_path, profile_batch=2))
    assert str(caught.value) == (
        "TensorBoard needs 'profile', which this trainer lacks: the numpy adapter does not offer it."
    )


def test_without_tensorboardx_the_error_names_the_extra_before_anything_is_trained(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['tensorboardX'] = None\n"
        "from trainhooks.testing import play\n"
        "from trainhooks.callbacks.tensorboard import TensorBoard\n"
        "play([{'loss': 1.0}], [TensorBoard(sys.argv[1])])"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True)
    assert done.stderr.strip().splitlines()[-1] == (
        "trainhooks.errors.FrameworkNotInstalledError: "
        "TensorBoard needs tensorboardX, which is not installed: pip install 'trainhooks[tensorboard]'"
    )
    assert list(tmp_path.iterdir()) == []


def test_neither_tensorflow_nor_tensorboard_is_loaded_to_write(tmp_path: Path) -> None:
    program = (
        "import sys, numpy as np, trainhooks\n"
        "from trainhooks.callbacks.tensorboard import TensorBoard\n"
        "assert 'tensorboardX' not in sys.modules\n"
        "x, y = np.zeros((4, 2)), np.zeros(4, int)\n"
        "board = TensorBoard(sys.argv[1], histogram_freq=1, write_images=True, update_freq=1)\n"
        "trainhooks.fit(trainhooks.MLP((2, 2)), (x, y), (x, y), callbacks=[board])\n"
        "print([name for name in ('tensorflow', 'tensorboard', 'PIL') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")
