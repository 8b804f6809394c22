"""store: what we write the safetensors package reads, what it writes we read, and what is no such file is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from trainhooks.store import load_arrays, load_metadata, save_arrays
from trainhooks.store.disk import CHUNK
from trainhooks.store.dtype_text import CODES, described
from trainhooks.store.plain_file import DamageError
from trainhooks.store.state_tree import references, unpacked

SHAPES = [(), (0,), (0, 5), (1,), (3, 2), (2, 1, 3)]


def numbered(code: str, shape: tuple[int, ...]) -> np.ndarray:
    name = CODES[code]
    dtype = getattr(pytest.importorskip("ml_dtypes"), name) if code.startswith(("BF", "F8")) else name
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


def facts(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    return {name: (array.dtype, array.shape, array.tobytes()) for name, array in arrays.items()}


@pytest.mark.parametrize("code", CODES)
def test_the_package_reads_what_we_write(tmp_path: Path, code: str) -> None:
    arrays = {f"{i}": numbered(code, shape) for i, shape in enumerate(SHAPES)}
    save_arrays(tmp_path / "w.safetensors", arrays, {"a": "b"})
    with safetensors.safe_open(tmp_path / "w.safetensors", framework="np") as file:
        slices = {name: file.get_slice(name) for name in arrays}
        told = {name: (one.get_dtype(), tuple(one.get_shape())) for name, one in slices.items()}
        assert (told, file.metadata()) == ({name: (code, array.shape) for name, array in arrays.items()}, {"a": "b"})
    raw = dict(safetensors.deserialize((tmp_path / "w.safetensors").read_bytes()))
    assert {name: bytes(raw[name]["data"]) for name in raw} == {name: array.tobytes() for name, array in arrays.items()}


@pytest.mark.parametrize("code", CODES)
def test_we_read_what_the_package_writes(tmp_path: Path, code: str) -> None:
    arrays = {f"{i}": numbered(code, shape) for i, shape in enumerate(SHAPES)}
    safetensors.numpy.save_file({**arrays, "u8": np.arange(3, dtype="u1")}, tmp_path / "w.safetensors", {"a": "b"})
    assert facts(load_arrays(tmp_path / "w.safetensors")) == facts({**arrays, "u8": np.arange(3, dtype="u1")})
    assert load_metadata(tmp_path / "w.safetensors") == {"a": "b"}


@pytest.mark.parametrize("arrays", [{}, {"": np.ones(1)}, {"\u20ac/../x": np.ones(2), "\x00": np.zeros((0, 5))}])
def test_names_are_labels_and_no_arrays_are_a_file_too(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    save_arrays(tmp_path / "w.safetensors", arrays)
    assert facts(load_arrays(tmp_path / "w.safetensors")) == facts(arrays)
    assert facts(safetensors.numpy.load_file(tmp_path / "w.safetensors")) == facts(arrays)


def test_large_items_come_first_so_that_each_array_is_aligned(tmp_path: Path) -> None:
    save_arrays(tmp_path / "w.safetensors", {"b": np.ones(3, bool), "d": np.ones(3), "h": np.ones(3, "f2")})
    length = int.from_bytes((tmp_path / "w.safetensors").read_bytes()[:8], "little")
    assert (list(load_arrays(tmp_path / "w.safetensors")), length % 8) == (["d", "h", "b"], 0)


VIEWS: list[Callable[[np.ndarray], np.ndarray]] = [
    lambda array: array.reshape(3, -1).T,
    lambda array: array[::-2],
    lambda array: array.astype(array.dtype.newbyteorder(">")),
    lambda array: np.broadcast_to(array[:3], (array.size // 3, 3)),
]


@pytest.mark.parametrize("view", VIEWS, ids=["transposed", "reversed", "big-endian", "broadcast"])
def test_what_is_longer_than_a_chunk_is_written_in_order(
    tmp_path: Path, view: Callable[[np.ndarray], np.ndarray]
) -> None:
    array = view(np.arange(CHUNK // 4 * 3 // 2 + 6, dtype="i4"))
    save_arrays(tmp_path / "w.safetensors", {"w": array})
    assert np.array_equal(load_arrays(tmp_path / "w.safetensors")["w"], array)


def written(folder: Path, header: Any, data: bytes = b"") -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    (folder / "w.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + data)
    return folder / "w.safetensors"


def entry(dtype: Any = "U8", shape: Any = (4,), offsets: Any = (0, 4)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


@pytest.mark.parametrize(
    "header, wrong",
    [
        ([], "its header is no list of arrays"),
        ({"__metadata__": {"a": 1}}, "the metadata in its header is not text by text"),
        ({"__metadata__": []}, "the metadata in its header is not text by text"),
        ({}, "its arrays take 0 bytes, and there are 4"),
        ({"w": 1}, "'w' in its header is no array"),
        ({"w": {**entry(), "more": 1}}, "'w' in its header is no array"),
        ({"w": entry(dtype=1)}, "'w' in its header has a dtype, a shape or offsets that are none"),
        ({"w": entry(dtype="O")}, "'w' is of dtype O, which numpy has not"),
        ({"w": entry(dtype="F4")}, "'w' is of dtype F4, which numpy has not"),
        ({"w": entry(shape=4)}, "'w' in its header has a dtype, a shape or offsets that are none"),
        ({"w": entry(shape=[4.0])}, "'w' in its header has a dtype, a shape or offsets that are none"),
        ({"w": entry(shape=[True, 4])}, "'w' in its header has a dtype, a shape or offsets that are none"),
        ({"w": entry(shape=[-1, -4])}, "'w' in its header has a dtype, a shape or offsets that are none"),
        ({"w": entry(shape=[1] * 65)}, "'w' in its header has a shape or offsets that cannot be"),
        ({"w": entry(shape=[3])}, "'w' has 4 bytes, which are not uint8 of shape (3,)"),
        ({"w": entry(dtype="F64")}, "'w' has 4 bytes, which are not float64 of shape (4,)"),
        ({"w": entry(shape=[10**19, 10**19])}, f"'w' has 4 bytes, which are not uint8 of shape ({10**19}, {10**19})"),
        ({"w": entry(shape=[10**30])}, "its header holds a number of 31 digits"),
        ({"w": entry(offsets=[4, 0])}, "'w' in its header has a shape or offsets that cannot be"),
        ({"w": entry(offsets=[0, 4, 4])}, "'w' in its header has a dtype, a shape or offsets that are none"),
        ({"w": entry(offsets=[0, 10**18])}, f"its arrays take {10**18} bytes, and there are 4"),
        ({"w": entry(offsets=[1, 4])}, "'w' begins at 1, where 0 bytes are before it"),
        ({"v": entry(), "w": entry()}, "'w' begins at 0, where 4 bytes are before it"),
        ({"v": entry(shape=[2], offsets=[0, 2])}, "its arrays take 2 bytes, and there are 4"),
        ({"w": entry(dtype="BOOL")}, "'w' holds what is no bool"),
        (b'{"w": 1, "w": 2}', "its header holds a name twice"),
        (b'{"w": NaN}', "its header holds NaN, which is no JSON"),
        (b"[" * 100_000, "its header is nested more than 400 deep"),
        (b'["' + b'\\"[' * 100_000, "its header is no JSON (Unterminated string starting at at 1)"),
        (b"\xff", "its header is no UTF-8"),
        (b"", "its header is no JSON (Expecting value at 0)"),
    ],
)
def test_a_header_that_cannot_be_is_refused_and_named(tmp_path: Path, header: Any, wrong: str) -> None:
    path = written(tmp_path, header, b"\x00\x01\x02\x03")
    with pytest.raises(ValueError) as caught:
        load_arrays(path)
    assert str(caught.value) == f"load_arrays({str(path)!r}): the file is damaged, or is no safetensors file ({wrong})"


def test_a_shape_without_values_that_numpy_cannot_have_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, {"w": entry(shape=[0, 10**19], offsets=[0, 0])})
    with pytest.raises(ValueError, match=r"numpy makes no array of shape \(0, 10{19}\) of 'w'"):
        load_arrays(path)


def test_a_header_longer_than_its_file_is_not_read(tmp_path: Path) -> None:
    for length in (3, 1 << 63):
        path = tmp_path / "w.safetensors"
        path.write_bytes(length.to_bytes(8, "little") + b"{}")
        with pytest.raises(ValueError) as caught:
            load_arrays(path)
        assert f"it says that its header is {length} bytes long, and is itself 10 bytes long" in str(caught.value)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        load_arrays(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "O",
            "|O",
            "|O8",
            "f4,O",
            "(9,)f4",
            "<f3",
            "<U9999999999",
            "<M8[parsec]",
            "",
            "V",
            None,
            3,
            [],
            [["a", "<f4"]],
        ),
        *({}, {"of": "|O8", "shape": [1]}, {"of": "<f4", "shape": [-1]}, {"of": "<f4", "shape": [1 << 40]}),
        {"ml_dtypes": "finfo"},
        {"ml_dtypes": "__builtins__"},
        {"longdouble": "<f16", "mantissa": 3},
        {"names": ["a"], "formats": ["|O8"], "offsets": [0], "titles": [None], "itemsize": 8},
        {"names": ["a"], "formats": ["<f4"], "offsets": [-4], "titles": [None], "itemsize": 4},
        {"names": ["a", "a"], "formats": ["<f4", "<f4"], "offsets": [0, 4], "titles": [None, None], "itemsize": 8},
        {"names": [1], "formats": ["<f4"], "offsets": [0], "titles": [None], "itemsize": 4},
        {"names": ["a"], "formats": ["<f4"], "offsets": [0], "titles": [["x"]], "itemsize": 4},
        {"names": 1, "formats": 1, "offsets": 1, "titles": 1, "itemsize": 1},
        {"names": ["a"], "formats": ["<f4"], "offsets": [0], "titles": [None], "itemsize": 1 << 70},
    ],
)
def test_a_description_that_is_of_no_dtype_of_ours_is_damage(text: Any) -> None:
    with pytest.raises(DamageError):
        described(text)


def test_a_dtype_that_ml_dtypes_has_not_is_damage() -> None:
    pytest.importorskip("ml_dtypes")
    with pytest.raises(DamageError, match="is of dtype float8_e9m9, which this version of ml_dtypes has not"):
        described({"ml_dtypes": "float8_e9m9"})


def test_a_dtype_within_a_dtype_has_a_bottom() -> None:
    text: Any = "<f4"
    for _ in range(100):
        text = {"of": text, "shape": [1]}
    with pytest.raises(DamageError):
        described(text)


@pytest.mark.parametrize(
    "tree",
    [
        [{"__array__": "a"}, {"__array__": "a"}],
        {"__array__": 1},
        {"__array__": "a", "dtype": "<f4"},
        {"__items__": [[1, 2], [1, 3]]},
        {"__items__": [[1, 2], [True, 3]]},
        {"__items__": [[None, 2]]},
        {"__items__": [[1]]},
        {"__items__": [1]},
        {"__items__": {}},
        {"__items__": [], "a": 1},
        {"__items__": [[{"__array__": "a"}, 1]]},
        {"__float__": "1.5"},
        {"__int__": 3},
        {"__int__": "ten"},
    ],
)
def test_a_tree_that_we_do_not_write_is_damage(tree: Any) -> None:
    with pytest.raises(DamageError):
        unpacked(tree, references(tree))
