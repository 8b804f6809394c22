"""History.plot: what is in the picture, read off matplotlib's own objects."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from runs import put

from trainhooks import LoopRun, errors
from trainhooks.callbacks.early_stopping import EarlyStopping
from trainhooks.callbacks.history import History
from trainhooks.callbacks.learning_rate_monitor import LearningRateMonitor
from trainhooks.testing import Do, StopAt, play
from trainhooks.testing.play import Dial

pytest.importorskip("matplotlib")


def shown(*logs: dict[str, Any]) -> History:
    history = History()
    put(logs, history)
    return history


def panels(figure: Any) -> dict[str, list[tuple[list[float], list[float]]]]:
    """For each panel, by its title, its curves."""
    return {
        axes.get_title(loc="left"): [
            (list(line.get_xdata()), [float(value) for value in line.get_ydata()])
            for line in axes.lines
            if line.get_linestyle() != "None" and line.get_transform() == axes.transData
        ]
        for axes in figure.axes
    }


def legend(figure: Any) -> list[str]:
    return [text.get_text() for one in figure.legends for text in one.get_texts()]


def upright(figure: Any) -> list[list[float]]:
    """At which epochs each panel has an upright line."""
    across = [[one for one in axes.lines if one.get_transform() != axes.transData] for axes in figure.axes]
    return [sorted(float(line.get_xdata()[0]) for line in lines if line.get_marker() != "x") for lines in across]


SCRIPT = [{"loss": 4.0 - n, "acc": 0.5, "val_loss": value} for n, value in enumerate([3.0, 2.0, 2.5, 2.5])]


def test_each_metric_has_a_panel_with_training_and_validation_from_epoch_1() -> None:
    history = History()
    play(SCRIPT, [LearningRateMonitor(), history])
    figure = history.plot()
    every = [1, 2, 3, 4]
    assert panels(figure) == {
        "loss": [(every, [4, 3, 2, 1]), (every, [3, 2, 2.5, 2.5])],
        "acc": [(every, [0.5] * 4)],
        "learning_rate": [(every, [0.1] * 4)],
    }
    assert legend(figure) == ["training", "validation", "best: epoch 2 (val_loss 2)"]


def test_the_best_epoch_and_the_stop_are_marked_in_every_panel() -> None:
    history = History()
    play(SCRIPT * 2, [EarlyStopping(patience=2), history])
    figure = history.plot()
    assert legend(figure)[2:] == ["best: epoch 2 (val_loss 2)", "stop: epoch 4, EarlyStopping (decision)"]
    assert upright(figure) == [[2, 4], [2, 4]]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "best: epoch 2 (val_loss 2)"),
        ({"monitor": "loss"}, "best: epoch 4 (loss 1)"),
        ({"monitor": "loss", "mode": "max"}, "best: epoch 1 (loss 4)"),
        ({"mode": "max"}, "best: epoch 1 (val_loss 3)"),
        ({"monitor": "acc"}, "best: epoch 1 (acc 0.5)"),
    ],
)
def test_what_the_best_is_can_be_said(settings: Any, says: str) -> None:
    assert legend(shown(*SCRIPT).plot(**settings))[-1] == says


def test_without_a_validation_no_epoch_is_called_the_best() -> None:
    figure = shown({"loss": 1.0}, {"loss": 2.0}).plot()
    assert (legend(figure), upright(figure)) == (["training"], [[]])


def test_metrics_are_chosen_by_either_name_in_the_order_given() -> None:
    history = shown(*SCRIPT)
    chosen = [list(panels(history.plot(names))) for names in ("loss", "val_loss", ["acc", "val_loss", "loss"])]
    assert chosen == [["loss"], ["loss"], ["acc", "loss"]]


@pytest.mark.parametrize("settings", [{"metrics": "los"}, {"metrics": ["acc", "los"]}, {"monitor": "los"}])
def test_a_metric_that_is_none_is_refused_with_the_nearest_name(settings: Any) -> None:
    with pytest.raises(errors.MissingMetricError) as caught:
        shown(*SCRIPT).plot(**settings)
    assert str(caught.value) == (
        "History.plot(): no metric 'los'. There are 'loss', 'acc', 'val_loss'. Did you mean 'loss'?"
    )


def test_a_mode_that_cannot_be_told_is_refused() -> None:
    with pytest.raises(ValueError) as caught:
        shown({"m": 1.0}).plot(monitor="m")
    assert str(caught.value) == (
        "History.plot(monitor='m'): mode='auto' cannot tell which way it is better. Give mode='min' or mode='max'."
    )


@pytest.mark.parametrize("columns", [0, True, 1.5])
def test_a_number_of_columns_that_is_none_is_refused(columns: Any) -> None:
    with pytest.raises(ValueError) as caught:
        shown({"m": 1.0}).plot(columns=columns)
    assert str(caught.value) == f"History.plot(columns={columns!r}): a whole number, at least 1"


def test_columns_says_how_many_panels_stand_in_a_row() -> None:
    history = shown(dict.fromkeys("abcdefg", 1.0))
    assert [history.plot(columns=n).axes[0].get_gridspec().ncols for n in (None, 2, 9)] == [3, 2, 7]


# What is odd in the logs


def test_what_is_not_finite_is_a_gap_and_a_cross_and_never_the_best() -> None:
    values = [math.nan, 2.0, math.inf, 1.0, -math.inf]
    figure = shown(*({"val_loss": value} for value in values)).plot()
    (axes,) = figure.axes
    ((_, drawn),) = panels(figure)["loss"]
    np.testing.assert_array_equal(drawn, [math.nan, 2, math.nan, 1, math.nan])
    crosses = [(int(line.get_xdata()[0]), line.get_ydata()[0] > 0.5) for line in axes.lines if line.get_marker() == "x"]
    assert crosses == [(1, False), (3, True), (5, False)]
    assert legend(figure) == ["validation", "best: epoch 4 (val_loss 1)", "NaN or infinite"]


def test_an_epoch_without_a_validation_is_passed_over() -> None:
    history = shown({"loss": 1.0, "val_loss": 1.0}, {"loss": 2.0}, {"loss": 3.0, "val_loss": 2.0})
    assert panels(history.plot())["loss"] == [([1, 2, 3], [1, 2, 3]), ([1, 3], [1, 2])]


@pytest.mark.parametrize(("length", "dots"), [(3, [0, 2]), (100, [0])])
def test_a_point_that_stands_alone_has_a_dot_however_long_the_run(length: int, dots: list[int]) -> None:
    values = [1.0, math.nan, *[2.0] * (length - 2)]
    (axes,) = shown(*({"m": value} for value in values)).plot().axes
    assert axes.lines[0].get_markevery() == dots


def test_what_is_no_number_is_left_out() -> None:
    assert list(panels(shown({"a": np.arange(3), "t": "x", "loss": 1.0}).plot())) == ["loss"]


def test_where_there_is_nothing_to_draw_the_picture_says_so() -> None:
    figures = [History().plot(), shown({"t": "x"}).plot()]
    assert [figure.texts[0].get_text() for figure in figures] == ["No epoch has ended.", "No metric is a number."]


def test_a_validation_of_another_name_is_a_curve_of_the_same_panel() -> None:
    history = History()
    with LoopRun(callbacks=[history]) as run:
        for _ in run.epochs(1):
            for name in ("val", "val_new"):
                for _ in run.test([0], name=name):
                    run.log(loss=1.0)
            for _ in run.train([0]):
                run.log(loss=1.0, val_=2.0)
    figure = history.plot()
    assert list(panels(figure)) == ["loss", "val_"]
    assert legend(figure)[:3] == ["training", "validation", "val_new"]


@pytest.mark.parametrize(("last", "scale"), [(0.1, "log"), (0.2, "linear"), (0.0, "linear")])
def test_a_learning_rate_that_spans_a_decade_is_on_a_log_scale(last: float, scale: str) -> None:
    figure = shown({"learning_rate": 1.0}, {"learning_rate": last}).plot()
    assert [axes.get_yscale() for axes in figure.axes] == [scale]


def test_each_parameter_group_s_rate_is_a_curve_and_the_rates_come_last() -> None:
    history = History()
    play([{"loss": 1.0}], [LearningRateMonitor("step"), history], trainable=Dial([1.0, 0.5]))
    figure = history.plot()
    assert list(panels(figure)) == ["loss", "learning_rate"]
    assert [text.get_text() for text in figure.axes[1].get_legend().get_texts()] == ["group 0", "group 1"]


# How it can be read


def drawn(figure: Any) -> Any:
    figure.canvas.draw()
    return figure.canvas.get_renderer()


@pytest.mark.parametrize("epochs", [1, 2, 3, 30, 200])
def test_epochs_are_whole_numbers_from_1(epochs: int) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = shown(*[{"loss": 1.0}] * epochs).plot()
    FigureCanvasAgg(figure)
    drawn(figure)
    (axes,) = figure.axes
    low, high = axes.get_xlim()
    ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
    assert ticks
    assert all(tick == int(tick) and 1 <= tick <= epochs for tick in ticks)


@pytest.mark.parametrize("metrics", [1, 2, 4, 7])
def test_no_text_runs_into_another_or_out_of_the_picture(metrics: int) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.text import Text

    names = [f"{'a_long_name_of_a_metric_' * 2}{n}$x$" for n in range(metrics)]
    history = History()
    script = [{name: 1e-7 * 10.0 ** (3 * n) + epoch for n, name in enumerate(names)} for epoch in range(12)]
    play([logs | {f"val_{name}": value for name, value in logs.items()} for logs in script], [history, StopAt(step=12)])
    figure = history.plot(monitor=f"val_{names[0]}", mode="min")
    FigureCanvasAgg(figure)
    renderer = drawn(figure)
    texts = [one for axes in figure.axes for one in (*axes.get_children(), axes.xaxis.label) if isinstance(one, Text)]
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            texts += [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
    texts += [text for one in figure.legends for text in one.get_texts()]
    boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in texts if text.get_text()]
    pairs = [(a, b) for at, (a, box) in enumerate(boxes) for b, other in boxes[at + 1 :] if box.overlaps(other)]
    assert pairs == []
    width, height = figure.canvas.get_width_height()
    assert [name for name, box in boxes if box.x0 < 0 or box.y0 < 0 or box.x1 > width or box.y1 > height] == []


def test_neighbouring_ticks_read_apart_where_all_values_are_nearly_the_same() -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = shown({"m": 1000.00001}, {"m": 1000.00002}).plot()
    FigureCanvasAgg(figure)
    drawn(figure)
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert len(set(labels)) == len(labels) > 2


# Files, and the run that is over


def test_the_picture_is_written_in_the_format_of_its_suffix(tmp_path: Path) -> None:
    history = shown({"loss": 1.0})
    for suffix in ("png", "svg", "pdf"):
        history.plot(path=tmp_path / "new" / f"history.{suffix}")
    written = sorted((tmp_path / "new").iterdir())
    assert [(one.name, one.read_bytes()[:5]) for one in written] == [
        ("history.pdf", b"%PDF-"),
        ("history.png", b"\x89PNG\r"),
        ("history.svg", b"<?xml"),
    ]


def test_a_format_that_is_none_is_refused_and_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not supported"):
        shown({"loss": 1.0}).plot(path=tmp_path / "history.what")
    assert list(tmp_path.iterdir()) == []


def test_the_figure_is_its_own_and_pyplot_is_not_loaded(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom trainhooks.callbacks.history import History\nfrom trainhooks.testing import play\n"
        "history = History(); play([{'loss': 1.0}], [history]); print('matplotlib' in sys.modules)\n"
        "history.plot(path=sys.argv[1]); print('matplotlib.pyplot' in sys.modules)"
    )
    told = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "x.png"], capture_output=True, text=True, check=True
    )
    assert told.stdout.split() == ["False", "False"]


def last(history: History) -> str:
    return legend(history.plot())[-1]


def test_a_run_that_was_stopped_and_is_taken_up_again_still_shows_its_stop() -> None:
    states: list[Any] = []
    first = History()
    keep = Do("train_end", lambda run: states.append(run.state_dict()))
    play(SCRIPT, [first, StopAt("epoch_end", 1, kind="fault"), keep])
    second = History()
    play(SCRIPT, [second, StopAt("epoch_end", 9), Do("train_end", id)], resume=json.loads(json.dumps(states[0])))
    assert last(first) == last(second) == "stop: epoch 2, StopAt (fault)"


def test_a_pause_is_shown_and_gone_once_the_run_went_on() -> None:
    states: list[Any] = []
    first = History()
    pause, keep = StopAt("epoch_end", 1, kind="pause"), Do("teardown", lambda run: states.append(run.state_dict()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        play(SCRIPT, [first, pause, keep])
    second = History()
    play(SCRIPT, [second, StopAt("epoch_end", 9), Do("setup", id)], resume=states[0])
    assert (last(first), last(second)) == ("stop: epoch 2, StopAt (pause)", "best: epoch 2 (val_loss 2)")


def test_a_new_run_forgets_the_stop_of_the_one_before() -> None:
    history = History()
    play(SCRIPT, [history, StopAt("epoch_end", 1)])
    play(SCRIPT, [history])
    assert last(history) == "best: epoch 2 (val_loss 2)"


def test_a_fault_after_a_decision_is_what_is_shown() -> None:
    history = History()
    play(SCRIPT, [history, StopAt("train_batch_end", 1), StopAt("epoch_end", 1, kind="fault")])
    assert last(history).startswith("stop: epoch 2, StopAt")
    assert last(history).endswith("(fault)")
