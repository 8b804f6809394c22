"""A folder of checkpoints: which are there, and which is the newest good one."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import StateFileError
from . import temporaries
from .folder import FILES, check_sizes, load_checkpoint, read, read_manifest
from .plain_file import DamageError


class Found(NamedTuple):
    """A checkpoint in a folder."""

    path: Path
    about: dict[str, Any]
    """What was told about it; empty where its manifest is damaged."""
    size: int
    """Bytes of its files."""
    problem: str | None
    """None, or why it is damaged."""


class _Dated(NamedTuple):
    found: Found
    written: float  # when its files were, in seconds since 1970


def checkpoints(folder: str | os.PathLike[str], *, verify: bool = False) -> list[Found]:
    """The checkpoints in a folder, oldest first: by ``step`` and ``saved_at`` of what was told about them, and by name.

    One whose manifest is damaged stands where the time of its files places it. Symbolic links are passed over.

    Args:
        folder: where they lie; one that is not there holds none. One checkpoint is a list of itself.
        verify: read every file and compare its SHA-256, not the sizes alone.

    Raises:
        ImportError: with ``verify``: one holds a dtype of ml_dtypes, which is not installed.
    """
    return [verified(found) if verify else found for found in listed(_named_by(folder))]


def latest_good(folder: str | os.PathLike[str]) -> Path | None:
    """The newest checkpoint in a folder that is verified to be good, or None; it may be the folder itself."""
    for found in reversed(listed(_named_by(folder))):
        if verified(found).problem is None:
            return Path(found.path)
    return None


def load_latest(folder: str | os.PathLike[str]) -> tuple[Path, dict[str, Any]] | None:
    """Where the newest good checkpoint is and the state in it; None where there is none at all.

    A damaged one that is newer is told of in a warning.

    Args:
        folder: of checkpoints; or one checkpoint.

    Raises:
        StateFileError: there are some, and all are damaged.
        ImportError: as for ``load_checkpoint``.
    """
    path = temporaries.standing(Path(os.path.realpath(folder)))
    if not os.path.isdir(path):
        if os.path.lexists(path):
            raise StateFileError(f"{str(folder)!r} is no folder. Give a checkpoint, or a folder of checkpoints.")
        return None
    if is_checkpoint(path):
        return Path(folder), load_checkpoint(path)
    bad: list[Found] = []
    for found in reversed(listed(paths_in(Path(folder)))):
        try:
            state = read(found.path)
        except (DamageError, OSError) as error:
            bad.append(found._replace(problem=_told(error)))
            continue
        if bad:
            warnings.warn(
                f"{_are_damaged(bad)} Taken is {found.path.name!r}, the newest that is good.", UserWarning, stacklevel=2
            )
        return found.path, state
    if bad:
        raise StateFileError(f"{str(folder)!r} holds no good checkpoint. {_are_damaged(bad)}")
    return None


def listed(paths: Iterable[Path]) -> list[Found]:
    """Oldest first, with only the sizes looked at."""
    whole: list[_Dated] = []
    unknown: list[_Dated] = []
    for path in paths:
        problem, about = None, None
        try:
            told = read_manifest(path)
            about = told.about
            check_sizes(path, told)
        except (DamageError, OSError) as error:
            problem = _told(error)
        size, written = _looked_at(path)
        (unknown if about is None else whole).append(_Dated(Found(path, about or {}, size, problem), written))
    whole.sort(key=lambda one: _age(one.found))
    for one in sorted(unknown, key=lambda one: (one.written, one.found.path.name)):
        newer = [number for number, other in enumerate(whole) if other.written > one.written]
        whole.insert(newer[0] if newer else len(whole), one)
    return [one.found for one in whole]


def _age(found: Found) -> tuple[float, str, str]:
    step, saved_at = found.about.get("step"), found.about.get("saved_at")
    if not isinstance(step, (int, float)) or step != step:  # NaN has no place in an order
        step = -1
    return step, saved_at if isinstance(saved_at, str) else "", found.path.name


def _named_by(folder: str | os.PathLike[str]) -> Iterable[Path]:
    path = temporaries.standing(Path(folder))
    return [path] if is_checkpoint(Path(os.path.realpath(path))) else paths_in(path)


def paths_in(folder: Path) -> Iterator[Path]:
    """What is, or was, a checkpoint in a folder."""
    try:
        names = sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in names:
        if not name.startswith(".") and is_checkpoint(folder / name):
            yield folder / name
    for left in temporaries.left_in(folder):
        if left.kind == "old" and left.name not in names and is_checkpoint(left.path):
            yield left.path


def is_checkpoint(path: Path) -> bool:
    """Whether a folder is a checkpoint, damaged perhaps: it has two of the three files, or one and nothing else."""
    if os.path.islink(path) or not os.path.isdir(path):
        return False
    try:
        names = set(os.listdir(path))
    except OSError:
        return False
    own = len(names & set(FILES))
    return own >= 2 or own == len(names) == 1


def verified(found: Found) -> Found:
    """The same, with every file read."""
    if found.problem is not None:
        return found
    try:
        read(found.path, keep=False)
    except (DamageError, OSError) as error:
        return found._replace(problem=_told(error))
    return found


def _looked_at(path: Path) -> tuple[int, float]:
    """The bytes of a checkpoint's files, and when they were last written."""
    told = [os.lstat(path / name) for name in FILES if os.path.lexists(path / name)]
    return sum(one.st_size for one in told), max((one.st_mtime for one in told), default=0.0)


def _told(error: Exception) -> str:
    return str(error) if isinstance(error, DamageError) else f"it cannot be read ({error})"


def _are_damaged(bad: list[Found]) -> str:
    return " ".join(f"The checkpoint {str(found.path)!r} is damaged. {found.problem}." for found in bad)
