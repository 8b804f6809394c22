"""Reading a file that somebody may have tampered with: not through a link, not from a pipe, not beyond its end."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .disk import CHUNK

if TYPE_CHECKING:
    import numpy as np


class DamageError(ValueError):
    """What is wrong with a file, in words that follow its name and a colon."""


class PlainFile:
    """A plain file that is open for reading, and hashed as it is read.

    Args:
        path: of the file.
        follow: whether a symbolic link is followed: where the user himself named the file.

    Raises:
        DamageError: it is no plain file; without ``follow`` also when it is a link, or not there.
        OSError: it cannot be read; with ``follow`` also when it is not there.
    """

    def __init__(self, path: Path, *, follow: bool = False) -> None:
        from hashlib import sha256  # here, so that `import trainhooks` stays cheap

        if not follow:
            _refuse_what_is_not_plain(path)
        # without O_NONBLOCK a pipe that took the file's place since would hold us up for good
        flags = getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
        self._descriptor = os.open(path, os.O_RDONLY | flags | (0 if follow else getattr(os, "O_NOFOLLOW", 0)))
        self._hash = sha256()
        told = os.fstat(self._descriptor)
        if not stat.S_ISREG(told.st_mode):
            os.close(self._descriptor)
            if follow and stat.S_ISDIR(told.st_mode):
                raise IsADirectoryError(f"{str(path)!r} is a folder")
            raise DamageError(f"it is {_kind(told.st_mode)}")
        self.size = told.st_size

    @property
    def sha256(self) -> str:
        """Of what was read so far."""
        return self._hash.hexdigest()

    def fill(self, buffer: np.ndarray[Any, Any]) -> None:
        """Read on, and hash, until an array of bytes is full."""
        view = buffer.data
        at = 0
        while at < len(view):
            part = view[at : at + CHUNK]
            got = os.readv(self._descriptor, [part]) if hasattr(os, "readv") else self._copy_into(part)
            if not got:
                raise DamageError(f"it ends after {at} of {len(view)} bytes")
            self._hash.update(part[:got])
            at += got

    def read(self, size: int) -> bytes:
        """So many bytes; they are hashed.

        Raises:
            DamageError: there are fewer.
        """
        parts = []
        left = size
        while left:
            part = os.read(self._descriptor, min(left, CHUNK))
            if not part:
                raise DamageError(f"it ends {left} bytes early")
            parts.append(part)
            self._hash.update(part)
            left -= len(part)
        return b"".join(parts)

    def read_all(self, at_most: int) -> bytes:
        """The whole file, hashed.

        Raises:
            DamageError: it is longer than ``at_most`` bytes.
        """
        if self.size > at_most:
            raise DamageError(f"it is {self.size} bytes long, more than the {at_most} that such a file may have")
        return self.read(self.size)

    def _copy_into(self, part: memoryview[Any]) -> int:  # Windows has no readv
        data = os.read(self._descriptor, len(part))
        part[: len(data)] = data
        return len(data)

    def __enter__(self) -> PlainFile:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


def size_of(path: Path) -> int:
    """The size of a plain file in bytes.

    Raises:
        DamageError: it is not there, or is a link, a folder, a pipe, or a device.
    """
    return _refuse_what_is_not_plain(path).st_size


def _refuse_what_is_not_plain(path: Path) -> os.stat_result:
    try:
        told = os.lstat(path)
    except FileNotFoundError:
        raise DamageError("it is not there") from None
    if not stat.S_ISREG(told.st_mode):
        raise DamageError(f"it is {_kind(told.st_mode)}")
    return told


def _kind(mode: int) -> str:
    if stat.S_ISLNK(mode):
        return "a symbolic link"
    return "a folder" if stat.S_ISDIR(mode) else "a pipe" if stat.S_ISFIFO(mode) else "no plain file"
