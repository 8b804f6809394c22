"""store: arrays come back from a file as they were, or the file is refused."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from trainhooks.store import load_arrays, load_metadata, save_arrays, write_atomically


def test_arrays_come_back_from_a_file(tmp_path: Path) -> None:
    save_arrays(tmp_path / "w.safetensors", {"w": np.arange(6.0).reshape(2, 3)})
    assert load_arrays(tmp_path / "w.safetensors")["w"].tolist() == [[0, 1, 2], [3, 4, 5]]


NUMBERS = [np.dtype(code) for code in ("?", *"bhiqBHIQ", *"efd", "F")]
SMALL = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)
ARRAYS = (
    st.sampled_from(NUMBERS)
    .flatmap(lambda dtype: st.sampled_from([dtype, dtype.newbyteorder(">")]))
    .flatmap(lambda dtype: hnp.arrays(dtype, SMALL))
)
VIEWS: list[Callable[[np.ndarray], np.ndarray]] = [
    lambda array: array,
    lambda array: array.T,
    lambda array: array[..., ::2] if array.ndim else array,
    lambda array: array[::-1] if array.ndim else array,
    lambda array: np.broadcast_to(array, (2, *array.shape)),
    np.asfortranarray,
]


def facts(array: np.ndarray) -> tuple[Any, ...]:
    """All that must survive: NaN payloads too, hence the bytes."""
    native = np.asarray(array, dtype=array.dtype.newbyteorder("="))
    return native.dtype, native.shape, native.tobytes()


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
        st.tuples(ARRAYS, st.sampled_from(VIEWS)).map(lambda pair: pair[1](pair[0])),
        max_size=4,
    ),
    st.none() | st.dictionaries(st.text(max_size=4).filter(str.isprintable), st.just("text"), max_size=2),
)
def test_arrays_of_any_kind_and_memory_order_come_back_equal(
    arrays: dict[str, np.ndarray], metadata: dict[str, str] | None
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "w.safetensors"
        save_arrays(path, arrays, metadata)
        loaded = load_arrays(path)
        assert {name: facts(array) for name, array in loaded.items()} == {
            name: facts(array) for name, array in arrays.items()
        }
        assert load_metadata(path) == (metadata or {})


@pytest.mark.parametrize(
    "value",
    [np.float32(0.1), np.int64(-3), np.bool_(True), np.array(2.5), 2.5, 7, True, [1, 2, 3], np.zeros((0, 4))],
    ids=lambda value: f"{type(value).__name__}-{value}",
)
def test_scalars_and_lists_come_back_as_the_arrays_that_numpy_makes_of_them(tmp_path: Path, value: Any) -> None:
    save_arrays(tmp_path / "w.safetensors", {"w": value})
    assert facts(load_arrays(tmp_path / "w.safetensors")["w"]) == facts(np.asarray(value))


@pytest.mark.parametrize(
    "name",
    ["bfloat16", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu"],
)
@pytest.mark.parametrize("shape", [(), (0,), (3, 2)])
def test_the_small_floats_of_ml_dtypes_come_back_to_the_bit(tmp_path: Path, name: str, shape: tuple[int, ...]) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    array = np.arange(np.prod(shape)).reshape(shape).astype(getattr(ml_dtypes, name)).T
    save_arrays(tmp_path / "w.safetensors", {"w": array, "plain": np.ones(1)})
    assert facts(load_arrays(tmp_path / "w.safetensors")["w"]) == facts(array)


def test_what_is_loaded_may_be_written_and_outlives_the_file(tmp_path: Path) -> None:
    save_arrays(tmp_path / "w.safetensors", {"w": np.zeros(2)})
    loaded = load_arrays(tmp_path / "w.safetensors")["w"]
    (tmp_path / "w.safetensors").unlink()
    loaded += 1
    assert loaded.tolist() == [1, 1]


HOLDS = (
    "It holds 'bool', 'int8', 'int16', 'int32', 'int64', 'uint8', 'uint16', 'uint32', 'uint64', 'float16', "
    "'float32', 'float64', 'complex64', 'bfloat16', 'float8_e4m3fn', 'float8_e5m2', 'float8_e4m3fnuz', "
    "'float8_e5m2fnuz', 'float8_e8m0fnu'."
)


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (np.array([1, None]), "object"),
        ("text", "<U4"),
        (np.array([b"ab"]), "|S2"),
        (np.zeros(2, complex), "complex128"),
        (np.zeros(2, "M8[s]"), "datetime64[s]"),
        (np.zeros(2, [("a", "f4")]), "[('a', '<f4')]"),
        (None, "object"),
    ],
)
def test_an_entry_that_the_format_cannot_hold_is_named_before_anything_is_written(
    tmp_path: Path, value: Any, dtype: str
) -> None:
    path = tmp_path / "new" / "w.safetensors"
    with pytest.raises(TypeError) as caught:
        save_arrays(path, {"good": np.zeros(1), "bad": value})
    assert str(caught.value) == (
        f"save_arrays({str(path)!r}): 'bad' is of dtype {dtype}, which the format cannot hold. {HOLDS}"
    )
    assert not path.parent.exists()


@pytest.mark.parametrize(
    ("arrays", "metadata", "error", "message"),
    [
        ({1: np.zeros(1)}, None, TypeError, "save_arrays('x'): 1 names an entry, and is no string"),
        (
            {"__metadata__": np.zeros(1)},
            None,
            ValueError,
            "save_arrays('x'): the format keeps the name '__metadata__' to itself",
        ),
        ({}, {"epoch": 1}, TypeError, "save_arrays('x'): metadata is text by text, not 'epoch': 1"),
        ({}, {1: "epoch"}, TypeError, "save_arrays('x'): metadata is text by text, not 1: 'epoch'"),
    ],
)
def test_names_and_metadata_that_are_no_text_are_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arrays: Any,
    metadata: Any,
    error: type[Exception],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error) as caught:
        save_arrays("x", arrays, metadata)
    assert (str(caught.value), list(tmp_path.iterdir())) == (message, [])


@pytest.mark.parametrize("load", [load_arrays, load_metadata])
@pytest.mark.parametrize("content", [b"", b"neither numbers nor names", "cut"], ids=["empty", "foreign", "cut"])
def test_a_damaged_file_is_named(tmp_path: Path, load: Callable[[Path], Any], content: Any) -> None:
    path = tmp_path / "w.safetensors"
    save_arrays(path, {"w": np.zeros(100)})
    path.write_bytes(path.read_bytes()[:-1] if content == "cut" else content)
    with pytest.raises(ValueError) as caught:
        load(path)
    start = f"{load.__name__}({str(path)!r}): the file is damaged, or is no safetensors file ("
    assert str(caught.value)[: len(start)] == start


@pytest.mark.parametrize("load", [load_arrays, load_metadata])
def test_a_file_that_is_not_there_is_the_usual_error(tmp_path: Path, load: Callable[[Path], Any]) -> None:
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "w.safetensors")


def test_without_ml_dtypes_its_arrays_are_refused_with_what_to_install(tmp_path: Path) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    save_arrays(tmp_path / "w.safetensors", {"w": np.zeros(2, ml_dtypes.bfloat16)})
    program = (
        "import sys; sys.modules['ml_dtypes'] = None\n"
        "from trainhooks.store import load_arrays; load_arrays('w.safetensors')"
    )
    told = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert told.stderr.splitlines()[-1] == (
        "ImportError: load_arrays('w.safetensors'): 'w' is of dtype bfloat16, which numpy has from ml_dtypes: "
        "pip install ml_dtypes"
    )


def test_importing_trainhooks_does_not_load_safetensors() -> None:
    program = "import sys, trainhooks.store; print('safetensors' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout == "False\n"


def test_no_descriptor_stays_open(tmp_path: Path, open_files: Callable[[], list[str]]) -> None:
    before = open_files()
    write_atomically(tmp_path / "a.txt", lambda temporary: temporary.write_text("old"))
    save_arrays(tmp_path / "w.safetensors", {"w": np.zeros(3)}, {"a": "b"})
    load_arrays(tmp_path / "w.safetensors")
    load_metadata(tmp_path / "w.safetensors")
    with pytest.raises(ZeroDivisionError):
        write_atomically(tmp_path / "a.txt", lambda temporary: 1 // 0)
    assert open_files() == before


@pytest.fixture
def open_files() -> Callable[[], list[str]]:
    folder = Path("/proc/self/fd")
    if not folder.exists():
        pytest.skip("the open files of a process are read from /proc")

    def targets() -> list[str]:
        return sorted(os.readlink(one) for one in folder.iterdir() if one.exists())

    return targets
