"""StopFile: a file that appears asks for a stop."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import pytest

from trainhooks import Callback, LoopRun, Run
from trainhooks.callbacks.stop_file import StopFile
from trainhooks.testing import Do, RaiseAt, StopAt, Trace, batches


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def trained(*callbacks: Callback, epochs: int = 2, **options: Any) -> LoopRun:
    """Epochs of two training batches and two validation batches."""
    with LoopRun(callbacks=callbacks, **options) as run:
        for _ in run.epochs(epochs):
            for _ in run.train(batches(2)):
                run.log(loss=1.0)
            for _ in run.test(batches(2)):
                run.log(loss=1.0)
    return run


def put(event: str, text: str | bytes = "", nth: int = 0) -> Do:
    """Somebody writes the file just before ``event`` is seen."""
    data = text.encode() if isinstance(text, str) else text
    return Do(event, lambda run: Path("STOP").write_bytes(data), nth)


def eager(**settings: Any) -> StopFile:
    """One that looks at each batch."""
    return StopFile(seconds=0, **settings)


TEST = "test[ batch0[] batch1[] ]"


# Where it is seen


@pytest.mark.parametrize(
    "event, story",
    [
        ("train_batch_begin", f"setup train[ epoch0[ batch0[] stop {TEST} ] ] teardown"),
        ("test_begin", f"setup train[ epoch0[ batch0[] batch1[] {TEST} ] stop ] teardown"),
        ("epoch_end", f"setup train[ epoch0[ batch0[] batch1[] {TEST} ] stop ] teardown"),
    ],
)
def test_a_decision_is_seen_after_a_training_batch_and_at_the_end_of_an_epoch(event: str, story: str) -> None:
    trace = Trace()
    run = trained(put(event), eager(), trace)
    assert (trace.outline(), run.outcome, run.stop_kind, run.stop_source) == (story, "stopped", "decision", "StopFile")


@pytest.mark.parametrize(
    "event, story",
    [
        ("train_batch_begin", "setup train[ epoch0[ batch0[] stop teardown"),
        ("test_begin", "setup train[ epoch0[ batch0[] batch1[] test[ batch0[] stop teardown"),
    ],
)
def test_a_pause_is_seen_after_a_validation_batch_too(event: str, story: str) -> None:
    trace = Trace()
    run = trained(put(event), eager(kind="pause"), trace)
    assert (trace.outline(), run.outcome) == (story, "paused")


def test_between_two_looks_batches_are_left_alone_and_the_end_of_an_epoch_is_not() -> None:
    trace = Trace()
    trained(put("train_batch_begin"), StopFile(seconds=3600), trace)
    assert trace.outline() == f"setup train[ epoch0[ batch0[] batch1[] {TEST} ] stop ] teardown"


def test_without_a_file_nothing_happens() -> None:
    assert trained(eager()).outcome == "completed"


@pytest.mark.parametrize("kind, listens", [("decision", False), ("pause", True)])
def test_validation_batches_are_listened_to_for_a_pause_only(kind: Any, listens: bool) -> None:
    assert LoopRun(callbacks=[StopFile(kind=kind)]).bus.listens("test_batch_end") is listens


def test_a_pause_is_still_seen_after_a_decision() -> None:
    run = trained(StopAt(), put("test_begin"), eager(kind="pause"))
    assert run.outcome == "paused"


def test_an_evaluation_alone_is_left_alone() -> None:
    Path("STOP").touch()
    with LoopRun(callbacks=[eager(kind="pause")]) as run:
        for _ in run.test(batches(2)):
            pass
    assert (run.outcome, Path("STOP").exists()) == ("completed", True)


# What stands in it


@pytest.mark.parametrize(
    "text, reason",
    [
        ("", "the file 'STOP' is there"),
        (" \n\n", "the file 'STOP' is there"),
        ("seen enough\nmore lines", "seen enough"),
        ("\n  two\twords \r\nnext", "two words"),
        (b"\xef\xbb\xbfwith a mark", "with a mark"),
        (b"\x1b[31mred\x00", "[31mred"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        ("é" * 5000, "é" * 200),
    ],
)
def test_its_first_line_is_the_reason(text: str | bytes, reason: str) -> None:
    assert trained(put("train_batch_begin", text), eager()).stop_reason == reason


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads everything")
def test_one_that_cannot_be_read_is_obeyed_all_the_same() -> None:
    def hide(run: Run) -> None:
        Path("STOP").touch(mode=0)

    assert trained(Do("train_batch_begin", hide), eager()).stop_reason == "the file 'STOP' is there"


# What becomes of it


@pytest.mark.parametrize("remove", [True, False])
def test_it_is_deleted_when_it_is_seen_unless_it_is_a_switch(remove: bool) -> None:
    trained(put("train_batch_begin"), eager(remove=remove))
    assert Path("STOP").exists() is not remove


def test_a_message_that_was_there_before_is_deleted_and_training_goes_on() -> None:
    Path("STOP").write_text("for another")
    with pytest.warns(UserWarning, match="before training") as caught:
        run = trained(eager())
    assert [str(one.message) for one in caught] == [
        "StopFile('STOP'): it was there before training began, and was meant for another run. It is deleted, and "
        "training goes on."
    ]
    assert (run.outcome, Path("STOP").exists()) == ("completed", False)


@pytest.mark.parametrize("kind, outcome", [("decision", "stopped"), ("pause", "paused")])
def test_a_switch_that_is_on_lets_no_training_begin(kind: Any, outcome: str) -> None:
    Path("STOP").write_text("until Monday")
    trace = Trace()
    run = trained(eager(remove=False, kind=kind), trace)
    assert run.step == 0 and (run.outcome, run.stop_reason) == (outcome, "until Monday")


def test_a_run_that_trains_twice_obeys_a_message_in_between() -> None:
    with LoopRun(callbacks=[eager()]) as run:
        for _ in run.epochs(1):
            pass
        Path("STOP").touch()
        for _ in run.epochs(9):
            for _ in run.train(batches(2)):
                run.log(loss=1.0)
    assert (run.step, run.outcome) == (1, "stopped")


needs_a_user = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root deletes everything")


@needs_a_user
def test_where_it_cannot_be_deleted_a_warning_says_so_and_it_is_obeyed(tmp_path: Path) -> None:
    def make(run: Run) -> None:
        (folder / "STOP").touch()
        folder.chmod(0o500)

    folder = tmp_path / "locked"
    folder.mkdir()
    try:
        with pytest.warns(UserWarning, match="it is obeyed, and could not be deleted"):
            run = trained(Do("train_batch_begin", make), StopFile(folder / "STOP", seconds=0))
    finally:
        folder.chmod(0o700)
    assert run.step == 1


@needs_a_user
def test_an_old_message_that_cannot_be_deleted_is_obeyed(tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir()
    (folder / "STOP").touch()
    folder.chmod(0o500)
    try:
        with pytest.warns(UserWarning, match="could not be deleted and is obeyed") as caught:
            run = trained(StopFile(folder / "STOP", seconds=0))
    finally:
        folder.chmod(0o700)
    assert (run.step, len(caught)) == (0, 1)


def test_a_folder_in_its_place_asks_for_nothing_and_a_warning_says_so() -> None:
    Path("STOP").mkdir()
    with pytest.warns(UserWarning, match="plain file") as caught:
        run = trained(eager())
    assert [str(one.message) for one in caught] == [
        "StopFile('STOP'): what is there is no plain file, and asks for nothing."
    ]
    assert (run.outcome, Path("STOP").is_dir()) == ("completed", True)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no pipes")
def test_a_pipe_in_its_place_is_never_read() -> None:
    run = trained(Do("train_batch_begin", lambda run: os.mkfifo("STOP")), eager())
    assert run.outcome == "completed"


def test_a_link_to_a_file_is_obeyed_and_the_link_deleted() -> None:
    Path("real").write_text("linked")
    run = trained(Do("train_batch_begin", lambda run: Path("STOP").symlink_to("real")), eager())
    assert (run.stop_reason, Path("STOP").is_symlink(), Path("real").exists()) == ("linked", False, True)


def test_a_folder_that_is_not_there_yet_is_no_trouble() -> None:
    def make(run: Run) -> None:
        Path("later").mkdir()
        Path("later/STOP").write_text("now")

    assert trained(Do("train_batch_begin", make), StopFile("later/STOP", seconds=0)).stop_reason == "now"


# Over runs


def test_one_object_serves_many_runs_and_keeps_nothing() -> None:
    stop = eager()
    runs = [trained(put("train_batch_begin", "enough", nth=2), stop) for _ in range(2)]
    assert [(run.step, run.stop_reason) for run in runs] == [(3, "enough")] * 2
    assert stop.state_dict() == {}


def test_a_resumed_run_stays_stopped_and_says_why() -> None:
    run = trained(put("train_batch_begin", "enough"), eager())
    resumed = trained(eager(), resume=run.state_dict(), epochs=9)
    assert (resumed.step, resumed.stop_reason) == (1, "enough")


@pytest.mark.parametrize("event", ["setup", "train_begin", "train_batch_end", "test_batch_end", "epoch_end"])
def test_after_an_exception_it_looks_for_old_messages_again(event: str) -> None:
    stop = eager()
    with pytest.raises(RuntimeError, match="asked for"):
        trained(stop, RaiseAt(event))
    Path("STOP").touch()
    with pytest.warns(UserWarning, match="it was there before training began"):
        assert trained(stop).outcome == "completed"


def test_teardown_may_come_alone_and_twice() -> None:
    stop = StopFile()
    stop.on_teardown()
    stop.on_teardown()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert trained(stop).outcome == "completed"


# Its arguments


@pytest.mark.parametrize(
    "settings, kind, message",
    [
        ({"path": ""}, ValueError, "StopFile(path=''): the name of a file"),
        ({"path": 3}, TypeError, None),
        ({"kind": "puase"}, ValueError, "StopFile(kind='puase'): one of 'decision', 'pause'. Did you mean 'pause'?"),
        ({"seconds": -1}, ValueError, "StopFile(seconds=-1): a finite number of seconds, at least 0"),
        ({"seconds": True}, ValueError, "StopFile(seconds=True): a finite number of seconds, at least 0"),
        ({"seconds": float("nan")}, ValueError, "StopFile(seconds=nan): a finite number of seconds, at least 0"),
        ({"seconds": "1"}, ValueError, "StopFile(seconds='1'): a finite number of seconds, at least 0"),
        ({"file": "STOP"}, TypeError, None),
    ],
)
def test_what_has_no_meaning_is_refused(settings: Any, kind: type[Exception], message: str | None) -> None:
    with pytest.raises(kind) as caught:
        StopFile(**settings)
    assert message is None or str(caught.value) == message
