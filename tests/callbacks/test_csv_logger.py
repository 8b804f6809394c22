"""CSVLogger: one row an epoch, matched by name, whatever happens."""

from __future__ import annotations

import csv
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runs import History, put
from written import cells, text

from trainhooks import Callback, evaluate, fit
from trainhooks.callbacks.csv_logger import CSVLogger
from trainhooks.testing import Constant, RaiseAt, batches, play


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.csv"


def test_each_epoch_is_a_row(path: Path) -> None:
    fit(Constant(0.5, accuracy=1.0), batches(2), batches(1), epochs=2, callbacks=[CSVLogger(path)])
    assert path.read_bytes() == (
        b"epoch,accuracy,loss,val_accuracy,val_loss\r\n0,1.0,0.5,1.0,0.5\r\n1,1.0,0.5,1.0,0.5\r\n"
    )


def test_a_metric_that_is_missing_is_na(path: Path) -> None:
    put([{"b": 1.0, "a": 2.0}, {"b": 3.0}, {}], CSVLogger(path))
    assert text(path) == "epoch,a,b\n0,2.0,1.0\n1,NA,3.0\n2,NA,NA\n"


def test_a_metric_that_appears_late_widens_the_file(path: Path) -> None:
    put([{"m": 1.0}, {"m": 2.0, "val_m": 3.0, "a": 4.0}, {"m": 5.0}], CSVLogger(path))
    assert text(path) == "epoch,m,a,val_m\n0,1.0,NA,NA\n1,2.0,4.0,3.0\n2,5.0,NA,NA\n"


def test_what_is_decided_in_an_epoch_end_is_in_its_row(path: Path) -> None:
    class Decide(Callback):
        phase = "decide"

        def on_epoch_end(self, logs: dict[str, float]) -> None:
            logs["lr"] = 0.1

    play([{"loss": 1.0}], [CSVLogger(path), Decide()])
    assert text(path) == "epoch,loss,lr\n0,1.0,0.1\n"


def test_a_metric_called_epoch_does_not_take_the_place_of_the_count(path: Path) -> None:
    put([{"epoch": 0.25, "m": 1.0}], CSVLogger(path))
    assert text(path) == "epoch,m\n0,1.0\n"


def test_folders_that_lack_are_made(tmp_path: Path) -> None:
    play([{"loss": 1.0}], [CSVLogger(tmp_path / "a" / "b" / "log.csv")])
    assert text(tmp_path / "a" / "b" / "log.csv") == "epoch,loss\n0,1.0\n"


# Cells

VALUES = (
    st.floats(width=32)
    | st.floats()
    | st.integers(-(2**70), 2**70)
    | st.booleans()
    | st.lists(st.floats(), max_size=3).map(np.array)
    | st.floats().map(np.array)
    | st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from(',;"\r\n'), max_size=4)
)
KEYS = ["loss", "accuracy", "val_loss", "a,b", "f1/ma\u00e9ro"]


@settings(max_examples=60, deadline=None)
@given(
    st.fixed_dictionaries(dict.fromkeys(KEYS, VALUES)),
    st.lists(st.dictionaries(st.sampled_from(KEYS), VALUES), max_size=3),
    st.sampled_from(",;\t "),
)
def test_where_no_metric_appears_late_the_file_is_keras_s_to_the_byte(
    first: dict[str, Any], later: list[dict[str, Any]], separator: str
) -> None:
    keras = pytest.importorskip("keras")
    history = [first, *later]
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = Path(folder, "ours.csv"), Path(folder, "theirs.csv")
        logger = keras.callbacks.CSVLogger(theirs, separator)
        logger.on_train_begin()
        for epoch, logs in enumerate(history):
            logger.on_epoch_end(epoch, logs)
        logger.on_train_end()
        put(history, CSVLogger(ours, separator))
        assert ours.read_bytes() == theirs.read_bytes()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats() | st.floats(width=32).map(np.float32) | st.floats(width=16).map(np.float16), min_size=1))
