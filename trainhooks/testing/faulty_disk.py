"""A disk that fails when it is told to: for tests of what is left when it does."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..store.disk import Disk, exchanged

if TYPE_CHECKING:
    from ..store.disk import Data


class FaultyDisk(Disk):
    """The disk, but the ``nth`` operation that writes raises ``OSError(error_number)`` instead of being done.

    Nothing is really synced, so that tests need not wait for the disk.

    ::

        with FaultyDisk(3, errno.ENOSPC).in_use() as disk:
            save_checkpoint(path, state)

    Args:
        nth: which operation fails, from 0; None for none, to count them.
        error_number: of ``errno``, as ``errno.ENOSPC``.
        operation: count only these: the name of a method of ``Disk``, as ``"sync"``.
        lasting: every operation from then on fails as well.

    Attributes:
        done: the names of the operations that were asked for, in their order; those that failed too.
    """

    def __init__(
        self, nth: int | None, error_number: int = 0, operation: str | None = None, *, lasting: bool = False
    ) -> None:
        if operation is not None and operation not in vars(Disk):
            raise ValueError(f"FaultyDisk(operation={operation!r}): a disk has no such operation")
        self.nth, self.error_number, self.operation, self.lasting = nth, error_number, operation, lasting
        self.done: list[str] = []

    @contextmanager
    def in_use(self) -> Iterator[FaultyDisk]:
        """Have everything that trainhooks writes go through it, in every thread, until the block is left."""
        with exchanged(self):
            yield self

    def _count(self, operation: str) -> None:
        number = len(self.done) if self.operation is None else self.done.count(self.operation)
        self.done.append(operation)
        if self.nth is None or self.operation not in (None, operation):
            return
        if number == self.nth or (self.lasting and number > self.nth):
            raise OSError(self.error_number, os.strerror(self.error_number))

    def create(self, path: Path) -> int:
        self._count("create")
        return super().create(path)

    def write(self, descriptor: int, data: Data) -> int:
        self._count("write")
        return super().write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        self._count("sync")

    def sync_folder(self, path: Path) -> None:
        self._count("sync_folder")

    def make_folder(self, path: Path) -> None:
        self._count("make_folder")
        super().make_folder(path)

    def rename(self, path: Path, target: Path) -> None:
        self._count("rename")
        super().rename(path, target)

    def remove(self, path: Path) -> None:
        self._count("remove")
        super().remove(path)

    def remove_folder(self, path: Path) -> None:
        self._count("remove_folder")
        super().remove_folder(path)

    def set_mode(self, path: Path, mode: int) -> None:
        self._count("set_mode")
        super().set_mode(path, mode)
