"""Files that are replaced atomically, and arrays in them, by name, as safetensors."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import listing
from . import temporaries, tensor_file
from .disk import NewFile, current, make_folders
from .dtype_text import CODES, MissingDtypeError, code_of
from .plain_file import DamageError, PlainFile

if TYPE_CHECKING:
    Array = np.ndarray[Any, Any]


def write_atomically(path: str | os.PathLike[str], write: Callable[[Path], object], suffix: str = "") -> None:
    """Have ``write`` fill a temporary file beside ``path``, then put that in its place, whole and synced.

    Folders that lack are made; a symbolic link is followed; the mode of the file that was there is kept. Where
    anything is raised, Ctrl-C too, the temporary is removed and the file that was there stays as it was. (But where
    only the folder could not be synced, the new file is in place, and may not outlive a loss of power.)

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
    make_folders(target.parent)
    disk, temporary = current(), temporaries.new(target, suffix=suffix)
    try:
        write(temporary)
        descriptor = os.open(temporary, os.O_RDWR)
        try:
            disk.sync(descriptor)
        finally:
            os.close(descriptor)
        if mode is not None:
            disk.set_mode(temporary, mode)
        disk.rename(temporary, target)
    except BaseException:  # raised on; Ctrl-C too must leave no temporary behind
        with contextlib.suppress(OSError):  # what was raised first is what the caller must see
            disk.remove(temporary)
        raise
    finally:
        temporaries.done(temporary)
    disk.sync_folder(target.parent)


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
    who = f"save_arrays({str(path)!r})"
    for name in arrays:
        if not isinstance(name, str):
            raise TypeError(f"{who}: {name!r} names an entry, and is no string")
        if name == "__metadata__":
            raise ValueError(f"{who}: the format keeps the name '__metadata__' to itself")
    for key, text in (metadata or {}).items():
        if not (isinstance(key, str) and isinstance(text, str)):
            raise TypeError(f"{who}: metadata is text by text, not {key!r}: {text!r}")
    asked = {name: np.asarray(array) for name, array in arrays.items()}
    for name, array in asked.items():
        if code_of(array.dtype) is None:
            raise TypeError(
                f"{who}: {name!r} is of dtype {array.dtype}, which the format cannot hold. "
                f"It holds {listing(CODES.values())}."
            )

    def write(temporary: Path) -> None:
        with NewFile(temporary) as file:
            tensor_file.write(file, asked, metadata)

    write_atomically(path, write)


def load_arrays(path: str | os.PathLike[str]) -> dict[str, Array]:
    """The arrays of a ``.safetensors`` file by name, writable and owned, in an order of the file's own.

    Raises:
        ValueError: the file is damaged, or holds a dtype that numpy has not.
        ImportError: it holds bfloat16 or float8, and ml_dtypes is not installed.
        OSError: it cannot be read.
    """
    with _naming("load_arrays", path), PlainFile(Path(path), follow=True) as file:
        header = tensor_file.read_header(file)
        wanted = {name: tensor_file.plainly(name, entry) for name, entry in header.entries.items()}
        return tensor_file.read(file, header, wanted)


def load_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """The text that ``save_arrays`` kept with the arrays; empty when there is none.

    Raises:
        ValueError: the file is damaged.
        OSError: it cannot be read.
    """
    with _naming("load_metadata", path), PlainFile(Path(path), follow=True) as file:
        return tensor_file.read_header(file).metadata


@contextlib.contextmanager
def _naming(who: str, path: str | os.PathLike[str]) -> Iterator[None]:
    try:
        yield
    except DamageError as damage:
        raise ValueError(f"{who}({str(path)!r}): the file is damaged, or is no safetensors file ({damage})") from damage
    except MissingDtypeError as error:
        raise ImportError(f"{who}({str(path)!r}): {error}") from error
