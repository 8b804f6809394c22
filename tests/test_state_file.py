"""A state in one file: what goes in comes out, and nothing else is taken for one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from trainhooks.errors import StateFileError
from trainhooks.state_file import load_state, save_state
from trainhooks.store import save_arrays

ARRAYS = hnp.arrays(
    st.sampled_from([np.float32, np.float64, np.int64, np.uint8, np.bool_]),
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | ARRAYS
KEYS = st.text(max_size=4) | st.sampled_from(["__array__", "__items__", "a/b", "a"]) | st.integers(0, 9)
STATES = st.dictionaries(
    st.text(max_size=4) | st.sampled_from(["__array__", "__items__", "a/b", "a"]),
    st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3)),
    max_size=4,
)


def told(value: Any) -> Any:
    """A value that can be compared: arrays with their dtypes and shapes, NaN as text."""
    if isinstance(value, dict):
        return {key: told(one) for key, one in value.items()}
    if isinstance(value, list):
        return [told(one) for one in value]
    if isinstance(value, np.ndarray):
        return str(value.dtype), value.shape, value.tobytes()
    return repr(value)


@given(STATES)
@settings(deadline=None, max_examples=150)
def test_what_goes_in_comes_out(tmp_path_factory: pytest.TempPathFactory, state: dict[str, Any]) -> None:
    path = tmp_path_factory.mktemp("state") / "state.safetensors"
    save_state(path, state)
    assert told(load_state(path)) == told(state)


def test_tuples_come_back_as_lists_and_numpys_scalars_as_numbers(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    save_state(path, {"betas": (0.9, np.float32(0.5)), "count": np.int64(3)})
    assert load_state(path) == {"betas": [0.9, 0.5], "count": 3}


def test_what_no_file_keeps_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    with pytest.raises(TypeError) as caught:
        save_state(path, {"callbacks": {"Mine": {"lock": object()}}})
    assert str(caught.value) == (
        "save_state(): state/callbacks/Mine/lock is a object; a state holds JSON-able values and arrays"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_weights_is_no_state(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_arrays(path, {"kernel": np.zeros(3)})
    with pytest.raises(StateFileError) as caught:
        load_state(path)
    assert str(caught.value) == f"{str(path)!r} holds no state of a run. Give a file that save_state wrote."


def test_a_file_that_was_cut_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    save_state(path, {"weights": np.arange(6.0)})
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(StateFileError, match="is damaged"):
            load_state(path)


def test_a_header_that_asks_for_arrays_that_are_not_there_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    save_arrays(path, {}, {"trainhooks_state": '{"weights": {"__array__": "0:state/weights"}}'})
    with pytest.raises(StateFileError, match="its header and its arrays do not fit"):
        load_state(path)
