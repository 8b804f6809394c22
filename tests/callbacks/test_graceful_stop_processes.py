"""GracefulStop in processes of their own, which are sent real signals while they train."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="signals of POSIX")

BEGINNING = """
import itertools, os, signal, sys, time, warnings
from trainhooks import Callback, LoopRun
from trainhooks.callbacks.graceful_stop import GracefulStop

class Tell(Callback):
    def save(self, run):
        print("saved", run.step > 0, flush=True)
    def on_exception(self, exception):
        print(type(exception).__name__, flush=True)
    def on_teardown(self, run):
        print("teardown", flush=True)

def train(*callbacks, seconds=0.002):
    with LoopRun(callbacks=[*callbacks, Tell()]) as run:
        for epoch in run.epochs(None):
            for kind in (run.train, run.test):
                for batch in kind(range(7)):
                    if epoch == 0 and batch == 0 and kind == run.train:
                        print("training", flush=True)
                    time.sleep(seconds)
                    run.log(loss=1.0)
    print(run.outcome, run.stop_reason, flush=True)

SIGNALS = [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1]
before = [signal.getsignal(one) for one in SIGNALS]
"""
DONE = "\nprint('handlers', [signal.getsignal(one) for one in SIGNALS] == before, flush=True)\n"


class Script:
    """A script that runs; ``wait_for`` a line of it."""

    def __init__(self, folder: Path, text: str, **options: Any) -> None:
        path = folder / "script.py"
        path.write_text(BEGINNING + textwrap.dedent(text) + DONE)
        self.process = subprocess.Popen(
            [sys.executable, str(path)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options
        )
        self.lines: list[str] = []

    def wait_for(self, line: str) -> None:
        while not self.lines or self.lines[-1] != line:
            read = self.process.stdout.readline()  # type: ignore[union-attr]
            assert read, self.lines
            self.lines.append(read.rstrip())

    def end(self) -> tuple[int, list[str]]:
        """Its return code, and the lines since the last one that was waited for."""
        rest, _ = self.process.communicate(timeout=60)
        return self.process.returncode, rest.splitlines()


@pytest.fixture
def scripts(tmp_path: Path) -> Iterator[Any]:
    made: list[Script] = []

    def start(text: str, **options: Any) -> Script:
        made.append(Script(tmp_path, text, **options))
        return made[-1]

    yield start
    for one in made:
        one.process.kill()
        one.process.communicate()


PAUSED = ["saved True", "teardown"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
@pytest.mark.parametrize("attempt", range(2))
def test_a_signal_at_any_instant_pauses_the_run_and_the_script_goes_on_to_its_end(
    scripts: Any, number: signal.Signals, attempt: int
) -> None:
    script = scripts(f"train(GracefulStop(), seconds={random.Random(attempt).random() / 100})")
    script.wait_for("training")
    script.process.send_signal(number)
    assert script.end() == (0, [*PAUSED, f"paused {number.name} was received", "handlers True"])


SECOND = """
class Again(Callback):
    def on_stop(self):
        print("asked", flush=True)
        while True:
            time.sleep(0.01)

train(GracefulStop(), Again())
"""


def test_a_second_sigterm_kills(scripts: Any) -> None:
    script = scripts(SECOND)
    for line in ("training", "asked"):
        script.wait_for(line)
        script.process.terminate()
    assert script.end() == (-signal.SIGTERM, [])


def test_a_second_ctrl_c_is_a_keyboard_interrupt(scripts: Any) -> None:
    script = scripts(SECOND)
    for line in ("training", "asked"):
        script.wait_for(line)
        script.process.send_signal(signal.SIGINT)
    code, lines = script.end()
    assert (code, lines[:2], lines[-1]) == (-signal.SIGINT, ["KeyboardInterrupt", "teardown"], "KeyboardInterrupt")


def test_without_it_a_ctrl_c_is_told_torn_down_and_raised_on(scripts: Any) -> None:
    script = scripts("train()")
    script.wait_for("training")
    script.process.send_signal(signal.SIGINT)
    code, lines = script.end()
    assert (code, lines[:2], lines[-1]) == (-signal.SIGINT, ["KeyboardInterrupt", "teardown"], "KeyboardInterrupt")


def test_nothing_is_caught_by_an_import_alone(scripts: Any) -> None:
    script = scripts("print('training', flush=True); time.sleep(60)")
    script.wait_for("training")
    script.process.terminate()
    assert script.end() == (-signal.SIGTERM, [])


def test_a_forked_child_does_not_pause_the_run_and_is_ended_by_its_own_sigterm(scripts: Any) -> None:
    script = scripts("""
    class Fork(Callback):
        def on_epoch_begin(self, run, epoch):
            if epoch > 0:
                return run.stop("enough")
            child = os.fork()
            if child == 0:
                os.kill(os.getpid(), signal.SIGINT)  # this one is kept from it
                print("first", run.should_stop, [signal.getsignal(one) for one in SIGNALS] == before, flush=True)
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(60)
            print("child", os.waitpid(child, 0)[1], run.should_stop, flush=True)

    train(GracefulStop(), Fork())
    """)
    lines = ["first False True", f"child {int(signal.SIGTERM)} False", "training", "teardown"]
    assert script.end() == (0, [*lines, "stopped enough", "handlers True"])


def test_a_handler_that_is_not_pythons_is_left_alone_and_a_warning_says_so(scripts: Any) -> None:
    script = scripts("""
    del sys.modules["_signal"]
    import _signal  # looks at the handlers anew, and finds SIGINT's to be none that Python set from then on
    before = [signal.getsignal(one) for one in SIGNALS]
    warnings.simplefilter("always")
    warnings.showwarning = lambda message, *more: print(message, flush=True)
    class Stop(Callback):
        def on_epoch_begin(self, run):
            print([signal.getsignal(one) is first for one, first in zip(SIGNALS, before)], before[1], flush=True)
            run.stop("enough")
    train(GracefulStop(), Stop())
    """)
    told = "GracefulStop: SIGINT has a handler that is not Python's and could not be put back: it is left alone."
    expected = [told, "[False, True, False] None", "teardown", "stopped enough", "handlers True"]
    assert script.end() == (0, expected)


@pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed")
def test_a_ctrl_c_that_reaches_the_workers_of_a_loader_as_well_pauses_the_run(scripts: Any) -> None:
    script = scripts(
        """
    import torch
    class Slow(torch.utils.data.Dataset):
        def __len__(self):
            return 400
        def __getitem__(self, number):
            time.sleep(0.02)
            return torch.zeros(2)
    loader = torch.utils.data.DataLoader(Slow(), batch_size=4, num_workers=2, multiprocessing_context="fork")
    with LoopRun(callbacks=[GracefulStop(), Tell()]) as run:
        for epoch in run.epochs(1):
            for batch in run.train(loader):
                if run.step == 1:
                    print("training", flush=True)
                run.log(loss=1.0)
    print(run.outcome, flush=True)
    """,
        start_new_session=True,
    )
    script.wait_for("training")
    os.killpg(script.process.pid, signal.SIGINT)
    assert script.end() == (0, [*PAUSED, "paused", "handlers True"])
