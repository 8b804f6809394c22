"""ProgbarLogger: a line an epoch, and who listens to batches."""

from __future__ import annotations

import contextlib
import io
import re
from typing import Any

import numpy as np
import pytest
from runs import Put
from written import Terminal

from trainhooks import LoopRun, World, evaluate, fit, predict
from trainhooks.callbacks.progbar_logger import ProgbarLogger
from trainhooks.events import EVENTS
from trainhooks.numpy_model import MLP
from trainhooks.testing import Constant, Do, RaiseAt, StopAt, batches, play


class Notebook(io.StringIO):
    """A text in memory that calls itself what a notebook has for its streams."""

    __module__ = "ipykernel.iostream"


# Lines


def test_each_epoch_is_a_line() -> None:
    out = io.StringIO()
    play([{"loss": 0.123456, "val_loss": 1 / 3}, {"loss": 1e-7}], [ProgbarLogger(out)])
    assert out.getvalue() == "Epoch 1/2 - loss: 0.1235 - val_loss: 0.3333\nEpoch 2/2 - loss: 1e-07\n"


def test_an_open_ended_run_has_no_total() -> None:
    out = io.StringIO()
    fit(Constant(0.5), batches(1), epochs=None, callbacks=[StopAt("epoch_end", 1), ProgbarLogger(out)])
    assert out.getvalue() == "Epoch 1 - loss: 0.5\nEpoch 2 - loss: 0.5\nStop: asked for (asked for by StopAt)\n"


def test_an_epoch_without_metrics_is_its_number() -> None:
    out = io.StringIO()
    play([{}], [ProgbarLogger(out)])
    assert out.getvalue() == "Epoch 1/1\n"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2.0, "2"),
        (12345.678, "1.235e+04"),
        (1e-5, "1e-05"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        (3, "3"),
        (np.float32(0.1), "0.1"),
        (np.array([[1, 2], [3, 4]]), "[[1 2] [3 4]]"),
        ("two\nlines", "two lines"),
        (None, "None"),
    ],
)
def test_values_take_little_room_and_one_line(value: Any, text: str) -> None:
    out = io.StringIO()
    play([{}], [Put([{"m": value}]), ProgbarLogger(out)])
    assert out.getvalue() == f"Epoch 1/1 - m: {text}\n"


@pytest.mark.parametrize(
    ("reason", "source", "line"),
    [
        ("no better for 3 epochs", "EarlyStopping", "Stop: no better for 3 epochs (asked for by EarlyStopping)"),
        ("two\n  lines", None, "Stop: two lines"),
    ],
)
def test_a_stop_is_told_in_one_line(reason: str, source: str | None, line: str) -> None:
    out = io.StringIO()
    stop = Do("train_batch_end", lambda run: run.stop(reason, source=source))
    play([{"loss": 1.0}] * 2, [stop, ProgbarLogger(out)])
    assert out.getvalue() == f"{line}\nEpoch 1/2 - loss: 1\n"


def test_an_evaluation_alone_is_a_line() -> None:
    out = io.StringIO()
    evaluate(Constant(0.5, accuracy=1.0), batches(3), callbacks=[ProgbarLogger(out)])
    assert out.getvalue() == "Evaluation - loss: 0.5 - accuracy: 1\n"


def test_an_evaluation_after_training_in_the_same_run_is_a_line_too() -> None:
    out = io.StringIO()
    with LoopRun(callbacks=[ProgbarLogger(out)]) as run:
        for _ in run.epochs(1):
            for _ in run.test([0]):
                run.log(loss=1.0)
        for _ in run.test([0]):
            run.log(loss=2.0)
    assert out.getvalue() == "Epoch 1/1 - val_loss: 1\nEvaluation - loss: 2\n"


def test_an_evaluation_after_an_epoch_that_failed_is_a_line_too() -> None:
    out = io.StringIO()
    logger = ProgbarLogger(out)
    with pytest.raises(RuntimeError, match="asked for"):
        play([{"loss": 1.0}], [logger, RaiseAt("train_batch_end")])
    evaluate(Constant(0.5), batches(1), callbacks=[logger])
    assert out.getvalue() == "Evaluation - loss: 0.5\n"


