"""JSONLogger: what becomes of a file that is there, of a run that goes on, and of one that fails."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
from runs import live_until, put

from trainhooks import LoopRun, Run, World
from trainhooks.callbacks.json_logger import JSONLogger
from trainhooks.events import EVENTS
from trainhooks.testing import Do, play


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.jsonl"


def losses(path: Path, key: str = "epoch") -> list[tuple[int, float]]:
    """The records of a file, each as its number and its loss."""
    text = path.read_text()
    assert text.endswith("\n")
    return [(record[key], record["loss"]) for record in map(json.loads, text.splitlines())]


def test_a_second_run_goes_on_in_the_file(path: Path) -> None:
    for loss in (1.0, 2.0):
        play([{"loss": loss}], [JSONLogger(path, append=True)])
    assert losses(path) == [(0, 1.0), (0, 2.0)]


# append=True

NEW = '{"epoch": 0, "step": 0, "a": 1.0}\n'


@pytest.mark.parametrize(
    ("before", "kept"),
    [
        ("", ""),
        ('{"x": 1}\n', '{"x": 1}\n'),
        ('{"x": 1}', '{"x": 1}\n'),
        ('{"x": 1}\n{"epoch": 3, "lo', '{"x": 1}\n'),
        ('{"epo', ""),
        ('{"x": 1}\n\n# a note\n', '{"x": 1}\n\n# a note\n'),
        ('{"x": 1}\n# a note', '{"x": 1}\n# a note\n'),
        ('{"x": 1}\r\n', '{"x": 1}\r\n'),
        ('\ufeff{"x": 1}\n', '\ufeff{"x": 1}\n'),
    ],
    ids=["empty", "whole", "no end", "half a line", "half a line alone", "foreign lines", "note", "CRLF", "BOM"],
)
def test_appending_keeps_whole_lines_and_cuts_half_a_one_off(path: Path, before: str, kept: str) -> None:
    path.write_bytes(before.encode())
    put([{"a": 1.0}], JSONLogger(path, append=True))
    assert path.read_bytes().decode() == kept + NEW


@pytest.mark.parametrize(
    ("before", "first"),
    [
        ("epoch,loss\n0,1\n", "epoch,loss"),
        ("[1, 2]\n", "[1, 2]"),
        ("a note", "a note"),
        ('\n{"half"\n{}\n', '{"half"'),
        ("x" * 99, "x" * 60),
    ],
)
def test_a_file_of_something_else_is_left_alone_with_a_warning(path: Path, before: str, first: str) -> None:
    path.write_bytes(before.encode())
    with pytest.warns(RuntimeWarning) as caught:
        put([{"a": 1.0}, {"a": 2.0}], JSONLogger(path, append=True))
    assert [str(one.message) for one in caught] == [
        f"JSONLogger.on_train_begin raised ValueError: JSONLogger({str(path)!r}): its first line {first!r} is no JSON "
        "object. Give another file. (training goes on)"
    ]
    assert path.read_bytes().decode() == before


def test_a_file_that_is_deleted_while_training_runs_is_begun_again(path: Path) -> None:
    put([{"a": 1.0}, {"a": 2.0}], Do("epoch_begin", lambda run: path.unlink(), nth=1), JSONLogger(path))
    assert path.read_text() == '{"epoch": 1, "step": 0, "a": 2.0}\n'


# A run that goes on


def trained(*callbacks: Any, epochs: int = 4, first: float = 0.0, resume: Any = None) -> LoopRun:
    """Epochs of three steps; the loss of each batch is its step, and ``first`` on top."""
    with LoopRun(callbacks=callbacks, resume=resume) as run:
        for _ in run.epochs(epochs):
            for _ in run.train(range(3)):
                run.log(loss=first + run.step)
    return run


def state_at(event: str, nth: int, *callbacks: Any) -> dict[str, Any]:
    """The state that a run had at an event, as it trained on beyond it, to the end."""
    states: list[dict[str, Any]] = []
    keep = Do(event, lambda run: states.append(run.state_dict()), nth=nth)
    keep.phase = "save"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that it is taken inside an epoch
        trained(keep, *callbacks)
    return json.loads(json.dumps(states[0]))  # type: ignore[no-any-return]


@pytest.mark.parametrize("append", [False, True])
@pytest.mark.parametrize("done", [1, 3, 4])
def test_a_resumed_run_replaces_the_records_of_the_epochs_that_it_trains_again(
    path: Path, append: bool, done: int
) -> None:
    state = state_at("epoch_end", done - 1, JSONLogger(path, append=append))
    trained(Do("setup", id), JSONLogger(path, append=append), epochs=5, first=100, resume=state)
    means = [1.0, 4.0, 7.0, 10.0, 13.0]
    assert losses(path) == [(epoch, mean + (100 if epoch >= done else 0)) for epoch, mean in enumerate(means)]


@pytest.mark.parametrize("freq", [1, 2, 5])
@pytest.mark.parametrize("done", [1, 2])
def test_a_resumed_run_replaces_the_records_of_the_steps_that_it_trains_again(path: Path, freq: int, done: int) -> None:
    state = state_at("epoch_end", done - 1, JSONLogger(path, save_freq=freq))
    trained(Do("setup", id), JSONLogger(path, save_freq=freq), first=100, resume=state)
    read = losses(path, "step")
    assert [step for step, _ in read] == list(range(freq, 13, freq))
    assert [loss >= 100 for _, loss in read] == [step > 3 * done for step, _ in read]


def test_where_the_rhythm_changed_no_step_that_is_trained_again_is_left(path: Path) -> None:
    state = state_at("epoch_end", 0, JSONLogger(path, save_freq=1))
    trained(Do("setup", id), JSONLogger(path, save_freq=5), first=100, resume=state)
    assert [step for step, _ in losses(path, "step")] == [1, 2, 3, 5, 10]


def test_where_it_was_an_epoch_the_records_of_steps_are_told_from_those_of_epochs(path: Path) -> None:
    state = state_at("epoch_end", 1, JSONLogger(path))
    trained(Do("setup", id), JSONLogger(path, save_freq=4), first=100, resume=state)
    keys = [list(json.loads(line))[:3] for line in path.read_text().splitlines()]
    assert keys == [["epoch", "step", "loss"]] * 2 + [["epoch", "batch", "step"]] * 2


def test_a_resumed_run_leaves_the_records_of_earlier_runs(path: Path) -> None:
    trained(JSONLogger(path, append=True), first=500)
    state = state_at("epoch_end", 1, JSONLogger(path, append=True))
    trained(Do("setup", id), JSONLogger(path, append=True), epochs=3, first=100, resume=state)
    assert losses(path) == [(0, 501.0), (1, 504.0), (2, 507.0), (3, 510.0), (0, 1.0), (1, 4.0), (2, 107.0)]


def test_a_run_that_is_resumed_twice_has_each_epoch_once(path: Path) -> None:
    state = state_at("epoch_end", 2, JSONLogger(path))
    for first in (100, 200):
        trained(Do("setup", id), JSONLogger(path), first=first, resume=state)
    assert losses(path) == [(0, 1.0), (1, 4.0), (2, 7.0), (3, 210.0)]


def test_a_resumed_run_cuts_off_the_half_line_of_a_crash(path: Path) -> None:
    state = state_at("epoch_end", 1, JSONLogger(path))
    whole = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(whole[:3]) + whole[3][:9])
    trained(Do("setup", id), JSONLogger(path), first=100, resume=state)
    assert losses(path) == [(0, 1.0), (1, 4.0), (2, 107.0), (3, 110.0)]


def test_a_logger_that_joins_a_resumed_run_goes_on_in_the_file(path: Path) -> None:
    state = state_at("epoch_end", 1, JSONLogger(path))
    state["callbacks"].clear()
    trained(JSONLogger(path), first=100, resume=state)
    assert losses(path) == [(0, 1.0), (1, 4.0), (2, 107.0), (3, 110.0)]


def test_a_resumed_run_whose_file_is_gone_begins_another(path: Path) -> None:
    state = state_at("epoch_end", 2, JSONLogger(path))
    path.unlink()
    trained(Do("setup", id), JSONLogger(path), first=100, resume=state)
    assert losses(path) == [(3, 110.0)]


def test_a_resumed_run_leaves_lines_that_are_somebody_else_s(path: Path) -> None:
    state = state_at("epoch_end", 0, JSONLogger(path))
    with open(path, "a") as file:
        file.write('# a note\n{"note": 1}\n{"epoch": "three"}\n')
    trained(Do("setup", id), JSONLogger(path), epochs=2, first=100, resume=state)
    assert path.read_text().splitlines() == [
        '{"epoch": 0, "step": 3, "loss": 1.0}',
        "# a note",
        '{"note": 1}',
        '{"epoch": "three"}',
        '{"epoch": 1, "step": 6, "loss": 104.0}',
    ]


def test_one_that_is_added_inside_a_resumed_epoch_goes_on_there(path: Path) -> None:
    state = state_at("epoch_end", 0, JSONLogger(path, save_freq=1))

    def join(run: Run) -> None:
        run.add(JSONLogger(path, save_freq=1))

    trained(Do("train_batch_end", join), epochs=2, first=100, resume=state)
    steps = [step for step, _ in losses(path, "step")]
    # it joins as step 4 ends, whose record in the file is of the run before and stays
    assert steps == [1, 2, 3, 4, 5, 6]


def test_the_state_goes_through_json_and_back(path: Path) -> None:
    before, after = JSONLogger(path, append=True), JSONLogger(path, append=True)
    trained(before, epochs=2)
    trained(before, epochs=1)
    after.load_state_dict(json.loads(json.dumps(before.state_dict())))
    assert (before.state_dict(), after.state_dict()) == ({"earlier_lines": 2}, {"earlier_lines": 2})


# Whatever happens


def test_it_writes_on_the_main_rank_alone(path: Path) -> None:
    class Second(World):
        rank, size = 1, 2

    with LoopRun(callbacks=[JSONLogger(path)], world=Second()) as run:
        for _ in run.epochs(1):
            pass
    assert not path.exists()


def open_files() -> list[str]:
    folder = Path("/proc/self/fd")
    if not folder.exists():
        pytest.skip("the open files of a process are read from /proc")
    return sorted(os.readlink(one) for one in folder.iterdir() if one.exists())


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("save_freq", ["epoch", 1])
def test_an_exception_at_any_event_leaves_no_file_open_and_every_line_whole(
    path: Path, event: str, save_freq: Any
) -> None:
    before = open_files()
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        live_until(event, JSONLogger(path, save_freq=save_freq))
        gc.collect()
    assert open_files() == before
    steps = [json.loads(line)["step"] for line in path.read_text().splitlines()] if path.exists() else []
    expected = [2, 4] if save_freq == "epoch" else [1, 2, 3, 4]
    assert steps == expected[: len(steps)]


def test_a_process_that_dies_leaves_the_records_that_it_wrote(path: Path) -> None:
    program = (
        "import os, sys; from trainhooks.testing import Do, play\n"
        "from trainhooks.callbacks.json_logger import JSONLogger\n"
        "play([{'loss': 1.0}] * 3, [JSONLogger(sys.argv[1]), Do('epoch_begin', lambda run: os._exit(9), nth=2)])"
    )
    died = subprocess.run([sys.executable, "-c", program, str(path)])
    assert (died.returncode, losses(path)) == (9, [(0, 1.0), (1, 1.0)])


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no full device to write to")
def test_a_full_disk_is_one_warning_and_training_goes_on() -> None:
    with pytest.warns(RuntimeWarning) as caught:
        run = play([{"loss": 1.0}] * 3, [JSONLogger("/dev/full")])
    assert [str(one.message) for one in caught] == [
        "JSONLogger.on_epoch_end raised OSError: [Errno 28] No space left on device (training goes on)"
    ]
    assert (run.outcome, run.epochs_done) == ("completed", 3)


@pytest.mark.skipif(os.name == "nt", reason="the size of files is limited with setrlimit")
def test_a_record_that_the_disk_takes_half_of_is_taken_back(path: Path) -> None:
    program = (
        "import resource, sys, warnings; from trainhooks.testing import Do, play\n"
        "from trainhooks.callbacks.json_logger import JSONLogger\n"
        "warnings.simplefilter('ignore')\n"
        "limit = lambda n: lambda run: resource.setrlimit(resource.RLIMIT_FSIZE, (n, resource.RLIM_INFINITY))\n"
        "play([{'loss': float(n)} for n in range(4)], [\n"
        "    JSONLogger(sys.argv[1]), Do('epoch_begin', limit(50), nth=1), Do('epoch_begin', limit(1000), nth=3)])"
    )
    subprocess.run([sys.executable, "-c", program, str(path)], check=True)
    assert losses(path) == [(0, 0.0), (3, 3.0)]
