"""The optimizers of the numpy model: what is done to their gradients before a step, and how they are clipped."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainhooks.numpy_optimizers import SGD, Array, clipped, norm_of


def gradients(*values: float) -> dict[str, Array]:
    return {f"g{at}": np.array([value], np.float32) for at, value in enumerate(values)}


def flat(given: Mapping[str, Array]) -> list[float]:
    return [float(value) for one in given.values() for value in one]


def test_the_norm_is_of_all_gradients_together() -> None:
    assert norm_of(gradients(3, 4)) == 5.0
    assert norm_of({}) == 0.0
    assert norm_of(gradients(3e30, 4e30)) == pytest.approx(5e30)  # beyond float32, were it summed there


@pytest.mark.parametrize(
    "values, norm, value, wanted",
    [
        ((3, -4), None, 2, (2, -2)),
        ((3, -4), 2.5, None, (1.5, -2)),
        ((3, -4), 5.1, None, (3, -4)),
        ((30, -4), 2.5, 4, (2.5 / 2**0.5, -2.5 / 2**0.5)),  # the value first
        ((0, 0), 1, 1, (0, 0)),
        ((math.nan, 4), 1, None, (math.nan, 4)),
        ((math.inf, 4), 1, None, (math.inf, 4)),
        ((math.inf, math.nan), None, 1, (1, math.nan)),
        ((3, 4), math.inf, None, (3, 4)),
    ],
)
def test_clipping(values: Any, norm: float | None, value: float | None, wanted: Any) -> None:
    before = gradients(*values)
    assert flat(clipped(before, norm, value)) == pytest.approx(list(wanted), rel=1e-6, nan_ok=True)
    assert flat(before) == pytest.approx(list(values), nan_ok=True)  # what was given is not written to
    assert all(one.dtype == np.float32 for one in clipped(before, norm, value).values())


@given(
    values=st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=5),
    norm=st.one_of(st.none(), st.floats(1e-3, 1e6)),
    value=st.one_of(st.none(), st.floats(1e-3, 1e6)),
)
def test_clipped_gradients_keep_to_both_bounds_and_to_their_signs(
    values: list[float], norm: float | None, value: float | None
) -> None:
    done = clipped(gradients(*values), norm, value)
    assert norm is None or norm_of(done) <= norm * (1 + 1e-5)
    assert value is None or max(map(abs, flat(done))) <= value * (1 + 1e-6)
    assert all(
        after * before >= 0 and abs(after) <= abs(before) for before, after in zip(values, flat(done), strict=True)
    )


def test_what_is_done_before_a_step_is_done_in_turn_until_it_ends() -> None:
    weights = {"w": np.zeros(1, np.float32)}
    optimizer = SGD(weights, lr=1.0)

    def plus_one(given: Mapping[str, Array]) -> Mapping[str, Array]:
        return {name: one + 1 for name, one in given.items()}

    def doubled(given: Mapping[str, Array]) -> Mapping[str, Array]:
        return {name: one * 2 for name, one in given.items()}

    moved = []
    ends = [optimizer.before(plus_one), optimizer.before(doubled), optimizer.before(plus_one)]
    for end in (*ends, None):
        weights["w"][...] = 0
        optimizer.step({"w": np.ones(1, np.float32)})
        moved.append(-weights["w"].item())
        if end is not None:
            end()
            end()
    assert moved == [5.0, 3.0, 2.0, 1.0]
