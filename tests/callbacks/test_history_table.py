"""History: as a numpy array, as a DataFrame, and as a notebook shows it."""

from __future__ import annotations

import contextlib
import math
import subprocess
import sys
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runs import put

from trainhooks.callbacks.history import History
from trainhooks.testing import Do, RaiseAt, StopAt, play


def shown(*logs: dict[str, Any]) -> History:
    history = History()
    put(logs, history)
    return history


def test_each_metric_is_a_field_of_floats_and_nan_where_it_is_missing() -> None:
    table = shown({"loss": 1.0}, {"loss": 2, "val_loss": np.float32(0.5)}, {"loss": None}).to_numpy()
    assert table.dtype == [("epoch", "i8"), ("loss", "f8"), ("val_loss", "f8")]
    np.testing.assert_array_equal(table["epoch"], [0, 1, 2])
    np.testing.assert_array_equal(table["loss"], [1, 2, math.nan])
    np.testing.assert_array_equal(table["val_loss"], [math.nan, 0.5, math.nan])


def test_what_is_not_always_one_number_is_a_field_of_objects() -> None:
    table = shown({"a": np.arange(2), "t": "x", "b": True}, {"a": np.arange(2), "t": 0.5}, {}).to_numpy()
    assert table.dtype == [("epoch", "i8"), ("a", "O"), ("t", "O"), ("b", "f8")]
    assert [None if one is None else list(one) for one in table["a"]] == [[0, 1], [0, 1], None]
    assert (table["t"].tolist(), table["b"][0]) == (["x", 0.5, None], 1.0)


def test_before_any_epoch_there_are_no_rows_and_a_metric_called_epoch_is_left_out() -> None:
    assert (History().to_numpy().dtype, len(History().to_numpy())) == (np.dtype([("epoch", "i8")]), 0)
    assert shown({"epoch": 9.0, "a": 1.0}).to_numpy().tolist() == [(0, 1.0)]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(["a", "b", "c/d"]), st.floats()), max_size=4))
def test_the_table_holds_just_what_was_logged(script: list[dict[str, float]]) -> None:
    table = shown(*script).to_numpy()
    names = {name for logs in script for name in logs}
    assert set(table.dtype.names or ()) == {"epoch", *names}
    for name in names:
        np.testing.assert_array_equal(table[name], [logs.get(name, math.nan) for logs in script])


def test_pandas_has_the_same_indexed_by_the_epoch() -> None:
    pandas = pytest.importorskip("pandas")
    frame = shown({"loss": 1.0, "a": np.arange(2)}, {"loss": 2.0, "val_loss": 0.5}).to_pandas()
    assert (frame.index.name, frame.index.tolist(), list(frame)) == ("epoch", [0, 1], ["loss", "a", "val_loss"])
    assert [str(kind) for kind in frame.dtypes] == ["float64", "object", "float64"]
    assert frame["val_loss"].idxmin() == 1
    assert frame["a"][0].tolist() == [0, 1]
    assert pandas.DataFrame(History().to_pandas()).empty


@pytest.mark.parametrize(
    ("package", "call", "message"),
    [
        ("pandas", "to_pandas", "History.to_pandas(): pandas is not installed: pip install pandas"),
        ("matplotlib", "plot", "History.plot(): matplotlib is not installed: pip install 'trainhooks[plot]'"),
    ],
)
def test_what_is_not_installed_is_named_with_the_way_to_get_it(package: str, call: str, message: str) -> None:
    program = (
        "import sys; from trainhooks.errors import FrameworkNotInstalledError\n"
        "from trainhooks.callbacks.history import History; from trainhooks.testing import play\n"
        f"sys.modules[{package!r}] = None\n"  # what an import then finds is: nothing
        "history = History(); play([{'loss': 1.0}], [history])\n"
        f"try: history.{call}()\nexcept FrameworkNotInstalledError as error: print(error)\n"
        "print(history._repr_png_() is None, '<table>' in history._repr_html_())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    has_no_picture = package == "matplotlib" or find_spec("matplotlib") is None
    assert done.stdout.splitlines() == [message, f"{has_no_picture} True"]


# A notebook

ROW = "<tr><th>{}</th><td>{}</td></tr>"


def html(*parts: str, says: str) -> str:
    head = "<table><thead><tr><th>epoch</th><th>loss</th></tr></thead><tbody>"
    return f"<div>{head}{''.join(parts)}</tbody></table><p>{says}</p></div>"


def test_a_notebook_shows_the_epochs_from_1_and_how_it_ended() -> None:
    history = History()
    play([{"loss": 1.0}, {"loss": 1 / 3}], [history])
    says = "Completed after 2 epochs."
    assert history._repr_html_() == html(ROW.format(1, "1"), ROW.format(2, "0.3333"), says=says)


def test_of_a_long_run_it_shows_the_last_ten_epochs() -> None:
    history = History()
    play([{"loss": 1.0}] * 25, [history])
    before = '<tr><td colspan="2">(15 before)</td></tr>'
    rows = [ROW.format(number, 1) for number in range(16, 26)]
    assert history._repr_html_() == html(before, *rows, says="Completed after 25 epochs.")


@pytest.mark.parametrize(
    ("callback", "says"),
    [
        (StopAt("epoch_end", reason="<enough>"), "Stopped after 1 epoch by StopAt: &lt;enough&gt;"),
        (
            StopAt("epoch_end", kind="pause", reason="time is up"),
            "Paused after 1 epoch by StopAt: time is up",
        ),
        (RaiseAt("epoch_begin", 1), "Failed after 1 epoch."),
        (RaiseAt("epoch_begin", 1, KeyboardInterrupt()), "Interrupted after 1 epoch."),
    ],
)
def test_however_it_ended_a_notebook_says_so_after_the_run_is_over(callback: Any, says: str) -> None:
    history = History()
    with contextlib.suppress(RuntimeError, KeyboardInterrupt):
        play([{"loss": 1.0}] * 3, [history, callback])
    assert history.run is None
    assert history._repr_html_() == html(ROW.format(1, 1), says=says)


def test_while_it_runs_and_before_a_notebook_says_so() -> None:
    history, seen = History(), [History()._repr_html_()]
    play([{"loss": 1.0}] * 2, [Do("epoch_begin", lambda run: seen.append(history._repr_html_()), nth=1), history])
    assert seen == ["<div><p>No epoch has ended.</p></div>", html(ROW.format(1, 1), says="Running: 1 epoch so far.")]


class Bad:
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize("value", ["<b>" * 30, np.arange(9), None, math.nan, 1j, Bad()])
def test_showing_it_never_raises(value: Any) -> None:
    history = shown({"<x>": value})
    text = history._repr_html_()
    assert text is None if isinstance(value, Bad) else text is not None and "<x>" not in text and "<b>" not in text
    history._repr_png_()


def test_a_picture_is_shown_where_something_ran() -> None:
    pytest.importorskip("matplotlib")
    assert History()._repr_png_() is None
    assert (shown({"loss": 1.0})._repr_png_() or b"")[:8] == b"\x89PNG\r\n\x1a\n"
