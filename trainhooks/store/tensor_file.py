"""Safetensors files, written and read a few megabytes at a time, and hashed on the way.

A file is the length of its header in 8 bytes, the header (JSON: of each array its dtype, shape, and where in the rest
it lies), and the arrays one after the other. The package of that name writes it with every array dense at once, and
reads it whole; what both write, both read.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from .disk import CHUNK, NewFile
from .dtype_text import MissingDtypeError, code_of, describe, described, dtype_of, little
from .json_text import parsed
from .plain_file import DamageError, PlainFile

if TYPE_CHECKING:
    Array = np.ndarray[Any, Any]
    DType = np.dtype[Any]

_LONGEST_HEADER: Final = 100_000_000
"""Bytes; the format's own bound."""
_MOST_DIMENSIONS: Final = 64


class UnwritableError(TypeError):
    """What is wrong with an array, in words that follow where it is.

    Attributes:
        name: of the array.
    """

    def __init__(self, name: str, what: str) -> None:
        super().__init__(what)
        self.name = name


class Entry(NamedTuple):
    """Where an array lies in a file, and what the file says it is."""

    code: str
    shape: tuple[int, ...]
    begin: int
    end: int


class Header(NamedTuple):
    entries: dict[str, Entry]  # in the order in which they lie in the file
    metadata: dict[str, str]


class Shaped(NamedTuple):
    """What becomes of the bytes of an entry."""

    dtype: DType
    shape: tuple[int, ...]