def test_a_prediction_is_none() -> None:
    out = Terminal()
    predict(MLP((2, 3, 2)), np.zeros((4, 2)), callbacks=[ProgbarLogger(out)])
    assert out.getvalue() == ""


def test_one_object_serves_many_runs_and_two_objects_one() -> None:
    a, b = io.StringIO(), io.StringIO()
    loggers = ProgbarLogger(a), ProgbarLogger(b)
    play([{"loss": 1.0}], loggers)
    play([{"loss": 2.0}], loggers)
    assert a.getvalue() == b.getvalue() == "Epoch 1/1 - loss: 1\nEpoch 1/1 - loss: 2\n"


# Who listens, and where to


def heard(logger: ProgbarLogger) -> list[str]:
    return [f"{one.event.name} {' '.join(map(str, one.filters))}".strip() for one in logger.listeners()]


def test_batches_are_listened_to_in_a_terminal_only_and_ten_times_a_second() -> None:
    lines = ["epoch_begin", "epoch_end", "stop", "teardown", "test_end"]
    assert heard(ProgbarLogger(io.StringIO())) == lines
    assert heard(ProgbarLogger(Terminal())) == [*lines, "train_batch_end every(seconds=0.1)"]
    assert heard(ProgbarLogger(Notebook())) == [*lines, "train_batch_end every(seconds=0.1)"]


def test_a_run_that_writes_lines_has_no_batch_hooks() -> None:
    with LoopRun(callbacks=[ProgbarLogger(io.StringIO())]) as run:
        assert [event for event in EVENTS if "_batch_" in event and run.bus.listens(event)] == []


def test_the_default_is_what_stderr_is_at_the_time() -> None:
    first, second = io.StringIO(), io.StringIO()
    logger = ProgbarLogger()
    for number, stream in enumerate([first, second]):
        with contextlib.redirect_stderr(stream):
            play([{"loss": float(number)}], [logger])
    assert (first.getvalue(), second.getvalue()) == ("Epoch 1/1 - loss: 0\n", "Epoch 1/1 - loss: 1\n")


@pytest.mark.parametrize(("at_first", "later"), [(io.StringIO, Terminal), (Terminal, io.StringIO)])
def test_where_the_stream_changes_under_way_lines_are_written(at_first: Any, later: Any) -> None:
    first, second = at_first(), later()
    with contextlib.redirect_stderr(first):
        run = LoopRun(callbacks=[ProgbarLogger()])
    with contextlib.redirect_stderr(second), run:
        for _ in run.epochs(1):
            for _ in run.train([0]):
                run.log(loss=1.0)
    assert (first.getvalue(), second.getvalue()) == ("", "Epoch 1/1 - loss: 1\n")


def test_a_program_without_a_console_trains_in_silence() -> None:
    out = io.StringIO()
    with contextlib.redirect_stderr(None), contextlib.redirect_stdout(out):
        run = play([{"loss": 1.0}], [ProgbarLogger(), StopAt()])
    assert (run.outcome, out.getvalue()) == ("completed", "")


@pytest.mark.parametrize("base", [io.StringIO, Terminal])
def test_what_cannot_be_written_is_one_warning_and_training_goes_on(base: type[io.StringIO]) -> None:
    class Broken(base):  # type: ignore[misc, valid-type]
        def write(self, text: str) -> int:
            raise OSError("the pipe is gone")

    with pytest.warns(RuntimeWarning) as caught:
        run = play([{"loss": 1.0}] * 3, [ProgbarLogger(Broken())])
    (message,) = [str(one.message) for one in caught]
    assert re.sub(r"on_\w+", "on_...", message) == (
        "ProgbarLogger.on_... raised OSError: the pipe is gone (training goes on)"
    )
    assert (run.outcome, run.epochs_done) == ("completed", 3)


def test_it_speaks_on_the_main_rank_alone() -> None:
    class Second(World):
        rank, size = 1, 2

    out = io.StringIO()
    with LoopRun(callbacks=[ProgbarLogger(out)], world=Second()) as run:
        for _ in run.epochs(1):
            pass
    assert out.getvalue() == ""
