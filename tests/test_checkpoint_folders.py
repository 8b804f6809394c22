"""Checkpoints: what goes in comes out; a folder of them is listed, taken from, and pruned as it should be."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from trainhooks.errors import StateFileError
from trainhooks.store import (
    checkpoints,
    load_checkpoint,
    save_checkpoint,
)
from trainhooks.trainable import OnDevice

FIELDS: list[Any] = [
    [("a", ">f4", (2,)), ("b", "S3"), ("c", [("d", "M8[ns]"), ("e", "?")])],
    {"names": ["y", "x"], "formats": ["u1", "f8"], "offsets": [8, 0], "itemsize": 16},
    [(("a title", "a"), "U2")],
]
DTYPES = [
    *map(np.dtype, ["?", *"bhilqBHILQefdgFDG", ">f8", ">u2", ">c16", ">M8[us]", "M8[D]", "m8[25s]", "m8"]),
    *map(np.dtype, ["S0", "S3", "U0", "U2", ">U2", "V5", *FIELDS]),
]
SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)


def of_bytes(dtype: np.dtype[Any], shape: tuple[int, ...], data: bytes) -> np.ndarray:
    """An array of any dtype, of what bytes there are."""
    size = int(np.prod(shape)) * dtype.itemsize
    kind = dtype.kind if dtype.names is None else "?"
    content = np.resize(np.frombuffer(data, "u1"), size) & (1 if kind in "?b" else 0 if kind == "U" else 255)
    return np.ndarray(shape, dtype, np.ascontiguousarray(content, "u1"))


ARRAYS = st.builds(of_bytes, st.sampled_from(DTYPES), SHAPES, st.binary(min_size=1, max_size=40)).flatmap(
    lambda array: st.sampled_from([array, array.T, array[::-1] if array.ndim else array, np.asfortranarray(array)])
)
KEYS = st.text(max_size=4) | st.sampled_from(["__array__", "__items__", "__int__", "__float__", "a/b", "a"])
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5) | ARRAYS
INNER_KEYS = KEYS | st.integers(0, 9) | st.floats(allow_nan=False) | st.integers(1 << 64, 1 << 66)
STATES = st.dictionaries(
    KEYS,
    st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(INNER_KEYS, inner, max_size=3)),
    max_size=4,
)


def told(value: Any) -> Any:
    """A value that can be compared: arrays with their dtypes, shapes and bytes, NaN as text."""
    if isinstance(value, dict):
        return [[repr(key), told(one)] for key, one in value.items()]
    if isinstance(value, (list, tuple)):
        return [told(one) for one in value]
    if isinstance(value, np.ndarray):
        little = value.dtype.newbyteorder("<")
        if little.names is not None:  # what lies between the fields may be anything
            return little.fields, little.itemsize, [told(value[name]) for name in little.names]
        return str(little), little.fields, value.shape, value.astype(little).tobytes(), value.flags.writeable
    return repr(value)


@given(STATES, st.dictionaries(KEYS, LEAVES.filter(lambda leaf: not isinstance(leaf, np.ndarray)), max_size=3))
@settings(deadline=None, max_examples=200)
def test_what_goes_in_comes_out(
    tmp_path_factory: pytest.TempPathFactory, state: dict[str, Any], about: dict[str, Any]
) -> None:
    path = tmp_path_factory.mktemp("folder") / "one"
    save_checkpoint(path, state, about)
    assert told(load_checkpoint(path)) == told(state)
    [found] = checkpoints(path.parent, verify=True)
    assert (found.path, found.problem, told(found.about)) == (path, None, told(about))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_each_dtype_comes_back_in_each_kind_of_shape(tmp_path: Path, dtype: np.dtype[Any]) -> None:
    shapes: list[tuple[int, ...]] = [(), (0,), (0, 5), (2, 3)]
    state = {str(shape): of_bytes(dtype, shape, b"\x01\x02\x03\x05\x07\x0b\x0d") for shape in shapes}
    save_checkpoint(tmp_path / "one", state)
    assert told(load_checkpoint(tmp_path / "one")) == told(state)


@pytest.mark.parametrize(
    "name",
    [
        *("bfloat16", "float8_e4m3fn", "float8_e5m2", "float8_e4m3", "float8_e3m4", "float8_e4m3b11fnuz"),
        *("int2", "int4", "uint4", "float4_e2m1fn", "float6_e2m3fn"),
    ],
)
def test_the_small_numbers_of_ml_dtypes_come_back(tmp_path: Path, name: str) -> None:
    dtype = np.dtype(getattr(pytest.importorskip("ml_dtypes"), name))
    state = {"a": np.ones((2, 3), dtype).T, "0-d": np.ones((), dtype), "field": np.ones(2, [("x", dtype)])}
    save_checkpoint(tmp_path / "one", state)
    assert told(load_checkpoint(tmp_path / "one")) == told(state)


def test_without_ml_dtypes_its_arrays_are_no_damage_and_it_is_said_what_to_install(tmp_path: Path) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    save_checkpoint(tmp_path / "one", {"w": np.zeros(2, ml_dtypes.bfloat16)})
    program = "import sys; sys.modules['ml_dtypes'] = None\nfrom trainhooks.store import load_latest; load_latest('.')"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == (
        "ImportError: The checkpoint 'one' cannot be read: '0:state/w' is of dtype bfloat16, which numpy has from "
        "ml_dtypes: pip install ml_dtypes"
    )


def test_numbers_that_json_has_no_word_for_survive(tmp_path: Path) -> None:
    state = {"large": [10**3999, -(10**9999), 1 << 64, -(1 << 63)], "not": [float("nan"), float("inf"), -float("inf")]}
    save_checkpoint(tmp_path / "one", state)
    loaded = load_checkpoint(tmp_path / "one")
    assert (loaded["large"], str(loaded["not"])) == (state["large"], "[nan, inf, -inf]")
    assert "NaN" not in (tmp_path / "one" / "state.json").read_text()


def test_tuples_come_back_as_lists_and_numpys_scalars_as_numbers_or_arrays(tmp_path: Path) -> None:
    save_checkpoint(
        tmp_path / "one",
        {
            "betas": (0.9, np.float32(0.5)),
            "n": np.int64(3),
            "yes": np.bool_(True),
            "s": np.str_("x"),
            "z": np.complex64(1j),
        },
    )
    loaded = load_checkpoint(tmp_path / "one")
    z = loaded.pop("z")
    assert (loaded, z.dtype, z.item()) == ({"betas": [0.9, 0.5], "n": 3, "yes": True, "s": "x"}, "complex64", 1j)
    assert [type(one) for one in (loaded["betas"][1], loaded["n"], loaded["yes"])] == [float, int, bool]


def test_what_is_still_on_a_device_is_read_one_at_a_time(tmp_path: Path) -> None:
    read: list[str] = []

    def leaf(value: np.ndarray) -> OnDevice:
        def look() -> np.ndarray:
            written = sum(path.stat().st_size for path in tmp_path.rglob("*.safetensors"))
            read.append(f"after {written > 1 << 20}")
            return value

        return OnDevice(look, value.shape, value.dtype)

    values = [np.arange(1 << 18, dtype="f4"), np.zeros((2, 0), ">f2"), np.array("2020", "M8[Y]"), np.ones((1,) * 30)]
    save_checkpoint(
        tmp_path / "one",
        {"a": [leaf(value) for value in values], "b": OnDevice(lambda: np.ones(3), (3,), np.dtype(float))},
    )
    assert read == ["after False", "after False", "after False", "after True"]  # in the order of the file
    loaded = load_checkpoint(tmp_path / "one")
    assert told(loaded) == told({"a": values, "b": np.ones(3)})


class Odd:
    pass


HOLDS_ITSELF: list[Any] = []
HOLDS_ITSELF.append(HOLDS_ITSELF)


@pytest.mark.parametrize(
    "state, about, message",
    [
        (
            {"callbacks": {"Mine": {"lock": Odd()}}},
            {},
            "state/callbacks/Mine/lock is a Odd; a state holds JSON-able values and arrays",
        ),
        ({"a": [0, {"b": b"bytes"}]}, {}, "state/a/1/b is a bytes; a state holds JSON-able values and arrays"),
        ({"a": {(1, 2): 3}}, {}, "(1, 2) is a key in state/a; a key is a string or a number"),
        ({"a": {None: 3}}, {}, "None is a key in state/a; a key is a string or a number"),
        ({"a": [np.array([None])]}, {}, "state/a/0 is of dtype object, which no file can hold"),
        (
            {"a": OnDevice(lambda: np.array(["x", 1], object), (2,), np.dtype(object))},
            {},
            "state/a is of dtype object, which no file can hold",
        ),
        (
            {"a": np.zeros(1, [("x", "f4"), ("y", object)])},
            {},
            "state/a is of dtype [('x', '<f4'), ('y', 'O')], which no file can hold",
        ),
        ({}, {"metrics": np.ones(1)}, "about/metrics is an array, and what is told about it holds none"),
        ({}, {"metrics": {1, 2}}, "about/metrics is a set; a state holds JSON-able values and arrays"),
        (
            {"a": HOLDS_ITSELF},
            {},
            f"{('state/a' + '/0' * 100)[:80]}... is nested more than 100 deep, or holds itself",
        ),
    ],
)
def test_what_cannot_be_kept_is_named_and_what_was_there_stays(
    tmp_path: Path, state: Any, about: Any, message: str
) -> None:
    path = tmp_path / "one"
    save_checkpoint(path, {"old": 1})
    with pytest.raises(TypeError) as caught:
        save_checkpoint(path, state, about)
    assert str(caught.value) == f"save_checkpoint({str(path)!r}): {message}"
    assert (load_checkpoint(path), os.listdir(tmp_path)) == ({"old": 1}, ["one"])


def test_a_state_is_a_dict(tmp_path: Path) -> None:
    with pytest.raises(TypeError) as caught:
        save_checkpoint(tmp_path / "one", [1])  # type: ignore[arg-type]
    assert str(caught.value) == f"save_checkpoint('{tmp_path}/one'): a state is a dict, not a list"


def test_what_is_told_about_a_checkpoint_has_a_bound(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at most 16777216 are kept"):
        save_checkpoint(tmp_path / "one", {}, {"text": "x" * (16 << 20)})
    assert os.listdir(tmp_path) == []


def test_a_leaf_that_cannot_be_read_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        save_checkpoint(
            tmp_path / "one", {"a": np.ones(3), "b": OnDevice(lambda: np.ones(1 // 0), (1,), np.dtype(float))}
        )
    assert os.listdir(tmp_path) == []


def test_a_checkpoint_is_replaced_and_folders_that_lack_are_made(tmp_path: Path) -> None:
    for n in range(2):
        save_checkpoint(tmp_path / "a" / "b" / "one", {"n": n})
    assert (load_checkpoint(tmp_path / "a" / "b" / "one"), os.listdir(tmp_path / "a" / "b")) == ({"n": 1}, ["one"])


def test_a_link_to_a_checkpoint_is_followed_by_who_names_it_and_is_no_second_one(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "one", {"n": 0})
    (tmp_path / "last").symlink_to("one")
    save_checkpoint(tmp_path / "last", {"n": 1})
    assert load_checkpoint(tmp_path / "last") == load_checkpoint(tmp_path / "one") == {"n": 1}
    assert [found.path.name for found in checkpoints(tmp_path)] == ["one"]


@pytest.mark.parametrize("there", ["file", "folder", "checkpoint and more"])
def test_what_is_no_checkpoint_is_not_replaced(tmp_path: Path, there: str) -> None:
    path, first = tmp_path / "one", "notes.txt"
    if there == "file":
        path.write_text("mine")
        first = "one"
    else:
        if there == "folder":
            path.mkdir()
        else:
            save_checkpoint(path, {})
        (path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError) as caught:
        save_checkpoint(path, {"n": 1})
    assert str(caught.value) == (
        f"{str(path)!r} is there, and is more than a checkpoint or none: it would be replaced with all that it holds, "
        f"as {first!r}. Give another name."
    )
    assert os.listdir(tmp_path) == ["one"]


def test_another_version_is_told(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "a", {"w": np.arange(10)})
    manifest = tmp_path / "a" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"trainhooks_checkpoint": 1', '"trainhooks_checkpoint": 2'))
    with pytest.raises(StateFileError, match=r"manifest\.json: it is of version 2, and this trainhooks reads 1"):
        load_checkpoint(tmp_path / "a")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="links and named pipes are POSIX's")
@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
@pytest.mark.parametrize("name", ["manifest.json", "state.json", "arrays.safetensors"])
def test_what_is_no_plain_file_is_not_opened(tmp_path: Path, name: str, kind: str) -> None:
    save_checkpoint(tmp_path / "a", {"w": np.arange(10)})
    path = tmp_path / "a" / name
    path.rename(tmp_path / "far")
    if kind == "link":
        path.symlink_to(tmp_path / "far")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises(StateFileError) as caught:
        load_checkpoint(tmp_path / "a")
    called = {"link": "a symbolic link", "pipe": "a pipe", "folder": "a folder"}[kind]
    assert str(caught.value) == f"The checkpoint '{tmp_path}/a' is damaged. {name}: it is {called}."
