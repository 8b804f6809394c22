"""Names for what is being written or was put aside, which tell who left it: ``.<name>.<host>-<pid>.<random>.tmp``.

Such a name is hidden and nobody reads it, but for an ``.old`` whose own place is empty: a process died between putting
a checkpoint aside and putting the new one in its place.
"""

from __future__ import annotations

import os
import re
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

_NAME: Final = re.compile(
    r"\.(?P<name>.+)\.(?P<host>[0-9a-f]{8})-(?P<process>\d{1,10})\.(?P<random>[0-9a-f]{8})\.(?P<kind>tmp|old)",
    re.DOTALL,
)
_ABANDONED: Final = 24 * 3600.0
"""Seconds after which nobody writes any more, where we cannot ask whether the process lives."""

_ours: set[str] = set()
"""What this process is at: a restarted container often has the number of the process that died."""


class Left(NamedTuple):
    """Something with such a name."""

    path: Path
    name: str  # what it was to become, perhaps cut; or what it was
    kind: str  # "tmp" or "old"
    host: str
    process: int


def new(target: Path, kind: str = "tmp", suffix: str = "") -> Path:
    """A name beside ``target`` that is not in use; ``done`` must be called when it is not needed any more."""
    # cut, because with what is added it must not grow beyond what a file system takes; an old one's is needed whole
    name = target.name if kind == "old" else target.name[:40]
    path = target.with_name(f".{name}.{_host()}-{os.getpid()}.{os.urandom(4).hex()}.{kind}{suffix}")
    _ours.add(path.name)
    return path


def done(path: Path) -> None:
    """Nothing is written at ``path`` any more."""
    _ours.discard(path.name)


def left_in(folder: Path) -> Iterator[Left]:
    """What has such a name in a folder, its own process's too."""
    try:
        names = sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in names:
        if name.startswith("."):
            found = _NAME.match(name)
            if found is not None:
                yield Left(folder / name, found["name"], found["kind"], found["host"], int(found["process"]))


def is_abandoned(left: Left) -> bool:
    """Whether the process that made it is gone."""
    if left.host == _host() and left.process == os.getpid():
        return left.path.name not in _ours
    if left.host == _host() and os.name != "nt":  # where signal 0 would end the process
        try:
            os.kill(left.process, 0)
        except ProcessLookupError:
            return True
        except (PermissionError, OverflowError):
            return False
        return False
    try:
        return time.time() - max(_changed(left.path)) > _ABANDONED
    except OSError:
        return False


def standing(path: Path) -> Path:
    """``path``; or where it was put aside, when a process died while it was being replaced."""
    if os.path.lexists(path):
        return path
    aside = [left.path for left in left_in(path.parent) if left.kind == "old" and left.name == path.name]
    return max(aside, key=lambda one: (max(_changed(one)), one), default=path)


def _changed(path: Path) -> Iterator[float]:
    yield path.lstat().st_mtime
    if path.is_dir() and not path.is_symlink():
        for inside in path.iterdir():
            yield inside.lstat().st_mtime


def _host() -> str:
    name = os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME", "")
    return f"{zlib.crc32(name.encode(errors='replace')):08x}"
