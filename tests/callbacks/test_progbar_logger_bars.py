"""ProgbarLogger: a bar an epoch where somebody looks."""

from __future__ import annotations

import os
import re
import struct
import subprocess
import sys
import time
from collections.abc import Iterable
from typing import Any

import pytest
from runs import live_until
from written import Terminal

from trainhooks import Callback, LoopRun, Run, fit
from trainhooks.callbacks.progbar_logger import ProgbarLogger
from trainhooks.events import EVENTS
from trainhooks.testing import Constant, Do, RaiseAt, StopAt, batches, play


def screen(text: str) -> list[str]:
    """What is left to be read in a terminal once all of ``text`` was written to it."""
    lines, row, column = [""], 0, 0
    for part in re.findall(r"\x1b\[A|\r|\n|[^\x1b\r\n]+", text):
        if part == "\r":
            column = 0
        elif part == "\n":
            row, column = row + 1, 0
            lines += [""] * (row + 1 - len(lines))
        elif part == "\x1b[A":
            row -= 1
        else:
            lines[row] = lines[row].ljust(column)[:column] + part + lines[row][column + len(part) :]
            column += len(part)
    return [line.rstrip() for line in lines if line.strip()]


def shown(text: str) -> list[str]:
    """Every state that a bar was in, without its times and rates."""
    bars = [part for part in re.split(r"[\r\n]+", text) if "step" in part]
    return [re.sub(r" \[.*?step/s(, )?|\]$", lambda found: " " if found[1] else "", bar).strip() for bar in bars]


def wait(run: Run) -> None:
    """Let the bar be due again."""
    time.sleep(0.11)


def test_a_bar_shows_the_running_means_and_a_line_takes_its_place() -> None:
    out = Terminal()
    with LoopRun(callbacks=[Do("train_batch_begin", wait, nth=None), ProgbarLogger(out)]) as run:
        for epoch in run.epochs(2):
            for batch in run.train(batches(2)):
                run.log(loss=float(batch))
            if epoch == 1:
                for _ in run.test(batches(1)):
                    run.log(loss=0.25)
    assert shown(out.getvalue()) == [
        "Epoch 1/2: 0step",
        "Epoch 1/2:   0%|          | 0/2",
        "Epoch 1/2:  50%|#####     | 1/2 loss: 0",
        "Epoch 1/2: 100%|##########| 2/2 loss: 0.5",
        "Epoch 2/2:   0%|          | 0/2",
        "Epoch 2/2:  50%|#####     | 1/2 loss: 0",
        "Epoch 2/2: 100%|##########| 2/2 loss: 0.5",
    ]
    assert screen(out.getvalue()) == ["Epoch 1/2 - loss: 0.5", "Epoch 2/2 - loss: 0.5 - val_loss: 0.25"]
    rates = [float(rate) for rate in re.findall(r"([\d.]+)step/s", out.getvalue())]
    assert rates
    assert max(rates) < 10  # each step took at least 0.11 s


def test_an_epoch_that_is_gone_on_with_begins_its_bar_where_it_was() -> None:
    def loop(*callbacks: Callback, resume: Any = None) -> tuple[str, Any]:
        out = Terminal()
        waits = Do("train_batch_begin", wait, nth=None)
        with LoopRun(callbacks=[waits, ProgbarLogger(out), *callbacks], resume=resume) as run:
            for _ in run.epochs(1):
                for batch in run.train(batches(4)):
                    run.log(loss=float(batch))
        return out.getvalue(), run

    _, paused = loop(StopAt("train_batch_end", 1, kind="pause"))
    text, _ = loop(resume=paused.state_dict())
    assert shown(text) == [
        "Epoch 1/1: 2step",
        "Epoch 1/1:   0%|          | 0/4",  # drawn over at once
        "Epoch 1/1:  75%|#######5  | 3/4 loss: 1",
        "Epoch 1/1: 100%|##########| 4/4 loss: 1.5",
    ]
    assert screen(text) == ["Epoch 1/1 - loss: 1.5"]
    rates = [float(rate) for rate in re.findall(r"([\d.]+)step/s", text)]
    assert rates and max(rates) < 10  # what was done before it counts for no speed


