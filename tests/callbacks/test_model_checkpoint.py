"""ModelCheckpoint: which files are there after a history, and what they hold."""

from __future__ import annotations

import math
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from runs import Numbered, stepped, trained
from written import files

from trainhooks import MLP, Callback, LoopRun, Run
from trainhooks.callbacks.model_checkpoint import ModelCheckpoint
from trainhooks.errors import CapabilityError, MissingMetricError
from trainhooks.store import load_arrays, load_metadata
from trainhooks.testing import Do, RaiseAt, Trace, play

INF, NAN = math.inf, math.nan


# What a file holds


def test_the_weights_come_back_from_the_file(tmp_path: Path) -> None:
    model = MLP((3, 4, 2))
    play([{"loss": 1.0}], [ModelCheckpoint(tmp_path / "w.safetensors")], trainable=model)
    arrays, wanted = load_arrays(tmp_path / "w.safetensors"), model.get_weights()
    assert arrays.keys() == wanted.keys()
    assert all(np.array_equal(arrays[name], wanted[name]) for name in wanted)


def test_the_file_says_where_it_comes_from(tmp_path: Path) -> None:
    trained([1, 1], ModelCheckpoint(tmp_path / "w.safetensors"))
    assert load_metadata(tmp_path / "w.safetensors") == {"framework": "numpy", "epoch": "1", "step": "2"}


# The name


@pytest.mark.parametrize(
    "name, wanted",
    [
        ("w", {"w": 2}),
        ("w-{epoch}", {"w-1": 1, "w-2": 2}),
        ("{epoch:03d}", {"001": 1, "002": 2}),
        ("{val_loss:.2f}-{loss}", {"0.25-0.5": 2, "1.00-0.5": 1}),
        ("{val_loss!r:>5}", {" 0.25": 2, "  1.0": 1}),
        ("{{epoch}}", {"{epoch}": 2}),
    ],
)
def test_epoch_counts_from_1_and_metrics_can_be_in_the_name(name: str, wanted: dict[str, int], tmp_path: Path) -> None:
    trained([1, 0.25], ModelCheckpoint(tmp_path / f"{name}.safetensors"))
    assert files(tmp_path) == {f"{name}.safetensors": step for name, step in wanted.items()}


def test_a_name_may_make_folders(tmp_path: Path) -> None:
    checkpoint = ModelCheckpoint(str(tmp_path / "a" / "{epoch}" / "w.safetensors"))
    trained([1], checkpoint)
    assert checkpoint.last_path == tmp_path / "a" / "1" / "w.safetensors"
    assert files(tmp_path / "a" / "1") == {"w.safetensors": 1}


def test_a_metric_with_any_name_can_be_in_it(tmp_path: Path) -> None:
    stepped(Numbered(), [{"f1-macro": 0.5}], ModelCheckpoint(tmp_path / "{f1-macro:.1f}.safetensors"))
    assert files(tmp_path) == {"0.5.safetensors": 1}


def test_a_field_that_is_no_metric_is_an_error_with_the_nearest_name(tmp_path: Path) -> None:
    template = str(tmp_path / "{val_los}.safetensors")
    with pytest.raises(MissingMetricError) as caught:
        trained([1], ModelCheckpoint(template))
    assert str(caught.value) == (
        f"ModelCheckpoint(filepath={template!r}): no metric 'val_los'. There are 'epoch', 'loss', 'val_loss'. "
        "Did you mean 'val_loss'?"
    )
    assert files(tmp_path) == {}


PLAIN = "is no plain name. There are {epoch}, {batch} and the names of metrics."


@pytest.mark.parametrize(
    "template, what",
    [
        ("{epoch.__class__}", "{epoch.__class__} " + PLAIN),
        ("{loss[0]}", "{loss[0]} " + PLAIN),
        ("{}", "{} " + PLAIN),
        ("{0}", "{0} " + PLAIN),
        ("{epoch", "expected '}' before end of string"),
        ("{loss:{epoch}}", "the format of {loss} holds a field of its own. Write the format out."),
        ("{loss:{epoch.real}}", "the format of {loss} holds a field of its own. Write the format out."),
        ("{loss:d}", "{loss:d} cannot be formatted: Unknown format code 'd' for object of type 'float'"),
        ("{epoch:s}", "{epoch:s} cannot be formatted: Unknown format code 's' for object of type 'int'"),
        ("{epoch!x}", "{epoch!x} cannot be formatted: Unknown conversion specifier x"),
        ("{batch}", "{batch} has a meaning only with a save_freq in steps or in seconds"),
    ],
)
def test_a_template_that_could_not_be_filled_is_refused(template: str, what: str) -> None:
    with pytest.raises(ValueError) as caught:
        ModelCheckpoint(f"{template}.safetensors")
    assert str(caught.value) == f"ModelCheckpoint(filepath={template + '.safetensors'!r}): {what}"


