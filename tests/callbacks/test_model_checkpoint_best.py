"""ModelCheckpoint: when it saves, and that nothing is saved over a better one."""

from __future__ import annotations

import json
import math
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runs import Numbered, stepped, trained
from written import files

from trainhooks import LoopRun, Run
from trainhooks.callbacks.model_checkpoint import ModelCheckpoint
from trainhooks.errors import MissingMetricError
from trainhooks.testing import Do

INF, NAN = math.inf, math.nan


# When it saves


def batched(checkpoint: ModelCheckpoint, *, epochs: int = 3, batches: int = 6, resume: Any = None) -> Run:
    """Epochs of batches whose loss falls over the run; validated at each end. The weight is the step."""
    model = Numbered()
    with LoopRun(model, [checkpoint], resume=resume) as run:
        for _ in run.epochs(epochs):
            for _ in run.train(range(batches)):
                run.log(loss=-float(run.step))
                model.weights["layer0/kernel"][...] = run.step + 1
            for _ in run.test([0]):
                run.log(loss=1.0)
    return run.run


def test_save_freq_counts_steps_over_epochs(tmp_path: Path) -> None:
    batched(ModelCheckpoint(tmp_path / "e{epoch}b{batch}.safetensors", save_freq=4))
    assert files(tmp_path) == {
        f"{name}.safetensors": 4 * n + 4 for n, name in enumerate(("e1b4", "e2b2", "e2b6", "e3b4"))
    }


def test_save_freq_goes_on_counting_after_a_resume(tmp_path: Path) -> None:
    template = tmp_path / "e{epoch}b{batch}.safetensors"
    first = batched(ModelCheckpoint(template, save_freq=4), epochs=1)
    batched(ModelCheckpoint(template, save_freq=4), resume=first.state_dict())
    assert [name.split(".")[0] for name in files(tmp_path)] == ["e1b4", "e2b2", "e2b6", "e3b4"]


def listened(save_freq: Any) -> dict[str, list[str]]:
    """What it listens to beside the ends of a run, each with its filters."""
    made = ModelCheckpoint("w.safetensors", save_freq=save_freq)
    heard = {one.event.name: [str(due) for due in one.filters] for one in made.listeners()}
    return {name: due for name, due in heard.items() if name not in ("setup", "train_begin", "train_end")}


@pytest.mark.parametrize(
    "save_freq, wanted",
    [
        ("epoch", {"epoch_end": []}),
        (5, {"train_batch_end": ["every(steps=5)"]}),
        (np.int64(5), {"train_batch_end": ["every(steps=5)"]}),
        ("90s", {"train_batch_end": ["every(seconds=90.0)"]}),
        ("1.5m", {"train_batch_end": ["every(seconds=90.0)"]}),
        ("2h", {"train_batch_end": ["every(seconds=7200.0)"]}),
        (timedelta(minutes=10), {"train_batch_end": ["every(seconds=600.0)"]}),
    ],
)
def test_it_listens_to_epochs_or_to_batches_as_save_freq_says(save_freq: Any, wanted: dict[str, list[str]]) -> None:
    assert listened(save_freq) == wanted


def test_a_time_that_has_passed_at_every_batch_saves_at_every_batch(tmp_path: Path) -> None:
    template = tmp_path / "e{epoch}b{batch}.safetensors"
    batched(ModelCheckpoint(template, save_freq=timedelta(microseconds=1)), epochs=1, batches=2)
    assert files(tmp_path) == {"e1b1.safetensors": 1, "e1b2.safetensors": 2}


def test_a_time_that_has_not_passed_saves_nothing(tmp_path: Path) -> None:
    batched(ModelCheckpoint(tmp_path / "w.safetensors", save_freq="9h"))
    assert files(tmp_path) == {}


def test_a_subclass_whose_errors_only_warn_does_so_at_steps_too(tmp_path: Path) -> None:
    class Lenient(ModelCheckpoint):
        on_error = "warn"

    (tmp_path / "w.safetensors").mkdir()
    with pytest.warns(RuntimeWarning, match="no plain file"):
        run = batched(Lenient(tmp_path / "w.safetensors", save_freq=4))
    assert run.outcome == "completed"


def test_the_best_is_found_at_steps_too(tmp_path: Path) -> None:
    """The loss is the mean of the epoch so far: it falls, and begins lower in each epoch."""
    checkpoint = ModelCheckpoint(tmp_path / "w.safetensors", "loss", save_best_only=True, save_freq=4)
    batched(checkpoint, epochs=2)
    assert (files(tmp_path), checkpoint.best) == ({"w.safetensors": 12}, -8.5)


def test_a_misspelt_metric_of_steps_is_an_error_at_the_first_of_them(tmp_path: Path) -> None:
    with pytest.raises(MissingMetricError) as caught:
        batched(ModelCheckpoint(tmp_path / "w.safetensors", "lost", save_best_only=True, save_freq=4, mode="min"))
    assert str(caught.value) == (
        "ModelCheckpoint(monitor='lost'): step 4 ended without that metric. There are 'loss'. Did you mean 'loss'? "
        "(strict=False warns instead.)"
    )


def test_a_metric_of_the_validation_is_never_there_at_a_step_and_the_end_says_so(tmp_path: Path) -> None:
    checkpoint = ModelCheckpoint(tmp_path / "w.safetensors", save_best_only=True, save_freq=4)
    with pytest.warns(UserWarning, match="no validation has run yet"), pytest.raises(MissingMetricError) as caught:
        batched(checkpoint)
    assert str(caught.value).startswith(
        "ModelCheckpoint(monitor='val_loss'): training ended and no step ended with that metric, so nothing was saved."
    )
    assert files(tmp_path) == {}


