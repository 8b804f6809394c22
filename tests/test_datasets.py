"""``x, y``, ready to train on, from the package alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainhooks.datasets import digits


def test_the_digits_come_as_float_rows_in_0_1_and_integer_labels() -> None:
    (x_train, y_train), (x_val, y_val) = digits()
    assert (x_train.shape, y_train.shape) == ((1438, 64), (1438,))
    assert (x_val.shape, y_val.shape) == ((359, 64), (359,))
    assert {x_train.dtype, x_val.dtype} == {np.dtype(np.float32)}
    assert {y_train.dtype, y_val.dtype} == {np.dtype(np.int64)}
    assert (x_train.min(), x_train.max()) == (0.0, 1.0)
    assert set(y_train) == set(y_val) == set(range(10))


def rows(*parts: tuple[np.ndarray, np.ndarray]) -> list[bytes]:
    """Every image with its label, in an order of their own."""
    return sorted(image.tobytes() + label.tobytes() for x, y in parts for image, label in zip(x, y, strict=True))


@given(validation=st.floats(0, 1, exclude_min=True, exclude_max=True), seed=st.integers(0, 2**32))
def test_a_split_loses_and_repeats_nothing_and_leaves_no_side_empty(validation: float, seed: int) -> None:
    train, held = digits(validation, seed)
    assert rows(train, held) == rows(*digits())
    assert len(held[1]) == min(max(round(1797 * validation), 1), 1796)


def test_the_same_seed_gives_the_same_split_and_another_seed_another() -> None:
    first, again, other = digits(seed=3), digits(seed=3), digits(seed=4)
    assert rows(first[1]) == rows(again[1])
    assert np.array_equal(first[0][0], again[0][0])
    assert rows(first[1]) != rows(other[1])


def test_the_arrays_are_the_callers_own() -> None:
    for array in (array for part in digits() for array in part):
        assert array.flags.writeable and array.flags.owndata and array.flags.c_contiguous
        array[...] = 7
    assert digits()[0][0].max() == 1.0


@pytest.mark.parametrize("validation", [0, 1, -0.2, 1.5, 360, math.nan])
def test_a_validation_that_is_no_fraction_is_refused(validation: float) -> None:
    with pytest.raises(ValueError) as caught:
        digits(validation=validation)
    assert str(caught.value) == f"digits(validation={validation!r}): validation is a fraction inside (0, 1)"