@pytest.mark.parametrize("path", ["w.h5", "w.pth", "w{epoch}.tar", "w.safetensors.gz", "w.SAFETENSORS"])
def test_another_suffix_is_refused(path: str) -> None:
    with pytest.raises(ValueError) as caught:
        ModelCheckpoint(path)
    assert str(caught.value) == (
        f"ModelCheckpoint(filepath={path!r}): its suffix says what to write. "
        "There is '.safetensors' (weights by name, under every trainer that has weights), "
        "'.keras' (the whole model, under Keras), '.weights.h5' (weights and optimizer, under Keras), "
        "'.pt' (a state_dict(), under PyTorch), '.ubj' (the booster, under XGBoost), "
        "'.json' (the booster as text, under XGBoost), '.txt' (the booster, under LightGBM). "
        "A name without a suffix gets the trainer's own."
    )


FREQUENCIES = (
    "'epoch'; a number of steps, at least 1; or a time above 0, as '600s', '10m', '2h' or a datetime.timedelta"
)


@pytest.mark.parametrize(
    "settings, message",
    [
        *(
            ({"save_freq": freq}, f"ModelCheckpoint(save_freq={freq!r}): {FREQUENCIES}")
            for freq in ("batch", 0, True, 2.5, NAN, None, "600", "0s", "-1s", "10 m", "1d", "1e3s", timedelta(0))
        ),
        ({"keep_best": 0}, "ModelCheckpoint(keep_best=0): a whole number, at least 1"),
        ({"keep_last": 1.5}, "ModelCheckpoint(keep_last=1.5): a whole number, at least 1"),
        ({"keep_last": True}, "ModelCheckpoint(keep_last=True): a whole number, at least 1"),
        ({"initial_value_threshold": NAN}, "ModelCheckpoint(initial_value_threshold=nan): a number, or None"),
        (
            {"save_best_only": True, "mode": "best"},
            "ModelCheckpoint(mode='best'): a mode is 'auto', 'min' or 'max'.",
        ),
    ],
)
def test_what_has_no_meaning_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        ModelCheckpoint("w.safetensors", **settings)
    assert str(caught.value) == message


# A write that fails, and what follows one


def test_a_write_that_fails_leaves_the_old_file_and_the_best(tmp_path: Path) -> None:
    class Broken(Numbered):
        def get_weights(self) -> dict[str, Any]:
            weights: dict[str, Any] = super().get_weights()
            if weights["layer0/kernel"].item() == 2:
                weights["bad"] = np.array(["no number"])
            return weights

    checkpoint = ModelCheckpoint(tmp_path / "w.safetensors", save_best_only=True)
    with pytest.raises(TypeError, match="which the format cannot hold"):
        stepped(Broken(), [{"loss": 1.0, "val_loss": value} for value in (3.0, 2.0)], checkpoint)
    assert (files(tmp_path), checkpoint.best) == ({"w.safetensors": 1}, 3.0)


def test_where_the_disk_refuses_the_best_is_unchanged_and_nothing_is_left(tmp_path: Path) -> None:
    checkpoint = ModelCheckpoint(tmp_path / "w.safetensors", save_best_only=True)
    (tmp_path / "w.safetensors").mkdir()
    with pytest.raises(OSError, match="no plain file"):
        trained([3], checkpoint)
    assert (checkpoint.best, checkpoint.last_path) == (None, None)
    assert [path.name for path in tmp_path.rglob("*")] == ["w.safetensors"]


def test_checkpoint_is_fired_once_the_file_is_there(tmp_path: Path) -> None:
    seen: list[Any] = []

    class Upload(Callback):
        def on_checkpoint(self, run: Run, path: Path, logs: Any) -> None:
            seen.append((Path(path).name, files(tmp_path), logs["val_loss"]))

    trace = Trace(batches=False)
    trained([3, 4, 2], ModelCheckpoint(tmp_path / "w.safetensors", save_best_only=True), Upload(), trace)
    assert seen == [("w.safetensors", {"w.safetensors": 1}, 3.0), ("w.safetensors", {"w.safetensors": 3}, 2.0)]
    assert trace.outline() == (
        "setup train[ epoch0[ test[] checkpoint(w.safetensors) ] epoch1[ test[] ] "
        "epoch2[ test[] checkpoint(w.safetensors) ] ] teardown"
    )


def test_the_best_is_that_of_the_file_also_when_a_listener_of_checkpoint_fails(tmp_path: Path) -> None:
    checkpoint = ModelCheckpoint(tmp_path / "w.safetensors", save_best_only=True)
    with pytest.raises(RuntimeError, match="asked for"):
        trained([3, 2], checkpoint, RaiseAt("checkpoint", 1))
    assert (files(tmp_path), checkpoint.best) == ({"w.safetensors": 2}, 2.0)


def test_verbose_prints_what_it_saves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "w.safetensors"
    trained([3, 4], ModelCheckpoint(path, save_best_only=True, verbose=1))
    trained([3, 4], ModelCheckpoint(path))
    assert capsys.readouterr().out == f"Epoch 1: saving weights to {path}\n"


def test_it_needs_a_trainer_with_weights() -> None:
    with pytest.raises(CapabilityError, match="ModelCheckpoint needs 'weights'"):
        LoopRun(callbacks=[ModelCheckpoint("w.safetensors")])


def test_it_saves_after_what_decides(tmp_path: Path) -> None:
    run = LoopRun(Numbered(), [ModelCheckpoint(tmp_path / "w.safetensors"), Do("epoch_end", id)])
    assert run.bus.order("epoch_end") == ["Do.on_epoch_end", "ModelCheckpoint.on_epoch_end"]