@pytest.mark.parametrize(
    "settings, values, wanted",
    [
        ({}, [3, 2, 2, 4, 1], [1, 2, 5]),
        ({"mode": "max"}, [3, 2, 3, 4], [1, 4]),
        ({}, [NAN, 3, NAN, 2], [2, 4]),
        ({}, [NAN, NAN], []),
        ({}, [INF, 3, -INF, 1], [1, 2, 3]),
        ({}, [3, None, 2, None], [1, 3]),
        ({"initial_value_threshold": 2.5}, [3, 2.5, 2], [3]),
        ({"initial_value_threshold": 2.5, "mode": "max"}, [3, 2], [1]),
        ({"save_best_only": False}, [3, 4, NAN, None], [1, 2, 3, 4]),
        ({"save_best_only": False, "initial_value_threshold": 0.0}, [3], [1]),
    ],
)
def test_save_best_only_saves_what_is_better(
    settings: dict[str, Any], values: list[float | None], wanted: list[int], tmp_path: Path
) -> None:
    trained(values, ModelCheckpoint(tmp_path / "{epoch}.safetensors", **{"save_best_only": True, **settings}))
    assert [int(name.split(".")[0]) for name in files(tmp_path)] == wanted


def test_a_missing_metric_is_an_error_and_not_saved_for_want_of_it(tmp_path: Path) -> None:
    history = [{"loss": 1.0, "val_f1": 2.0}, {"loss": 1.0, "val_f2": 3.0}]
    checkpoint = ModelCheckpoint(tmp_path / "w.safetensors", "val_f1", save_best_only=True)
    with pytest.raises(MissingMetricError) as caught:
        stepped(Numbered(), history, checkpoint)
    assert str(caught.value) == (
        "ModelCheckpoint(monitor='val_f1'): epoch 1 ended without that metric. There are 'loss', 'val_f2'. "
        "Did you mean 'val_f2'? (strict=False warns instead.)"
    )
    assert (files(tmp_path), checkpoint.best) == ({"w.safetensors": 1}, 2.0)


def test_not_strict_it_warns_and_saves_nothing(tmp_path: Path) -> None:
    history = [{"f1": 2.0}, {"loss": 1.0}, {"f1": 3.0}]
    checkpoint = ModelCheckpoint(tmp_path / "w-{epoch}.safetensors", "f1", save_best_only=True, strict=False)
    with pytest.warns(UserWarning, match="epoch 1 ended without that metric"):
        stepped(Numbered(), history, checkpoint)
    assert files(tmp_path) == {"w-1.safetensors": 1, "w-3.safetensors": 3}


def test_the_best_is_kept_over_two_runs_of_one_object(tmp_path: Path) -> None:
    checkpoint = ModelCheckpoint(tmp_path / "w.safetensors", save_best_only=True)
    trained([3, 2], checkpoint)
    trained([2.5, 2.25, 9], checkpoint)
    assert (files(tmp_path), checkpoint.best) == ({"w.safetensors": 2}, 2.0)


def test_but_not_whether_a_validation_was_seen(tmp_path: Path) -> None:
    checkpoint = ModelCheckpoint(tmp_path / "w.safetensors", save_best_only=True)
    trained([3], checkpoint)
    with (
        pytest.warns(UserWarning, match="no validation has run yet"),
        pytest.raises(MissingMetricError, match="training ended and no validation ever ran"),
    ):
        trained([None], checkpoint)
    assert checkpoint.best == 3.0


@pytest.mark.filterwarnings("ignore:ModelCheckpoint")
@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.sampled_from([-INF, -1.0, 0.0, 1.0, 2.0, INF, NAN, None]), min_size=1, max_size=6),
    st.sampled_from(["min", "max"]),
)
def test_resuming_after_any_epoch_equals_never_having_stopped(
    tmp_path_factory: pytest.TempPathFactory, values: list[float | None], mode: Any
) -> None:
    folder, states = tmp_path_factory.mktemp("w"), []

    def make(name: str) -> ModelCheckpoint:
        return ModelCheckpoint(folder / name / "w.safetensors", save_best_only=True, mode=mode, strict=False)

    last = Do("epoch_end", lambda run: states.append(json.loads(json.dumps(told(run.state_dict())))), nth=None)
    last.phase = "save"
    whole = make("whole")
    trained(values, whole, last)
    for epoch, state in enumerate(states):
        (folder / str(epoch)).mkdir()
        if state["callbacks"]["ModelCheckpoint"]["last_path"]:
            trained(values[: epoch + 1], make(str(epoch)))
        resumed = make(str(epoch))
        trained(values, resumed, Do("epoch_end", id), resume=state)
        assert resumed.best == whole.best
        assert files(folder / str(epoch)) == (files(folder / "whole") if whole.last_path else {})


def told(state: dict[str, Any]) -> dict[str, Any]:
    """Without the model's own arrays, which a play does not need."""
    return {**state, "trainable": None}


def test_the_state_of_another_metric_is_not_taken(tmp_path: Path) -> None:
    old = ModelCheckpoint(tmp_path / "w.safetensors", "loss", save_best_only=True)
    trained([3], old)
    new = ModelCheckpoint(tmp_path / "w.safetensors", "val_loss", save_best_only=True)
    with pytest.warns(UserWarning, match="begins anew"):
        new.load_state_dict(old.state_dict())
    assert (new.best, new.last_path) == (None, None)


@pytest.mark.parametrize("before, after", [(False, True), (True, False)])
def test_the_state_of_one_that_saved_all_has_no_best(before: bool, after: bool, tmp_path: Path) -> None:
    old, new = (ModelCheckpoint(tmp_path / "w.safetensors", save_best_only=only) for only in (before, after))
    trained([3], old)
    new.load_state_dict(old.state_dict())
    assert new.best is None
