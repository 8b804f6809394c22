"""ReduceLROnPlateau beside PyTorch's class of that name: where it decides the same, and where not."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from trainhooks.callbacks.reduce_lr_on_plateau import ReduceLROnPlateau
from trainhooks.testing import Do, play
from trainhooks.testing.play import Dial

torch = pytest.importorskip("torch", reason="torch is not installed")

INF, NAN = math.inf, math.nan
HISTORIES = 2000


def theirs(values: list[float], lrs: tuple[float, ...] = (8.0,), **settings: Any) -> list[Any]:
    """The learning rates after each epoch under PyTorch's; one number where there is one group."""
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": lr} for lr in lrs]
    optimizer = torch.optim.SGD(groups)
    given = {"factor": 0.5, "threshold_mode": "abs", "threshold": 0, "eps": 0, **settings}
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, **given)
    seen: list[Any] = []
    for value in values:
        scheduler.step(value)
        now = [group["lr"] for group in optimizer.param_groups]
        seen.append(now if len(lrs) > 1 else now[0])
    return seen


def ours(values: list[float], lrs: tuple[float, ...] = (8.0,), **settings: Any) -> list[Any]:
    seen: list[Any] = []
    look = Do("epoch_end", lambda run: seen.append(run.lrs if len(lrs) > 1 else run.lr), nth=None)
    look.phase = "save"
    reduce = ReduceLROnPlateau("loss", **{"factor": 0.5, "min_delta": 0, **settings})
    play([{"loss": value} for value in values], [reduce, look], trainable=Dial(lrs))
    return seen


def history(rng: np.random.Generator, wild: float) -> list[float]:
    """Up to 24 values that are multiples of 1/4, so that sums are exact; some, as often as ``wild``, are not finite."""
    values = [float(value) / 4 for value in rng.integers(-12, 13, rng.integers(1, 25))]
    return [float(rng.choice([NAN, INF, -INF])) if rng.random() < wild else value for value in values]


def pair(rng: np.random.Generator) -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings for PyTorch's, and those with which ours is to decide the same."""
    patience, cooldown = int(rng.integers(0, 4)), int(rng.integers(0, 4))
    delta = float(rng.choice([0, 0.25, 1]))
    both = {
        "factor": float(rng.choice([0, 0.1, 0.5])),
        "min_lr": float(rng.choice([0, 0.3, 1, 9])),
        "mode": str(rng.choice(["min", "max"])),
    }
    return (
        {"patience": patience, "cooldown": cooldown, "threshold": delta, **both},
        {"patience": patience + 1, "cooldown": cooldown + 1, "min_delta": delta, **both},
    )


def test_with_one_more_of_patience_and_of_cooldown_it_decides_as_pytorch_on_finite_histories() -> None:
    reduced = 0
    for seed in range(HISTORIES):
        rng = np.random.default_rng((1, seed))
        values, (settings, own) = history(rng, wild=0), pair(rng)
        wanted = theirs(values, **settings)
        assert ours(values, **own) == wanted, (values, settings)
        reduced += wanted[-1] < 8
    assert 0.3 * HISTORIES < reduced < 0.9 * HISTORIES  # both kinds were compared


def test_a_cooldown_of_none_is_pytorch_s_of_none_too() -> None:
    for seed in range(200):
        rng = np.random.default_rng((2, seed))
        values, (settings, own) = history(rng, wild=0), pair(rng)
        assert ours(values, **{**own, "cooldown": 0}) == theirs(values, **{**settings, "cooldown": 0})


def test_so_it_does_with_nan_and_infinity_unless_the_first_number_is_the_worst_infinity() -> None:
    differ = worst_first = 0
    for seed in range(HISTORIES):
        rng = np.random.default_rng((3, seed))
        values, (settings, own) = history(rng, wild=0.25), pair(rng)
        same = ours(values, **own) == theirs(values, **settings)
        first = next((value for value in values if not math.isnan(value)), 0.0)
        is_worst = first == (INF if own["mode"] == "min" else -INF)
        assert same or is_worst, (values, settings)
        differ, worst_first = differ + (not same), worst_first + is_worst
    assert 20 < differ < worst_first < 0.2 * HISTORIES


# What remains different


def test_pytorch_waits_one_check_longer() -> None:
    assert theirs([1] * 7, patience=2) == [8, 8, 8, 4, 4, 4, 2]
    assert ours([1] * 7, patience=2) == [8, 8, 4, 4, 2, 2, 1]


def test_in_pytorch_the_check_that_ends_a_cooldown_does_not_count_yet() -> None:
    assert theirs([1] * 8, patience=0, cooldown=2) == [8, 4, 4, 4, 2, 2, 2, 1]
    assert ours([1] * 8, patience=1, cooldown=2) == [8, 4, 4, 2, 2, 1, 1, 0.5]


def test_a_nan_is_a_miss_in_both() -> None:
    assert theirs([NAN, 3, NAN, 2, NAN, NAN, 1], patience=1) == ours([NAN, 3, NAN, 2, NAN, NAN, 1], patience=2)
    assert ours([NAN, 3, NAN, 2, NAN, NAN, 1], patience=2) == [8, 8, 8, 8, 8, 4, 4]


def test_to_pytorch_an_infinity_that_comes_first_is_a_miss_and_to_ours_the_best_so_far() -> None:
    assert theirs([INF, INF, 3], patience=1) == [8, 4, 4]
    assert ours([INF, INF, 3], patience=2) == [8, 8, 8]


def test_pytorch_s_threshold_is_relative_unless_it_is_told() -> None:
    assert theirs([100, 99.995, 99.995], patience=1, threshold=1e-4, threshold_mode="rel") == [8, 8, 4]
    assert ours([100, 99.995, 99.995], patience=2, min_delta=1e-4) == [8, 8, 8]


def test_a_relative_threshold_takes_an_equal_negative_value_for_an_improvement() -> None:
    assert theirs([-1] * 4, patience=0, threshold=1e-4, threshold_mode="rel") == [8, 8, 8, 8]
    assert ours([-1] * 4, patience=1, min_delta=1e-4) == [8, 4, 2, 1]


def test_pytorch_leaves_out_a_reduction_below_eps() -> None:
    assert theirs([1] * 3, (2e-8,), patience=0, eps=1e-8) == [2e-8] * 3
    assert ours([1] * 3, (2e-8,), patience=1) == [2e-8, 1e-8, 5e-9]


def test_pytorch_lowers_each_group_for_itself_and_ours_keep_their_proportions() -> None:
    assert theirs([1] * 3, (8, 2), patience=0, min_lr=1.5) == [[8, 2], [4, 1.5], [2, 1.5]]
    assert ours([1] * 3, (8, 2), patience=1, min_lr=1.5) == [[8, 2], [4, 1], [2, 0.5]]
