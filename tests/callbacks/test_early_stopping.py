"""EarlyStopping: lists of numbers in, the epoch at which it stopped out."""

from __future__ import annotations

import math
from typing import Any

import pytest

from trainhooks.callbacks.early_stopping import EarlyStopping
from trainhooks.testing import play

INF, NAN = math.inf, math.nan


def losses(*values: float | None) -> list[dict[str, float]]:
    """A history of ``val_loss``; where it is None the epoch does not validate."""
    return [{"loss": 0.0} if value is None else {"loss": 0.0, "val_loss": value} for value in values]


def stopped(values: list[float | None], **settings: Any) -> int | None:
    """After how many epochs it stopped; None when it did not."""
    run = play(losses(*values), [EarlyStopping(**settings)])
    return len(run.history) if run.should_stop else None


# When it stops


@pytest.mark.parametrize(
    "settings, values, wanted",
    [
        # patience counts checks without improvement; 0 and 1 are alike, and the first epoch never stops
        ({}, [3, 2, 1, 1, 1], 4),
        ({"patience": 1}, [3, 2, 1, 1, 1], 4),
        ({"patience": 2}, [3, 2, 1, 1, 1], 5),
        ({"patience": 3}, [3, 2, 1, 1, 1], None),
        ({"patience": 2}, [3, 4, 2, 3, 3, 3], 5),
        ({}, [1], None),
        ({}, [NAN, NAN, NAN], 2),
        # min_delta
        ({"min_delta": 0.5}, [3, 2.5, 2], 2),
        ({"min_delta": 0.5, "patience": 2}, [3, 2.75, 2.25, 2.25, 2.25], 5),
        ({"min_delta": -0.5}, [3, 2.5, 2], 2),
        # mode
        ({"mode": "max"}, [1, 2, 3, 3, 3], 4),
        ({"mode": "max"}, [3, 2], 2),
        ({"mode": "min"}, [3, 2], None),
        # a NaN is a miss and never a best
        ({"patience": 2}, [NAN, 3, NAN, 2, NAN, NAN, 1], 6),
        ({"patience": 2}, [INF, 3, 2, 1], None),
        ({"patience": 2}, [-INF, 3, 2, 1], 3),
        # baseline: patience starts again only when that is beaten too, and an epoch that improves never stops
        ({"baseline": 1.0, "patience": 2}, [5, 4, 3, 2, 2], 5),
        ({"baseline": 1.0, "patience": 2}, [5, 4, 0.5, 0.5, 0.5], 5),
        ({"baseline": 1.0, "patience": 2}, [5, 6, 7], 2),
        ({"baseline": 9.0, "patience": 2}, [5, 6, 7], 3),
        ({"baseline": 1.0, "min_delta": 0.5, "patience": 1}, [0.75, 0.75], 2),
        # start_from_epoch
        ({"start_from_epoch": 3}, [1, 2, 3, 4, 5], 5),
        ({"start_from_epoch": 9}, [1, 2, 3, 4, 5], None),
        ({"start_from_epoch": 1}, [0, 5, 4, 3], None),
        # a check is an epoch at whose end the metric was there
        ({"patience": 2}, [1, None, 1, None, None, 1, 0], 6),
        ({"patience": INF}, [1, 1, 1, 1, 1], None),
    ],
)
def test_it_stops_after_so_many_epochs(settings: dict[str, Any], values: list[float | None], wanted: int) -> None:
    assert stopped(values, **settings) == wanted


def test_the_monitor_is_the_metric_that_is_named_and_auto_knows_its_direction() -> None:
    history = [{"accuracy": value, "loss": 9.0 - value} for value in (1.0, 2.0, 2.0, 3.0)]
    assert len(play(history, [EarlyStopping("accuracy")]).history) == 3


def test_it_tells_when_and_why_it_stopped() -> None:
    stopping = EarlyStopping(patience=2)
    run = play(losses(3, 2, 2.5, 2.25, 1), [stopping])
    assert (run.stop_reason, run.stop_kind, run.stop_source, run.outcome) == (
        "val_loss has not improved on 2 of epoch 2 for 2 checks",
        "decision",
        "EarlyStopping",
        "stopped",
    )
    assert (stopping.wait, stopping.best, stopping.best_epoch, stopping.stopped_epoch) == (2, 2.0, 1, 3)


