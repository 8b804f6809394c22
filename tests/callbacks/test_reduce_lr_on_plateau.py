"""ReduceLROnPlateau: lists of numbers in, the learning rate after each epoch out."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainhooks import LoopRun, Run
from trainhooks.callbacks.reduce_lr_on_plateau import ReduceLROnPlateau
from trainhooks.errors import CapabilityError, MissingMetricError
from trainhooks.testing import Do, play
from trainhooks.testing.play import Dial

INF, NAN = math.inf, math.nan


def losses(*values: float | None) -> list[dict[str, float]]:
    """A history of ``val_loss``; where it is None the epoch does not validate."""
    return [{"loss": 0.0} if value is None else {"loss": 0.0, "val_loss": value} for value in values]


def rates(values: list[float | None], lr: float = 8.0, **settings: Any) -> list[float]:
    """The learning rate after each epoch."""
    seen: list[float] = []
    look = Do("epoch_end", lambda run: seen.append(run.lr), nth=None)
    look.phase = "save"
    play(losses(*values), [ReduceLROnPlateau(**{"factor": 0.5, "patience": 2, **settings}), look], trainable=Dial([lr]))
    return seen


@pytest.mark.parametrize(
    "settings, values, wanted",
    [
        # patience counts checks without improvement; 0 and 1 are alike
        ({}, [1, 1, 1, 1, 1], [8, 8, 4, 4, 2]),
        ({"patience": 1}, [1, 1, 1], [8, 4, 2]),
        ({"patience": 0}, [1, 1, 1], [8, 4, 2]),
        ({}, [3, 3, 2, 2, 2], [8, 8, 8, 8, 4]),
        ({"patience": 10}, [1] * 11, [8] * 10 + [4]),
        ({"factor": 0.25}, [1, 1, 1], [8, 8, 2]),
        ({"factor": 0}, [1, 1, 1], [8, 8, 0]),
        # a check is an epoch at whose end the metric was there
        ({}, [1, None, 1, None, 1, 1], [8, 8, 8, 8, 4, 4]),
        # min_delta, 1e-4 by default
        ({}, [1, 0.99995, 0.9999], [8, 8, 4]),
        ({}, [1, 0.9998, 0.9996], [8, 8, 8]),
        ({"min_delta": 0}, [1, 0.99995, 0.9999], [8, 8, 8]),
        ({"min_delta": 0.5}, [3, 2.5, 2.75], [8, 8, 4]),
        ({"min_delta": -0.5}, [3, 2.5, 2.75], [8, 8, 4]),
        # mode
        ({"mode": "max"}, [1, 2, 3], [8, 8, 8]),
        ({"mode": "max"}, [3, 2, 1], [8, 8, 4]),
        # a NaN is a miss and never a best
        ({}, [NAN, 3, 2, 1], [8, 8, 8, 8]),
        ({}, [3, NAN, NAN], [8, 8, 4]),
        ({}, [INF, 3, 2], [8, 8, 8]),
        # cooldown: the check that ends it counts already
        ({"patience": 1, "cooldown": 1}, [1, 1, 1, 1], [8, 4, 2, 1]),
        ({"patience": 1, "cooldown": 2}, [1] * 6, [8, 4, 4, 2, 2, 1]),
        ({"patience": 2, "cooldown": 3}, [1] * 8, [8, 8, 4, 4, 4, 4, 2, 2]),
        # min_lr
        ({"min_lr": 3}, [1] * 7, [8, 8, 4, 4, 3, 3, 3]),
        ({"min_lr": 8}, [1] * 4, [8] * 4),
        ({"min_lr": 9}, [1] * 4, [8] * 4),
    ],
)
def test_the_rate_after_each_epoch(settings: dict[str, Any], values: list[float | None], wanted: list[float]) -> None:
    assert rates(values, **settings) == wanted


def test_by_default_it_divides_by_ten_after_ten_checks() -> None:
    reduce = ReduceLROnPlateau()
    assert (reduce.monitor, reduce.factor, reduce.patience) == ("val_loss", 0.1, 10)
    assert (reduce.cooldown, reduce.min_lr) == (0, 0)


def test_at_min_lr_patience_goes_on_counting() -> None:
    reduce = ReduceLROnPlateau(patience=1, min_lr=8)
    play(losses(1, 1, 1, 1), [reduce], trainable=Dial([8]))
    assert (reduce.wait, reduce.cooldown_counter, reduce.best) == (3, 0, 1.0)


def test_a_min_lr_that_float32_rounds_is_reached_and_not_set_again() -> None:
    dial = Dial([0.1], np.float32)
    reduce = ReduceLROnPlateau(patience=1, min_lr=0.1)
    play(losses(1, 1, 1), [reduce], trainable=dial)
    assert (dial.lrs, reduce.wait) == ([float(np.float32(0.1))], 2)


def test_the_groups_keep_their_proportions() -> None:
    dial = Dial([8, 2])
    play(losses(1, 1), [ReduceLROnPlateau(factor=0.5, patience=1)], trainable=dial)
    assert dial.lrs == [4, 1]


def test_the_logs_have_the_rate_that_the_epoch_was_trained_with() -> None:
    run = play(losses(1, 1, 1), [ReduceLROnPlateau(factor=0.5, patience=1)], trainable=Dial([8]))
    assert [record.logs["learning_rate"] for record in run.history] == [8, 8, 4]


def test_verbose_prints_what_it_decides(capsys: pytest.CaptureFixture[str]) -> None:
    rates([1, 1, 1], verbose=1)
    rates([1, 1, 1])
    assert capsys.readouterr().out == "Epoch 3: ReduceLROnPlateau reducing learning rate to 4.0.\n"


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"factor": 1}, "ReduceLROnPlateau(factor=1): in [0, 1), since it is to lower the learning rate"),
        ({"factor": -0.1}, "ReduceLROnPlateau(factor=-0.1): in [0, 1), since it is to lower the learning rate"),
        ({"factor": NAN}, "ReduceLROnPlateau(factor=nan): in [0, 1), since it is to lower the learning rate"),
        ({"patience": -1}, "ReduceLROnPlateau(patience=-1, cooldown=0, min_lr=0.0): numbers, and none is negative"),
        ({"factor": "0.1"}, "ReduceLROnPlateau(factor='0.1'): in [0, 1), since it is to lower the learning rate"),
        ({"cooldown": -1}, "ReduceLROnPlateau(patience=10, cooldown=-1, min_lr=0.0): numbers, and none is negative"),
        ({"min_lr": NAN}, "ReduceLROnPlateau(patience=10, cooldown=0, min_lr=nan): numbers, and none is negative"),
        ({"min_delta": NAN}, "ReduceLROnPlateau(min_delta=nan): a number"),
        ({"mode": "up"}, "ReduceLROnPlateau(mode='up'): a mode is 'auto', 'min' or 'max'."),
    ],
)
def test_what_has_no_meaning_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        ReduceLROnPlateau(**settings)
    assert str(caught.value) == message


def test_a_missing_monitor_is_an_error_that_names_the_nearest() -> None:
    with pytest.raises(MissingMetricError) as caught:
        play([{"loss": 1.0, "val_loss": 1.0}], [ReduceLROnPlateau("val_lost_loss")])
    assert str(caught.value) == (
        "ReduceLROnPlateau(monitor='val_lost_loss'): epoch 0 ended without that metric. "
        "There are 'loss', 'val_loss', 'learning_rate'. Did you mean 'val_loss'? (strict=False warns instead.)"
    )


def test_not_strict_warns_and_skips_the_epoch() -> None:
    reduce = ReduceLROnPlateau("f1", patience=2, strict=False)
    with pytest.warns(UserWarning, match="epoch 1 ended without that metric"):
        run = play([{"f1": 1.0}, {"loss": 1.0}, {"f1": 1.0}], [reduce])
    assert (reduce.wait, run.lr) == (1, 0.1)


def test_a_validation_that_never_ran_is_an_error_at_the_end() -> None:
    with (
        pytest.warns(UserWarning, match="no validation has run yet"),
        pytest.raises(MissingMetricError, match="training ended and no validation ever ran"),
    ):
        play([{"loss": 1.0}], [ReduceLROnPlateau()])


def test_it_needs_a_trainer_with_a_rate() -> None:
    with pytest.raises(CapabilityError, match="ReduceLROnPlateau needs 'lr'"):
        LoopRun(callbacks=[ReduceLROnPlateau()])


# State


NUMBERS = st.one_of(st.integers(-4, 4).map(float), st.sampled_from([INF, -INF, NAN]))
HISTORIES = st.lists(st.one_of(NUMBERS, NUMBERS, st.none()), min_size=2, max_size=12).map(lambda made: losses(*made))


@pytest.mark.filterwarnings("ignore:ReduceLROnPlateau")
@settings(max_examples=80, deadline=None)
@given(
    HISTORIES,
    st.fixed_dictionaries(
        {
            "factor": st.sampled_from([0.5, 0.9]),
            "patience": st.integers(0, 3),
            "cooldown": st.integers(0, 3),
            "min_lr": st.sampled_from([0, 3]),
            "min_delta": st.sampled_from([0, 1]),
        }
    ),
)
def test_resuming_after_any_epoch_equals_never_having_stopped(
    history: list[dict[str, float]], settings: dict[str, Any]
) -> None:
    def make() -> ReduceLROnPlateau:
        return ReduceLROnPlateau(strict=False, **settings)

    states: list[tuple[dict[str, Any], list[float]]] = []

    def keep(run: Run) -> None:
        states.append((json.loads(json.dumps(run.state_dict())), run.lrs))

    last = Do("epoch_end", keep, nth=None)
    last.phase = "save"
    whole, dial = make(), Dial([8])
    play(history, [whole, last], trainable=dial)
    for state, lrs in states:
        resumed, again = make(), Dial(lrs)
        play(history, [resumed], trainable=again, resume=state)
        assert (again.lrs, resumed.state_dict()) == (dial.lrs, whole.state_dict())


def test_settings_are_the_constructor_s_and_a_difference_is_told() -> None:
    old, new = ReduceLROnPlateau(patience=5), ReduceLROnPlateau(patience=5, factor=0.5)
    play(losses(1, 1), [old])
    with pytest.warns(UserWarning, match=r"saved with factor=0\.1; the constructor's factor=0\.5 hold"):
        new.load_state_dict(old.state_dict())
    assert (new.factor, new.wait, new.best) == (0.5, 1, 1.0)
