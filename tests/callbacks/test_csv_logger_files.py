"""CSVLogger: what becomes of a file that is there, of a run that goes on, and of one that fails."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from runs import live_until, put
from written import cells, text

from trainhooks import LoopRun, Run, World
from trainhooks.callbacks.csv_logger import CSVLogger
from trainhooks.events import EVENTS
from trainhooks.testing import Do, play


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.csv"


def test_a_second_run_goes_on_in_the_file(path: Path) -> None:
    for loss in (1.0, 2.0):
        play([{"loss": loss}], [CSVLogger(path, append=True)])
    assert text(path) == "epoch,loss\n0,1.0\n0,2.0\n"


# append=True


def appended(path: Path, before: str | bytes, logs: Mapping[str, Any], separator: str = ",") -> str:
    path.write_bytes(before.encode() if isinstance(before, str) else before)
    put([logs], CSVLogger(path, separator, append=True))
    return text(path)


def test_appending_matches_the_columns_by_name(path: Path) -> None:
    before = "epoch,loss,accuracy\n7,1.0,2.0\n"
    assert appended(path, before, {"accuracy": 3.0, "loss": 4.0}) == before + "0,4.0,3.0\n"


def test_appending_widens_the_file_where_it_must(path: Path) -> None:
    assert appended(path, "epoch,loss,old\n7,1.0,2.0\n", {"new": 3.0, "loss": 4.0}) == (
        "epoch,loss,old,new\n7,1.0,2.0,NA\n0,4.0,NA,3.0\n"
    )


def test_appending_finds_the_epoch_wherever_its_column_is(path: Path) -> None:
    assert appended(path, "loss,epoch\n1.0,7\n", {"loss": 4.0}) == "loss,epoch\n1.0,7\n4.0,0\n"


@pytest.mark.parametrize("before", ["", "\n", "\r\n\r\n"])
def test_appending_to_an_empty_file_writes_a_header(path: Path, before: str) -> None:
    assert appended(path, before, {"loss": 4.0}) == "epoch,loss\n0,4.0\n"


def test_appending_to_a_header_alone_keeps_it(path: Path) -> None:
    assert appended(path, "epoch,loss,old", {"loss": 4.0}) == "epoch,loss,old\n0,4.0,NA\n"


def test_a_file_without_a_header_gets_one(path: Path) -> None:
    assert appended(path, "0,0.5,1\n1,0.25\n", {"loss": 4.0}) == (
        "epoch,column_1,column_2,loss\n0,0.5,1,NA\n1,0.25,NA,NA\n0,NA,NA,4.0\n"
    )


def test_cells_that_keras_wrote_beyond_the_header_get_a_column(path: Path) -> None:
    assert appended(path, "epoch,loss\n0,0.5\n1,0.25,9\n", {"loss": 4.0}) == (
        "epoch,loss,column_2\n0,0.5,NA\n1,0.25,9\n0,4.0,NA\n"
    )


def test_a_row_whose_line_end_lacks_is_not_run_together_with_the_next(path: Path) -> None:
    assert appended(path, "epoch,loss\n0,0.5", {"loss": 4.0}) == "epoch,loss\n0,0.5\n0,4.0\n"


def test_a_byte_order_mark_is_no_part_of_the_header(path: Path) -> None:
    assert appended(path, "epoch,loss\r\n0,0.5\r\n".encode("utf-8-sig"), {"loss": 4.0}) == (
        "\ufeffepoch,loss\n0,0.5\n0,4.0\n"
    )


@pytest.mark.parametrize("before", ["a note to self\nof two lines\n", "epoch;loss\n0;1\n", "step,loss\n0,1\n"])
def test_a_file_that_is_no_such_table_is_left_alone_with_a_warning(path: Path, before: str) -> None:
    path.write_text(before, newline="")
    with pytest.warns(RuntimeWarning) as caught:
        put([{"loss": 1.0}, {"loss": 2.0}], CSVLogger(path, append=True))
    assert [str(one.message) for one in caught] == [
        f"CSVLogger.on_train_begin raised ValueError: CSVLogger({str(path)!r}): its first line "
        f"{before.splitlines()[0]!r} is neither a header with 'epoch' nor a row that begins with one. "
        "Give another file, or this one's separator. (training goes on)"
    ]
    assert text(path) == before


def test_a_file_that_is_deleted_while_training_runs_is_begun_again(path: Path) -> None:
    def delete(run: Run) -> None:
        path.unlink()

    put([{"a": 1.0}, {"a": 2.0}, {"a": 3.0}], Do("epoch_begin", delete, nth=2), CSVLogger(path))
    assert text(path) == "epoch,a\n2,3.0\n"


# A run that goes on


def losses(n: int, first: float = 0.0) -> list[dict[str, float]]:
    return [{"loss": first + epoch} for epoch in range(n)]


def saved_after(epochs: int, logger: CSVLogger, event: str = "epoch_end") -> dict[str, Any]:
    """The state that a run of ``logger`` had at the end of so many epochs, as it trained on beyond them, to five."""
    states: list[dict[str, Any]] = []
    keep = Do(event, lambda run: states.append(run.state_dict()), nth=None)
    play(losses(5), [keep, logger])
    return states[epochs - 1]


@pytest.mark.parametrize("append", [False, True])
@pytest.mark.parametrize("epochs", [1, 3, 5])
def test_a_resumed_run_replaces_the_rows_of_the_epochs_that_it_trains_again(
    path: Path, append: bool, epochs: int
) -> None:
    state = saved_after(epochs, CSVLogger(path, append=append))
    run = play(losses(6, first=10), [Do("setup", id), CSVLogger(path, append=append)], resume=state)
    assert [(row["epoch"], float(row["loss"])) for row in cells(path)] == [
        *((str(epoch), epoch) for epoch in range(epochs)),
        *((str(epoch), 10 + epoch) for epoch in range(epochs, 6)),
    ]
    assert run.outcome == "completed"


def test_a_resumed_run_leaves_the_rows_of_earlier_runs(path: Path) -> None:
    play(losses(4, first=100), [CSVLogger(path, append=True)])
    state = saved_after(2, CSVLogger(path, append=True))
    play(losses(3, first=10), [Do("setup", id), CSVLogger(path, append=True)], resume=state)
    assert [float(row["loss"]) for row in cells(path)] == [100, 101, 102, 103, 0, 1, 12]


def test_a_run_that_is_resumed_twice_has_each_epoch_once(path: Path) -> None:
    state = saved_after(3, CSVLogger(path))
    for first in (10, 20):
        play(losses(5, first), [Do("setup", id), CSVLogger(path)], resume=state)
    assert [float(row["loss"]) for row in cells(path)] == [0, 1, 2, 23, 24]


def test_a_logger_that_joins_a_resumed_run_goes_on_in_the_file(path: Path) -> None:
    state = saved_after(3, CSVLogger(path))
    state["callbacks"].clear()
    play(losses(5, first=10), [CSVLogger(path)], resume=state)
    assert [float(row["loss"]) for row in cells(path)] == [0, 1, 2, 13, 14]


def test_a_resumed_run_whose_file_is_gone_begins_another(path: Path) -> None:
    state = saved_after(3, CSVLogger(path))
    path.unlink()
    play(losses(5, first=10), [Do("setup", id), CSVLogger(path)], resume=state)
    assert text(path) == "epoch,loss\n3,13.0\n4,14.0\n"


def test_a_resumed_run_with_a_new_metric_widens_the_file(path: Path) -> None:
    state = saved_after(1, CSVLogger(path))
    play([{}, {"loss": 1.0, "new": 2.0}], [Do("setup", id), CSVLogger(path)], resume=state)
    assert text(path) == "epoch,loss,new\n0,0.0,NA\n1,1.0,2.0\n"


def test_the_state_goes_through_json_and_back(path: Path) -> None:
    before, after = CSVLogger(path, append=True), CSVLogger(path, append=True)
    play(losses(2), [before])
    play(losses(1), [before])
    after.load_state_dict(json.loads(json.dumps(before.state_dict())))
    assert (before.state_dict(), after.state_dict()) == ({"earlier_rows": 2}, {"earlier_rows": 2})


def test_one_that_joins_a_second_run_in_its_midst_begins_the_file_anew(path: Path) -> None:
    log = CSVLogger(path)
    play([{"first": 1.0}] * 2, [log])
    play([{"second": 2.0}] * 3, [Do("epoch_begin", lambda run: run.add(log), nth=1)])
    assert text(path) == "epoch,second\n1,2.0\n2,2.0\n"


# Whatever happens


def test_it_writes_on_the_main_rank_alone(path: Path) -> None:
    class Second(World):
        rank, size = 1, 2

    with LoopRun(callbacks=[CSVLogger(path)], world=Second()) as run:
        for _ in run.epochs(1):
            pass
    assert not path.exists()


def open_files() -> list[str]:
    folder = Path("/proc/self/fd")
    if not folder.exists():
        pytest.skip("the open files of a process are read from /proc")
    return sorted(os.readlink(one) for one in folder.iterdir() if one.exists())


@pytest.mark.parametrize("event", EVENTS)
def test_an_exception_at_any_event_leaves_no_file_open_and_every_row_whole(path: Path, event: str) -> None:
    before = open_files()
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        live_until(event, CSVLogger(path))
        gc.collect()
    assert open_files() == before
    rows = cells(path) if path.exists() else []
    assert [row["epoch"] for row in rows] == ["0", "1"][: len(rows)]
    assert all(None not in row and None not in row.values() for row in rows)


def test_a_process_that_dies_leaves_the_rows_that_it_wrote(path: Path) -> None:
    program = (
        "import os, sys; from trainhooks.testing import Do, play\n"
        "from trainhooks.callbacks.csv_logger import CSVLogger\n"
        "play([{'loss': 1.0}] * 3, [CSVLogger(sys.argv[1]), Do('epoch_begin', lambda run: os._exit(9), nth=2)])"
    )
    died = subprocess.run([sys.executable, "-c", program, str(path)])
    assert (died.returncode, text(path)) == (9, "epoch,loss\n0,1.0\n1,1.0\n")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no full device to write to")
def test_a_full_disk_is_one_warning_and_training_goes_on() -> None:
    with pytest.warns(RuntimeWarning) as caught:
        run = play([{"loss": 1.0}] * 3, [CSVLogger("/dev/full")])
    assert [str(one.message) for one in caught] == [
        "CSVLogger.on_epoch_end raised OSError: [Errno 28] No space left on device (training goes on)"
    ]
    assert (run.outcome, run.epochs_done) == ("completed", 3)


@pytest.mark.skipif(os.name == "nt", reason="the size of files is limited with setrlimit")
def test_a_row_that_the_disk_takes_half_of_is_taken_back(path: Path) -> None:
    program = (
        "import resource, sys, warnings; from trainhooks.testing import Do, play\n"
        "from trainhooks.callbacks.csv_logger import CSVLogger\n"
        "warnings.simplefilter('ignore')\n"
        "limit = lambda n: lambda run: resource.setrlimit(resource.RLIMIT_FSIZE, (n, resource.RLIM_INFINITY))\n"
        "play([{'loss': float(n)} for n in range(4)], [\n"
        "    CSVLogger(sys.argv[1]), Do('epoch_begin', limit(22), nth=1), Do('epoch_begin', limit(1000), nth=3)])"
    )
    subprocess.run([sys.executable, "-c", program, str(path)], check=True)
    assert text(path) == "epoch,loss\n0,0.0\n3,3.0\n"