def write(file: NewFile, values: Mapping[str, Any], metadata: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Write arrays, or what has their ``shape`` and ``dtype`` and makes one by ``__array__``, one at a time.

    Returns:
        The ``dtype`` and ``shape`` of each array of a dtype that the format lacks: it is in the file as bytes.

    Raises:
        UnwritableError: one is of a dtype that no file can hold, or is not what it said that it would be.
    """
    # large items first, as the format's own writer does it, so that each array is aligned
    names = sorted(values, key=lambda name: -values[name].dtype.itemsize)
    entries: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    odd, at = {}, 0
    for name in names:
        shape, dtype = tuple(values[name].shape), values[name].dtype
        if code_of(dtype) is None:
            try:
                odd[name] = {"dtype": describe(dtype), "shape": list(shape)}
            except TypeError:
                raise UnwritableError(name, f"is of dtype {dtype}, which no file can hold") from None
        size = math.prod(shape) * dtype.itemsize
        entries[name] = _entry_of(shape, dtype, at, size)
        at += size
    file.write(_header(entries))
    for name in names:
        array = np.asarray(values[name])
        if (array.shape, array.dtype) != (tuple(values[name].shape), values[name].dtype):
            raise UnwritableError(
                name,
                f"is {array.dtype} of shape {array.shape}, and said that it is {values[name].dtype} of shape "
                f"{tuple(values[name].shape)}",
            )
        _write_values(file, array)
        del array  # before the next is made
    return odd


def _entry_of(shape: tuple[int, ...], dtype: DType, at: int, size: int) -> dict[str, Any]:
    code = code_of(dtype)
    return {"dtype": code or "U8", "shape": shape if code else (size,), "data_offsets": [at, at + size]}


def _header(entries: Mapping[str, Any]) -> bytes:
    text = json.dumps(entries, separators=(",", ":")).encode()
    size = -(-len(text) // 8) * 8  # the format takes spaces at its end, and wants the arrays aligned
    return size.to_bytes(8, "little") + text.ljust(size)


def _write_values(file: NewFile, array: Array) -> None:
    """Write an array in C order and in the byte order of files, with little copied at a time."""
    dtype = little(array.dtype)
    if not array.nbytes:
        return
    if array.flags.c_contiguous and array.dtype == dtype:
        file.write(array.reshape(-1).view(np.uint8).data)
        return
    many = max(1, CHUNK // dtype.itemsize)
    for begin in range(0, array.size, many):
        file.write(array.flat[begin : begin + many].astype(dtype, copy=False).view(np.uint8).data)


def read_header(file: PlainFile) -> Header:
    """What a file says that it holds; that this fills the file exactly, and nothing lies in two places, is checked.

    Raises:
        DamageError: it is no safetensors file, or not a whole one.
    """
    if file.size < 8:
        raise DamageError(f"it is {file.size} bytes long, too short for a safetensors file")
    length = int.from_bytes(file.read(8), "little")
    if length > min(file.size - 8, _LONGEST_HEADER):
        raise DamageError(f"it says that its header is {length} bytes long, and is itself {file.size} bytes long")
    raw = file.read(length)
    try:
        content = parsed(raw)
    except DamageError as damage:
        raise DamageError(f"its header {damage}") from None
    if not isinstance(content, dict):
        raise DamageError("its header is no list of arrays")
    metadata = content.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise DamageError("the metadata in its header is not text by text")
    entries = {name: _entry(name, told) for name, told in content.items()}
    entries = dict(sorted(entries.items(), key=lambda item: (item[1].begin, item[1].end)))
    at = 0
    for name, entry in entries.items():
        if entry.begin != at:
            raise DamageError(f"{name!r:.80} begins at {entry.begin}, where {at} bytes are before it")
        at = entry.end
    if at != file.size - 8 - length:
        raise DamageError(f"its arrays take {at} bytes, and there are {file.size - 8 - length}")
    return Header(entries, metadata)


def _entry(name: str, told: Any) -> Entry:
    if not isinstance(told, dict) or told.keys() != {"dtype", "shape", "data_offsets"}:
        raise DamageError(f"{name!r:.80} in its header is no array")
    code, shape, offsets = told["dtype"], told["shape"], told["data_offsets"]
    if not isinstance(code, str) or not _are_counts(shape) or not _are_counts(offsets) or len(offsets) != 2:
        raise DamageError(f"{name!r:.80} in its header has a dtype, a shape or offsets that are none")
    if len(shape) > _MOST_DIMENSIONS or offsets[0] > offsets[1]:
        raise DamageError(f"{name!r:.80} in its header has a shape or offsets that cannot be")
    return Entry(code, tuple(shape), *offsets)


def _are_counts(value: Any) -> bool:
    return isinstance(value, list) and all(type(one) is int and one >= 0 for one in value)


def plainly(name: str, entry: Entry) -> Shaped:
    """The dtype and shape of an entry as its file tells them.

    Raises:
        DamageError: numpy has not that dtype, or they do not fill the entry's bytes.
        MissingDtypeError: the dtype is one of ml_dtypes, which is not installed.
    """
    return _filling(name, entry, _named(name, dtype_of, entry.code), entry.shape)


def oddly(name: str, entry: Entry, told: Mapping[str, Any]) -> Shaped:
    """The dtype and shape of an entry that holds an array as bytes.

    Args:
        told: what ``write`` said of it.

    Raises:
        DamageError: as for ``plainly``.
        MissingDtypeError: as for ``plainly``.
    """
    if entry.code != "U8" or entry.shape != (entry.end - entry.begin,):
        raise DamageError(f"{name!r:.80} is no row of bytes")
    shape = told["shape"]
    if not _are_counts(shape) or len(shape) > _MOST_DIMENSIONS:
        raise DamageError(f"{name!r:.80} has a shape that is none")
    return _filling(name, entry, _named(name, described, told["dtype"]), tuple(shape))


def _named(name: str, read_dtype: Callable[[Any], DType], text: Any) -> DType:
    try:
        return read_dtype(text)
    except (DamageError, MissingDtypeError) as error:
        raise type(error)(f"{name!r:.80} {error}") from error


def _filling(name: str, entry: Entry, dtype: DType, shape: tuple[int, ...]) -> Shaped:
    if math.prod(shape) * dtype.itemsize != entry.end - entry.begin:
        raise DamageError(f"{name!r:.80} has {entry.end - entry.begin} bytes, which are not {dtype} of shape {shape}")
    return Shaped(dtype, shape)


def read(file: PlainFile, header: Header, wanted: Mapping[str, Shaped], *, keep: bool = True) -> dict[str, Array]:
    """The arrays of a file whose header was just read; at its end the file's hash is complete.

    Args:
        wanted: of every entry, what to make of it.
        keep: without it the arrays are read and hashed, and let go.

    Raises:
        DamageError: the file is not as its header says.
    """
    arrays = {}
    scratch = np.empty(0 if keep else CHUNK, np.uint8)
    for name, entry in header.entries.items():
        dtype, shape = wanted[name]
        size = entry.end - entry.begin
        try:
            content = np.empty(size if keep else 0, np.uint8)
            array = np.ndarray(shape, dtype, content) if keep else None
        except (ValueError, MemoryError) as error:
            raise DamageError(f"numpy makes no array of shape {shape} of {name!r:.80} ({error})") from None
        for begin in range(0, size, CHUNK):
            part = (content[begin:] if keep else scratch)[: min(CHUNK, size - begin)]
            file.fill(part)
            if not _possible(part, dtype):
                raise DamageError(f"{name!r:.80} holds what is no {dtype}")
        if array is not None:
            arrays[name] = array if array.dtype.isnative else array.astype(dtype.newbyteorder("="))
    return arrays


def _possible(part: Array, dtype: DType) -> bool:
    """Whether bytes are values of a dtype: numpy itself checks no truth value, and dies of an impossible character."""
    if dtype.kind == "b":
        return bool(part.max() <= 1)
    return dtype.kind != "U" or bool(part.view("<u4").max() <= 0x10FFFF)
