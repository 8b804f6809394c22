"""JSONLogger: a record an epoch, or every so many steps, each a line of valid JSON."""

from __future__ import annotations

import json
import math
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runs import put

from trainhooks import LoopRun, evaluate, fit
from trainhooks.callbacks.json_logger import JSONLogger
from trainhooks.testing import Constant, RaiseAt, batches, play


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.jsonl"


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


def records(path: Path) -> list[dict[str, Any]]:
    """The records of a file, of which each line must be whole and standard JSON."""
    text = path.read_bytes().decode("ascii")
    assert text.endswith("\n")
    return [json.loads(line, parse_constant=refuse) for line in text.splitlines()]


def test_each_epoch_is_a_record(path: Path) -> None:
    fit(Constant(0.5), batches(2), batches(1), epochs=2, callbacks=[JSONLogger(path)])
    assert path.read_bytes() == (
        b'{"epoch": 0, "step": 2, "loss": 0.5, "val_loss": 0.5}\n'
        b'{"epoch": 1, "step": 4, "loss": 0.5, "val_loss": 0.5}\n'
    )


def looped(*callbacks: Any, epochs: int = 2, resume: Any = None) -> LoopRun:
    """Epochs of three steps, whose losses are 1, 2 and 3."""
    with LoopRun(callbacks=callbacks, resume=resume) as run:
        for _ in run.epochs(epochs):
            for loss in run.train([1.0, 2.0, 3.0]):
                run.log(loss=loss)
            for loss in run.test([9.0]):
                run.log(loss=loss)
    return run


def test_every_so_many_steps_is_a_record_of_the_running_means(path: Path) -> None:
    looped(JSONLogger(path, save_freq=2))
    assert records(path) == [
        {"epoch": 0, "batch": 1, "step": 2, "loss": 1.5},
        {"epoch": 1, "batch": 0, "step": 4, "loss": 1.0},
        {"epoch": 1, "batch": 2, "step": 6, "loss": 2.0},
    ]


def test_only_a_rhythm_of_steps_listens_to_batches() -> None:
    heard = [{one.event.name for one in JSONLogger("x", save_freq=freq).listeners()} for freq in ("epoch", 3)]
    always = {"train_begin", "epoch_begin", "teardown"}
    assert heard == [always | {"epoch_end"}, always | {"train_batch_end"}]


def test_a_metric_may_come_and_go(path: Path) -> None:
    put([{"a": 1.0}, {"b": 2.0}, {}], JSONLogger(path))
    assert records(path) == [
        {"epoch": 0, "step": 0, "a": 1.0},
        {"epoch": 1, "step": 0, "b": 2.0},
        {"epoch": 2, "step": 0},
    ]


def test_a_metric_does_not_take_the_place_of_a_count(path: Path) -> None:
    put([{"epoch": 7.0, "step": 8.0, "batch": 9.0}], JSONLogger(path))
    assert records(path) == [{"epoch": 0, "step": 0, "batch": 9.0}]


def test_folders_that_lack_are_made(tmp_path: Path) -> None:
    play([{"loss": 1.0}], [JSONLogger(tmp_path / "a" / "b" / "log.jsonl")])
    assert records(tmp_path / "a" / "b" / "log.jsonl") == [{"epoch": 0, "step": 1, "loss": 1.0}]


# Values


class Strange:
    def __str__(self) -> str:
        return "strange"


