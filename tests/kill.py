"""Kills a training run by SIGKILL at random instants, runs it again until it ends, and compares it with one left alone.

    python tests/kill.py --kills 300 [--framework numpy|torch] [--background] [--seed N]

Each life of a run is a process of its own, forked off this one, which has imported everything and runs no thread: that
spares a life the imports, and its death is as real as any. Half of the kills come at a random instant, the other half
just after something appeared that is being written. After each kill:

- every checkpoint in the folder is good, and the newest is of no earlier step than the last save that was completed;
- the next life begins at the step of the newest checkpoint, exactly, and leaves nothing of what dead ones were writing;
- the step after each batch is one more than before, and weights and optimizer are, to the bit, what they are there in
  a run that nobody killed: no batch is trained twice, none is left out.

At the end of each run history, weights, the files of CSVLogger, JSONLogger and ModelCheckpoint, and what the callbacks
know are equal to the byte to those of the run that nobody killed, and no backup is left.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from killed import FILES, TRAINERS, live, warm_torch

from trainhooks import store


def fork(folder: Path, options: argparse.Namespace, slow: float) -> int:
    """Start a life; gives its process."""
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        live(folder, options, slow)
        code = 0
    except BaseException:  # whatever it was: a fork must not go on as its parent, which raises what is written here
        (folder / "failure").write_text(traceback.format_exc())
    finally:
        os._exit(code)


def ended(process: int, folder: Path, *, block: bool = False) -> bool:
    """Whether a life came to its end by itself."""
    done, status = os.waitpid(process, 0 if block else os.WNOHANG)
    if done and status:
        raise AssertionError(f"a life failed ({status}):\n{(folder / 'failure').read_text()}")
    return bool(done)


def being_written(folder: Path, process: int | None = None) -> list[str]:
    """What is, or was, in the making; of one process, or of any."""
    sign = ".tmp" if process is None else f"-{process}."
    found: list[str] = []
    for place in (folder, folder / "backup"):
        with contextlib.suppress(FileNotFoundError):  # a run that ends deletes its backups
            found += [name for name in os.listdir(place) if name.startswith(".") and sign in name]
    return found


# Many lives


@dataclass
class Summary:
    """What happened."""

    runs: int = 0
    kills: int = 0
    in_a_write: int = 0
    resumes: int = 0
    steps_again: list[int] = field(default_factory=list)

    def __str__(self) -> str:
        again = sum(self.steps_again) / max(len(self.steps_again), 1)
        return (
            f"{self.kills} kills, {self.in_a_write} of them in a write; {self.runs} runs completed, {self.resumes} "
            f"lives went on from a backup, {again:.1f} steps trained again by each"
        )


class Trial:
    """One run that is killed again and again, in a folder of its own."""

    def __init__(self, folder: Path, whole: Path, options: argparse.Namespace, rng: random.Random, slow: float) -> None:
        self.folder, self.options, self.rng, self.slow = folder, options, rng, slow
        folder.mkdir()
        self.whole = whole
        self.digests = dict(line.split()[1:] for line in lines_of(whole) if line.startswith("step "))
        self.seen = 0
        """Notes that were looked at."""

    def life(self, seconds: float, summary: Summary) -> bool:
        """One life; returns whether it came to its end. ``seconds`` is how long a whole run takes."""
        newest = self.newest()
        process = fork(self.folder, self.options, self.slow)
        if summary.kills == self.options.kills:
            over = ended(process, self.folder, block=True)
        elif self.rng.random() < 0.5:
            over = self.wait_for_write(process, seconds)
        else:
            over = self.wait(process, self.rng.uniform(0, 0.6 * seconds))
        if over:
            self.look(newest, summary)
            return True
        os.kill(process, signal.SIGKILL)
        _, status = os.waitpid(process, 0)
        if os.WIFEXITED(status):  # it was as quick as we
            assert status == 0, (self.folder / "failure").read_text()
            self.look(newest, summary)
            return True
        assert os.WTERMSIG(status) == signal.SIGKILL, status
        summary.kills += 1
        summary.in_a_write += bool(being_written(self.folder, process))
        steps = self.look(newest, summary)
        if steps:
            summary.steps_again.append(steps[-1] - max(self.newest(), steps[0] - 1))
        return False

    def wait(self, process: int, seconds: float) -> bool:
        end = time.perf_counter() + seconds
        while (left := end - time.perf_counter()) > 0:
            if ended(process, self.folder):
                return True
            time.sleep(min(left, 0.003))
        return False

    def wait_for_write(self, process: int, seconds: float) -> bool:
        """Until some instants after something is being written, for the first time after a random while."""
        if self.wait(process, self.rng.uniform(0, 0.4 * seconds)):
            return True
        while not being_written(self.folder, process):
            if ended(process, self.folder):
                return True
        return self.wait(process, self.rng.choice((0, self.rng.uniform(0, 0.002), self.rng.uniform(0, 0.02))))

    def newest(self) -> int:
        """The step of the newest checkpoint, after a look at each; -1 where there is none."""
        found = store.checkpoints(self.folder / "backup", verify=True)
        assert [one.problem for one in found] == [None] * len(found), found
        return int(found[-1].about["step"]) if found else -1

    def look(self, newest: int, summary: Summary) -> list[int]:
        """Compare what a life has noted with what it should have done; gives the steps that it finished."""
        lines = lines_of(self.folder)[self.seen :]
        self.seen += len(lines)
        words = [line.split() for line in lines]
        begun = [int(word[1]) for word in words if word[0] == "begin"]
        assert begun in ([], [max(newest, 0)]), (begun, newest)
        steps = [int(word[1]) for word in words if word[0] == "step"]
        if begun:
            summary.resumes += newest >= 0
            assert steps == list(range(begun[0] + 1, begun[0] + 1 + len(steps))), (begun, steps)
        for word in words:
            if word[0] == "step":
                assert word[2] == self.digests[word[1]], f"after step {word[1]} the weights are others"
        saved = [int(word[1]) for word in words if word[0] == "saved"]
        if saved and not (self.folder / "result.json").exists():
            kept = self.newest()
            assert kept >= saved[-1] or (kept == -1 and steps[-1:] == [len(self.digests)]), (saved, kept)
        return steps

    def compare(self) -> None:
        """The run is over: with the one that nobody killed."""
        for name in FILES:
            assert (self.folder / name).read_bytes() == (self.whole / name).read_bytes(), name
        assert not (self.folder / "backup").exists()


def lines_of(folder: Path) -> list[str]:
    notes = folder / "notes"
    return notes.read_text().splitlines() if notes.exists() else []


def survive(folder: Path, options: argparse.Namespace) -> Summary:
    """Kill runs until there are enough kills.

    Raises:
        AssertionError: something was lost, or done twice.
    """
    rng, summary = random.Random(options.seed), Summary()
    whole = folder / "whole"
    whole.mkdir()
    begin = time.perf_counter()
    ended(fork(whole, options, options.slow), whole, block=True)
    seconds = time.perf_counter() - begin
    while summary.kills < options.kills:
        trial = Trial(folder / f"run{summary.runs}", whole, options, rng, options.slow)
        while not trial.life(seconds, summary):
            pass
        trial.compare()
        summary.runs += 1
    return summary


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--framework", choices=sorted(TRAINERS), default="numpy")
    parser.add_argument("--background", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--slow", type=float, default=0.003, help="seconds that a batch takes besides")
    options = parser.parse_args()
    if options.framework == "torch":
        if not find_spec("torch"):
            sys.exit("torch is not installed")
        warm_torch()
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        summary = survive(Path(folder), options)
    where = "in the background" if options.background else "in the loop"
    print(f"{options.framework}, saved {where}: {summary}; {time.perf_counter() - begin:.0f} s")


if __name__ == "__main__":
    main()