def test_where_the_metric_was_never_a_number_the_reason_says_so() -> None:
    assert play(losses(NAN, NAN), [EarlyStopping()]).stop_reason == "val_loss is nan and was never a number"


def test_a_monitor_that_is_not_strict_skips_the_epochs_without_it() -> None:
    history = [{"f1": 1.0}, {"loss": 1.0}, {"f1": 0.5}, {"loss": 1.0}, {"f1": 0.5}]
    stopping = EarlyStopping("f1", patience=2, strict=False)
    with pytest.warns(UserWarning, match=r"epoch \d ended without that metric"):
        run = play(history, [stopping])
    assert (len(run.history), stopping.wait) == (5, 2)


def test_an_epoch_before_start_from_epoch_owes_no_metric() -> None:
    history = [{"loss": 1.0}, {"f1": 1.0}, {"f1": 0.5}]
    assert len(play(history, [EarlyStopping("f1", start_from_epoch=1)]).history) == 3


def test_a_misspelt_monitor_is_an_error() -> None:
    with pytest.raises(KeyError) as caught:
        play(losses(1, 1), [EarlyStopping("val_los")])
    assert str(caught.value) == (
        "EarlyStopping(monitor='val_los'): epoch 0 ended without that metric. There are 'loss', 'val_loss'. "
        "Did you mean 'val_loss'? (strict=False warns instead.)"
    )


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"patience": -1}, "EarlyStopping(patience=-1): a number of checks, at least 0"),
        ({"patience": "3"}, "EarlyStopping(patience='3'): a number of checks, at least 0"),
        ({"min_delta": None}, "EarlyStopping(min_delta=None): a number"),
        ({"patience": NAN}, "EarlyStopping(patience=nan): a number of checks, at least 0"),
        ({"baseline": NAN}, "EarlyStopping(baseline=nan): a number, or None"),
        ({"min_delta": NAN}, "EarlyStopping(min_delta=nan): a number"),
        ({"mode": "maxi"}, "EarlyStopping(mode='maxi'): a mode is 'auto', 'min' or 'max'. Did you mean 'max'?"),
    ],
)
def test_what_has_no_meaning_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        EarlyStopping(**settings)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "settings, values, said",
    [
        ({"verbose": 1}, [1, 1], "Epoch 2: early stopping\n"),
        ({"verbose": 1}, [2, 1], ""),
        (
            {"verbose": 1, "restore_best_weights": True},
            [1, 1],
            "Epoch 2: early stopping\nRestored the weights of the best epoch: 1.\n",
        ),
        ({"restore_best_weights": True}, [1, 1], ""),
    ],
)
def test_verbose_prints_what_it_decides(
    settings: dict[str, Any], values: list[float | None], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    stopped(values, **settings)
    assert capsys.readouterr().out == said


# min_epochs


@pytest.mark.parametrize(
    "values, min_epochs, wanted",
    [
        ([1, 2, 2, 2, 2, 2], 0, 2),
        ([1, 2, 2, 2, 2, 2], 2, 2),
        ([1, 2, 2, 2, 2, 2], 4, 4),  # held and released
        ([1, 2, 2, 0, 0.5, 0.5], 4, 5),  # held and withdrawn when the metric improved
        ([1, 2, None, None, None, 0], 4, 4),  # held and released where no check was due
        ([1, 2, 0, None, None, None], 4, None),
        ([1, 2, 2], 9, None),  # never released: it is the end
    ],
)
def test_before_min_epochs_the_stop_is_held(values: list[float | None], min_epochs: int, wanted: int | None) -> None:
    run = play(losses(*values), [EarlyStopping()], min_epochs=min_epochs)
    assert (len(run.history) if run.should_stop else None) == wanted


def test_a_stop_that_was_withdrawn_leaves_no_trace(capsys: pytest.CaptureFixture[str]) -> None:
    stopping = EarlyStopping(verbose=1)
    play(losses(1, 2, 0, -1), [stopping], min_epochs=3)
    assert (stopping.stopped_epoch, stopping.wait, capsys.readouterr().out) == (0, 0, "")


def test_a_stop_that_is_held_is_not_withdrawn_by_the_improvement_of_another() -> None:
    history = [{"loss": 3.0, "val_loss": 1.0}, {"loss": 2.0, "val_loss": 2.0}, {"loss": 1.0}, {"loss": 0.5}]
    run = play(history, [EarlyStopping("val_loss"), EarlyStopping("loss")], min_epochs=3)
    assert len(run.history) == 3