def test_a_number_s_text_is_the_same_number(values: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        put([{"m": value} for value in values], CSVLogger(Path(folder, "log.csv")))
        read = [float(row["m"]) for row in cells(Path(folder, "log.csv"))]
    np.testing.assert_array_equal(read, [float(value) for value in values])


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (np.array([1, 2]), '"[1, 2]"'),
        ([0.5, 1.5], '"[0.5, 1.5]"'),
        (np.array(0.5), "0.5"),
        (np.float64(0.5), "0.5"),
        (np.int64(3), "3"),
        (True, "True"),
        (None, "NA"),
        ("two\nlines", "two\nlines"),
        (float("nan"), "nan"),
        (-float("inf"), "-inf"),
    ],
)
def test_other_values_are_written_as_keras_writes_them(path: Path, value: Any, cell: str) -> None:
    put([{"m": value}], CSVLogger(path))
    assert cells(path) == [{"epoch": "0", "m": cell}]


@pytest.mark.parametrize("separator", ["", ",,", '"', "\n", "\r", 1, None])
def test_a_separator_that_is_none_is_refused(separator: Any) -> None:
    with pytest.raises(ValueError) as caught:
        CSVLogger("log.csv", separator)
    assert str(caught.value) == f"CSVLogger(separator={separator!r}): one character, no quote and no line's end"


# Any history, over any number of runs

HISTORIES = st.lists(
    st.dictionaries(st.sampled_from(["a", "b", "val_a", "c;d"]), st.floats(allow_nan=False), max_size=4), max_size=4
)


@settings(max_examples=100, deadline=None)
@given(st.lists(HISTORIES, min_size=1, max_size=3), st.booleans(), st.sampled_from(",; "))
def test_nothing_is_dropped_and_nothing_is_shifted(runs: list[History], one_object: bool, separator: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "log.csv")
        logger = CSVLogger(path, separator, append=True)
        for history in runs:
            put(history, logger if one_object else CSVLogger(path, separator, append=True))
        expected = [{"epoch": epoch, **logs} for history in runs for epoch, logs in enumerate(history)]
        rows: list[dict[str, str]] = []
        if path.exists():
            with open(path, newline="") as file:
                rows = list(csv.DictReader(file, delimiter=separator))
        assert [{k: float(v) for k, v in row.items() if v != "NA"} for row in rows] == expected
        assert all(set(row) == {"epoch"}.union(*expected) for row in rows)


# A new run


def test_a_new_run_begins_the_file_anew(path: Path) -> None:
    logger = CSVLogger(path)
    play([{"loss": 1.0}, {"loss": 2.0}], [logger])
    play([{"other": 3.0}], [logger])
    assert text(path) == "epoch,other\n0,3.0\n"


def test_two_at_once_keep_to_their_own_files(tmp_path: Path) -> None:
    a, b = CSVLogger(tmp_path / "a.csv"), CSVLogger(tmp_path / "b.csv", ";")
    play([{"loss": 1.0}, {"loss": 2.0}], [a, b])
    assert (text(tmp_path / "a.csv"), text(tmp_path / "b.csv")) == (
        "epoch,loss\n0,1.0\n1,2.0\n",
        "epoch;loss\n0;1.0\n1;2.0\n",
    )


def test_an_evaluation_alone_makes_no_file_and_leaves_the_old_one(path: Path) -> None:
    logger = CSVLogger(path)
    evaluate(Constant(), batches(2), callbacks=[logger])
    assert not path.exists()
    play([{"loss": 1.0}], [logger])
    evaluate(Constant(), batches(2), callbacks=[logger])
    assert text(path) == "epoch,loss\n0,1.0\n"


@pytest.mark.parametrize("event", ["setup", "train_begin", "train_batch_end"])
def test_a_run_that_fails_before_its_first_epoch_ends_leaves_the_file_of_the_last(path: Path, event: str) -> None:
    play([{"loss": 1.0}], [CSVLogger(path)])
    with pytest.raises(RuntimeError, match="asked for"):
        play([{"loss": 2.0}], [CSVLogger(path), RaiseAt(event)])
    assert text(path) == "epoch,loss\n0,1.0\n"
