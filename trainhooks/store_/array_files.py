"""Crash-safe files: written beside the target, synced, renamed; arrays as safetensors. Nothing is unpickled, ever.

Whenever the process or the machine dies, a path holds the old file or the new one, whole. What a process killed in the
middle leaves behind is a hidden ``.<name>.<pid>.<random>.tmp`` beside the target, which nobody reads.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .errors import listing

if TYPE_CHECKING:
    Array = np.ndarray[Any, Any]

_DTYPES: Final[dict[str, str]] = {
    "BOOL": "bool",
    "I8": "int8",
    "I16": "int16",
    "I32": "int32",
    "I64": "int64",
    "U8": "uint8",
    "U16": "uint16",
    "U32": "uint32",
    "U64": "uint64",
    "F16": "float16",
    "F32": "float32",
    "F64": "float64",
    "C64": "complex64",
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
    "F8_E8M0": "float8_e8m0fnu",
}
"""What a safetensors file calls a dtype, and what numpy (or from ``BF16`` on, ml_dtypes) calls it."""


def write_atomically(path: str | os.PathLike[str], write: Callable[[Path], object], suffix: str = "") -> None:
    """Have ``write`` fill a temporary file beside ``path``, then put that in its place, whole and synced.

    Folders that lack are made; a symbolic link is followed; the mode of the file that was there is kept. Where
    anything is raised, Ctrl-C too, the temporary is removed and the file that was there stays as it was.

    Args:
        path: the final name.
        write: called with the temporary's path.
        suffix: what the temporary's name must end with, where a writer looks at it.

    Raises:
        OSError: what is there is no plain file, or the disk refuses.
    """
    target = Path(os.path.realpath(path))
    mode = None
    if target.exists():
        if not target.is_file():  # renaming over /dev/null would replace it, for a user who may
            raise OSError(f"{str(path)!r} is there and is no plain file, so it cannot be replaced. Give another name.")
        mode = stat.S_IMODE(target.stat().st_mode)
    target.parent.mkdir(parents=True, exist_ok=True)
    # the name is cut, because with what is added it must not grow beyond what a file system takes
    temporary = target.with_name(f".{target.name[:40]}.{os.getpid()}.{os.urandom(4).hex()}.tmp{suffix}")
    try:
        write(temporary)
        _sync(temporary)
        if mode is not None:
            temporary.chmod(mode)
        os.replace(temporary, target)
    except BaseException:  # raised on; Ctrl-C too must leave no temporary behind
        with contextlib.suppress(OSError):  # what was raised first is what the caller must see
            temporary.unlink()
        raise
    with contextlib.suppress(OSError):  # Windows and some network file systems cannot sync a folder
        _sync(target.parent)


def save_arrays(
    path: str | os.PathLike[str], arrays: Mapping[str, Any], metadata: Mapping[str, str] | None = None
) -> None:
    """Write named arrays to a ``.safetensors`` file, atomically.

    Args:
        path: of the file.
        arrays: numpy arrays, or what ``np.asarray`` takes; in any memory order and byte order.
        metadata: text to keep with them; ``load_metadata`` gives it back.

    Raises:
        TypeError: an entry is no array that the format can hold (numbers and booleans up to 64 bits, complex64, and
            the bfloat16 and float8 of ml_dtypes), a name or the metadata is no text. Nothing was written.
        ValueError: an entry is called ``__metadata__``, a name that the format keeps to itself.
        OSError: as for ``write_atomically``.
    """
    from safetensors.numpy import save_file  # here, so that `import trainhooks` does not load it

    for name in arrays:
        if not isinstance(name, str):
            raise TypeError(f"save_arrays({str(path)!r}): {name!r} names an entry, and is no string")
        if name == "__metadata__":
            raise ValueError(f"save_arrays({str(path)!r}): the format keeps the name '__metadata__' to itself")
    for key, text in (metadata or {}).items():
        if not (isinstance(key, str) and isinstance(text, str)):
            raise TypeError(f"save_arrays({str(path)!r}): metadata is text by text, not {key!r}: {text!r}")
    dense = {name: _dense(path, name, array) for name, array in arrays.items()}
    about = (
        dict(metadata) if metadata else None
    )  # of neither arrays nor metadata, {}, 0.8.0 makes a file it cannot read
    write_atomically(path, lambda temporary: save_file(dense, temporary, metadata=about))


def load_arrays(path: str | os.PathLike[str]) -> dict[str, Array]:
    """The arrays of a ``.safetensors`` file by name, writable and owned, in an order of the file's own.

    Raises:
        ValueError: the file is damaged, or holds a dtype that numpy has not.
        ImportError: it holds bfloat16 or float8, and ml_dtypes is not installed.
        OSError: it cannot be read.
    """
    from safetensors import SafetensorError, deserialize

    try:
        # not safetensors.numpy's load: it knows fewer dtypes than its save
        entries = deserialize(Path(path).read_bytes())  # type: ignore[no-untyped-call]
    except SafetensorError as error:
        raise _damaged("load_arrays", path, error) from error
    arrays = {}
    for name, entry in entries:
        dtype = _dtype(path, name, entry["dtype"])
        arrays[name] = np.frombuffer(entry["data"], dtype=dtype).reshape(entry["shape"])
    return arrays


def load_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """The text that ``save_arrays`` kept with the arrays; empty when there is none.

    Raises:
        ValueError: the file is damaged.
        OSError: it cannot be read.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(os.fspath(path), framework="np") as file:
            return dict(file.metadata() or {})
    except SafetensorError as error:
        raise _damaged("load_metadata", path, error) from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _dense(path: str | os.PathLike[str], name: str, value: Any) -> Array:
    """``value`` as safetensors needs it: it writes the memory as it lies, and would scatter a transposed array."""
    array = np.asarray(value)
    if array.dtype.name not in _DTYPES.values():
        raise TypeError(
            f"save_arrays({str(path)!r}): {name!r} is of dtype {array.dtype}, which the format cannot hold. "
            f"It holds {listing(_DTYPES.values())}."
        )
    return np.asarray(array, order="C")


def _dtype(path: str | os.PathLike[str], name: str, code: str) -> np.dtype[Any]:
    if code not in _DTYPES:
        raise ValueError(f"load_arrays({str(path)!r}): {name!r} is of dtype {code}, which numpy has not")
    called = _DTYPES[code]
    if not code.startswith(("BF", "F8")):
        return np.dtype(called)
    try:
        import ml_dtypes
    except ImportError as error:
        raise ImportError(
            f"load_arrays({str(path)!r}): {name!r} is of dtype {called}, which numpy has from ml_dtypes: "
            "pip install ml_dtypes"
        ) from error
    found: np.dtype[Any] = np.dtype(getattr(ml_dtypes, called))
    return found


def _damaged(who: str, path: str | os.PathLike[str], error: Exception) -> ValueError:
    return ValueError(f"{who}({str(path)!r}): the file is damaged, or is no safetensors file ({error})")