def test_a_loader_without_a_length_has_a_bar_without_a_total() -> None:
    out = Terminal()
    with LoopRun(callbacks=[Do("train_batch_begin", wait, nth=None), ProgbarLogger(out)]) as run:
        for _ in run.epochs(None):
            for batch in run.train(iter(range(2))):
                run.log(loss=float(batch))
            run.stop("enough")
    assert shown(out.getvalue()) == ["Epoch 1: 0step", "Epoch 1: 1step loss: 0", "Epoch 1: 2step loss: 0.5"]
    assert screen(out.getvalue()) == ["Epoch 1 - loss: 0.5", "Stop: enough"]


def test_a_stop_inside_an_epoch_is_told_above_its_bar() -> None:
    out = Terminal()
    with LoopRun(callbacks=[Do("train_batch_begin", wait), StopAt(reason="enough"), ProgbarLogger(out)]) as run:
        for _ in run.epochs(2):
            for _ in run.train(batches(2)):
                run.log(loss=1.0)
    assert screen(out.getvalue()) == ["Stop: enough (asked for by StopAt)", "Epoch 1/2 - loss: 1"]


def test_after_an_exception_the_bar_stands_where_it_was() -> None:
    out = Terminal()
    logger = ProgbarLogger(out)
    callbacks = [Do("train_batch_begin", wait), RaiseAt("train_batch_begin", 1), logger]
    with pytest.raises(RuntimeError, match="asked for"):
        fit(Constant(), batches(4), callbacks=callbacks)
    assert out.getvalue()[-1] == "\n"
    assert [re.sub(r" \[.*", "", line) for line in screen(out.getvalue())] == ["Epoch 1/1:  25%|##5       | 1/4"]


@pytest.mark.parametrize("event", EVENTS)
def test_an_exception_at_any_event_leaves_no_bar_in_the_way_of_the_next_run(event: str) -> None:
    out = Terminal()
    logger = ProgbarLogger(out)
    live_until(event, logger)
    assert out.getvalue()[-1:] in ("\n", "")
    before = len(out.getvalue())
    play([{"loss": 1.0}], [logger])
    assert "\x1b[A" not in out.getvalue()  # a bar that was still open would have the next one drawn below it
    assert screen(out.getvalue()[before:]) == ["Epoch 1/1 - loss: 1"]


# In a process of its own

PROGRAM = """
import sys, time
from trainhooks import LoopRun
from trainhooks.callbacks.progbar_logger import ProgbarLogger
with LoopRun(callbacks=[ProgbarLogger()]) as run:
    for epoch in run.epochs(2):
        for batch in run.train(range(4)):
            time.sleep(0.03 if sys.stderr.isatty() else 0)
            run.log(loss=1 / (epoch + batch + 1))
        for _ in run.test(range(2)):
            run.log(loss=0.5, a_metric_with_a_long_name=0.123456, another_metric_with_a_long_name=0.123456)
print("tqdm" in sys.modules)
"""
LINES = [
    "Epoch 1/2 - loss: 0.5208 - val_loss: 0.5 - val_a_metric_with_a_long_name: 0.1235 - "
    "val_another_metric_with_a_long_name: 0.1235",
    "Epoch 2/2 - loss: 0.3208 - val_loss: 0.5 - val_a_metric_with_a_long_name: 0.1235 - "
    "val_another_metric_with_a_long_name: 0.1235",
]


def test_into_a_pipe_go_the_lines_and_tqdm_is_not_loaded() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr.splitlines()) == ("False\n", LINES)


@pytest.mark.skipif(os.name == "nt", reason="this system has no pseudo-terminals")
def test_in_a_terminal_the_same_lines_are_left_whole() -> None:
    text = "".join(in_a_terminal([sys.executable, "-c", PROGRAM], columns=80))
    assert screen(text) == LINES  # the bars are cut to the terminal's width, these lines are not
    states = shown(text)
    assert [bar for bar in states if not bar.startswith(("Epoch 1/2:", "Epoch 2/2:"))] == []
    assert any("loss: " in bar and "/4" in bar for bar in states)


def in_a_terminal(command: list[str], columns: int) -> Iterable[str]:
    """What a program writes to its stderr, where that is a terminal of so many columns."""
    import fcntl
    import pty
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with subprocess.Popen(command, stderr=theirs, stdout=subprocess.DEVNULL) as program:
        os.close(theirs)
        with open(ours, encoding="utf-8", newline="") as terminal:
            try:
                while part := terminal.read(1):
                    yield part
            except OSError:  # Linux says so when the other side is closed
                pass
    assert program.returncode == 0
