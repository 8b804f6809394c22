"""fastai: runs that go on after a process was killed."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from trainhooks.testing import Do

pytest.importorskip("fastai", reason="fastai is not installed")
from small_learner import learner, train
from trainhooks_adapters.fastai import bridge, wrap

# Decisions


# Going on


def test_a_killed_run_goes_on_in_another_process_as_if_nothing_had_been(tmp_path: Path) -> None:
    code = "import sys, small_learner; small_learner.train(sys.argv[1], seed=0, dies_at=11)"
    at = Path(__file__).parent.parent
    command = [sys.executable, "-c", code, str(tmp_path / "a")]
    killed = subprocess.run(command, cwd=at, capture_output=True, text=True, timeout=300)
    assert killed.returncode == 9, killed.stderr  # in the midst of the fourth epoch
    rest = train(tmp_path / "a", seed=1)  # what it would shuffle by is another
    whole = train(tmp_path / "b", seed=0)
    assert rest == whole and whole[0] > 4
    assert (tmp_path / "a" / "log.csv").read_text() == (tmp_path / "b" / "log.csv").read_text()


def kept(epochs: int, *, after: int = 0) -> Any:
    """The state after so many epochs of a run of four."""
    states: list[Any] = []
    keep = Do("epoch_end", lambda run: states.append(run.state_dict()), after)
    wrap(learner(), callbacks=[keep]).fit(epochs)
    return states[0]


def test_a_bridge_goes_on_at_the_next_epoch_and_its_second_fit_is_a_new_run() -> None:
    made = bridge([], resume=kept(4, after=1))
    learn = learner(cbs=[made])
    learn.validate()
    assert not made.run.resumed  # it is of the weights that there are
    for expected in ([0, 1, 2, 3], [0, 1]):
        learn.fit(len(expected))
        assert [record.epoch for record in made.run.history] == expected
    assert not made.run.resumed


def test_a_later_start_epoch_counts() -> None:
    wrapped = wrap(learner(), resume=kept(4))
    wrapped.fit(4, start_epoch=3)
    assert [record.epoch for record in wrapped.run.history] == [0, 3]


def test_a_run_that_has_all_its_epochs_behind_it_trains_none_and_says_so() -> None:
    learn = learner()
    wrapped = wrap(learn, resume=kept(2, after=1))
    with pytest.warns(UserWarning, match="has 2 epochs behind it, so that none is left"):
        wrapped.fit(2)
    assert (wrapped.run.outcome, wrapped.run.step, wrapped.run.stop_reason) == ("completed", 4, None)


@pytest.mark.parametrize("goes_on", [False, True])
def test_a_stopped_run_stays_stopped_unless_it_is_asked_to_go_on(goes_on: bool) -> None:
    states: list[Any] = []
    keep = Do("epoch_end", lambda run: states.append(run.state_dict()))
    keep.phase = "save"
    stop = Do("train_batch_end", lambda run: run.stop("enough"))
    wrap(learner(), callbacks=[stop, keep]).fit(3)
    wrapped = wrap(learner(), resume=states[0], resume_stopped=goes_on)
    with contextlib.nullcontext() if goes_on else pytest.warns(UserWarning, match="stopped before: enough"):
        wrapped.fit(3)
    assert (wrapped.run.epochs_done, wrapped.run.outcome) == ((3, "completed") if goes_on else (1, "stopped"))
