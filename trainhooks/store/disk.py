"""The few disk operations that writing uses, in one place, so that each can be made to fail in its turn.

Reading is not here: what cannot be read is told apart from what is damaged by whoever reads.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    Data = bytes | memoryview[Any]

CHUNK: Final = 4 << 20
"""Bytes that are read or written at a time. (Linux caps one write at 2 GiB.)"""

_NO_FOLDER_SYNC: Final = {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF}
"""What file systems say that cannot sync a folder; anything else is a failure."""


class Disk:
    """The disk as it is."""

    def create(self, path: Path) -> int:
        """Open a file that is not there yet for writing, and give its descriptor."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        return os.open(path, flags | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0), 0o666)

    def write(self, descriptor: int, data: Data) -> int:
        """Write, and give how many bytes of it were written."""
        return os.write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        """Have the disk itself hold what was written to a file."""
        os.fsync(descriptor)

    def sync_folder(self, path: Path) -> None:
        """Have the disk itself hold the names in a folder, where the system can do that."""
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except PermissionError:  # Windows opens no folder, and this one may be one that may be entered but not read
            return
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno not in _NO_FOLDER_SYNC:
                raise
        finally:
            os.close(descriptor)

    def make_folder(self, path: Path) -> None:
        path.mkdir()

    def rename(self, path: Path, target: Path) -> None:
        """Give a file or folder another name; a file of that name is replaced."""
        os.replace(path, target)

    def remove(self, path: Path) -> None:
        path.unlink()

    def remove_folder(self, path: Path) -> None:
        path.rmdir()

    def set_mode(self, path: Path, mode: int) -> None:
        path.chmod(mode)


_in_use: list[Disk] = [Disk()]


def current() -> Disk:
    """The disk that is written through, in every thread."""
    return _in_use[-1]


@contextlib.contextmanager
def exchanged(disk: Disk) -> Iterator[Disk]:
    """Write through ``disk`` instead, in every thread of the process, until the block is left."""
    _in_use.append(disk)
    try:
        yield disk
    finally:
        _in_use.remove(disk)


def make_folders(path: Path) -> None:
    """Make a folder, and those above it that lack, to last."""
    if path.is_dir():
        return
    make_folders(path.parent)
    try:
        current().make_folder(path)
    except FileExistsError:  # somebody made it meanwhile, or a file stands there
        if not path.is_dir():
            raise
    current().sync_folder(path.parent)


class NewFile:
    """A file in the making, hashed as it is written.

    Attributes:
        size: in bytes.
        sha256: of what was written so far.
    """

    def __init__(self, path: Path) -> None:
        from hashlib import sha256  # here, so that `import trainhooks` stays cheap

        self._hash = sha256()
        self._descriptor = current().create(path)
        self.size = 0

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def write(self, data: Data) -> None:
        left = memoryview(data)
        while left:
            written = current().write(self._descriptor, left[:CHUNK])
            self._hash.update(left[:written])
            self.size += written
            left = left[written:]

    def sync(self) -> None:
        current().sync(self._descriptor)

    def __enter__(self) -> NewFile:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)