CYCLE: list[Any] = []
CYCLE.append(CYCLE)


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (math.nan, "NaN"),
        (math.inf, "Infinity"),
        (-math.inf, "-Infinity"),
        (np.float32("nan"), "NaN"),
        (np.float32(0.1), float(np.float32(0.1))),
        (np.longdouble(0.5), 0.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.array(0.5), 0.5),
        (np.array([[1, 2]]), [[1, 2]]),
        (np.array([0.5, math.nan, -math.inf]), [0.5, "NaN", "-Infinity"]),
        (np.array([], np.float32), []),
        ({"a": np.array([math.inf]), 1: (2, {3})}, {"a": ["Infinity"], "1": [2, [3]]}),
        (True, True),
        (None, None),
        (10**40, 10**40),
        ("two\nlines \u00e9 \ud800", "two\nlines \u00e9 \ud800"),
        (b"12", "b'12'"),
        (1 + 2j, "(1+2j)"),
        (np.datetime64("2020-01-02"), "2020-01-02"),
        (Decimal("0.25"), 0.25),
        (Decimal("NaN"), "NaN"),
        (Strange(), "strange"),
        (np.array([Strange(), 1], object), ["strange", 1]),
        (CYCLE, None),
    ],
)
def test_whatever_a_metric_is_its_record_is_valid_json(path: Path, value: Any, read: Any) -> None:
    put([{"m": value}], JSONLogger(path))
    (record,) = records(path)
    if value is CYCLE:
        assert "..." in str(record)
    else:
        assert record == {"epoch": 0, "step": 0, "m": read}


def test_the_numbers_of_frameworks_are_numbers(path: Path) -> None:
    torch = pytest.importorskip("torch")
    ml_dtypes = pytest.importorskip("ml_dtypes")
    values = [
        torch.tensor(0.5, requires_grad=True),
        torch.tensor([1.5, math.nan], dtype=torch.bfloat16),
        ml_dtypes.bfloat16(1.5),
        np.array([1.5], ml_dtypes.bfloat16),
    ]
    put([{"m": value} for value in values], JSONLogger(path))
    assert [record["m"] for record in records(path)] == [0.5, [1.5, "NaN"], 1.5, [1.5]]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats() | st.floats(width=32).map(np.float32) | st.floats(width=16).map(np.float16), min_size=1))
def test_float_reads_every_number_back(values: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        put([{"m": value} for value in values], JSONLogger(Path(folder, "log.jsonl")))
        read = [float(record["m"]) for record in records(Path(folder, "log.jsonl"))]
    np.testing.assert_array_equal(read, [float(value) for value in values])


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.dictionaries(st.text(max_size=3), JSON_VALUES, max_size=3), min_size=1, max_size=3))
def test_any_history_is_valid_json_and_has_all_its_names(history: list[dict[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        put(history, JSONLogger(Path(folder, "log.jsonl")))
        read = records(Path(folder, "log.jsonl"))
    assert [set(record) for record in read] == [{"epoch", "step", *logs} for logs in history]


# A new run, and settings


def test_a_new_run_begins_the_file_anew(path: Path) -> None:
    logger = JSONLogger(path)
    play([{"loss": 1.0}, {"loss": 2.0}], [logger])
    play([{"loss": 3.0}], [logger])
    assert records(path) == [{"epoch": 0, "step": 1, "loss": 3.0}]


def test_an_evaluation_alone_makes_no_file_and_leaves_the_old_one(path: Path) -> None:
    logger = JSONLogger(path)
    evaluate(Constant(), batches(2), callbacks=[logger])
    assert not path.exists()
    play([{"loss": 1.0}], [logger])
    evaluate(Constant(), batches(2), callbacks=[logger])
    assert records(path) == [{"epoch": 0, "step": 1, "loss": 1.0}]


def test_a_run_that_fails_before_its_first_record_leaves_the_file_of_the_last(path: Path) -> None:
    play([{"loss": 1.0}], [JSONLogger(path)])
    with pytest.raises(RuntimeError, match="asked for"):
        play([{"loss": 2.0}], [JSONLogger(path), RaiseAt("train_batch_end")])
    assert records(path) == [{"epoch": 0, "step": 1, "loss": 1.0}]


@pytest.mark.parametrize("save_freq", [0, -1, 2.5, "epochs", True, math.nan, None])
def test_a_rhythm_that_is_none_is_refused(save_freq: Any) -> None:
    with pytest.raises(ValueError) as caught:
        JSONLogger("x", save_freq=save_freq)
    assert str(caught.value) == f"JSONLogger(save_freq={save_freq!r}): 'epoch', or a number of steps, at least 1"


def test_a_numpy_number_of_steps_is_a_number(path: Path) -> None:
    looped(JSONLogger(path, save_freq=np.int64(4)), epochs=2)
    assert [record["step"] for record in records(path)] == [4]
