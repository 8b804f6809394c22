"""Which checkpoints of a folder to delete, and how."""

from __future__ import annotations

import os
from pathlib import Path

from . import temporaries
from .disk import current
from .folder import FILES, delete
from .listing import Found, listed, paths_in, verified


def prune(folder: str | os.PathLike[str], keep: int, *, tidy: bool = True, verify: bool = True) -> list[Path]:
    """Delete all but the newest good checkpoints, and give what was deleted.

    A damaged one is never counted as good. It is deleted when a good one that is kept is newer; with no good one to
    keep nothing is deleted. What holds other files than a checkpoint's own loses its checkpoint and keeps those.

    Args:
        folder: of the checkpoints.
        keep: how many; 0 deletes all, damaged ones too.
        tidy: delete as well what processes that are gone have left of what they were writing, and put back in its place
            what they had put aside.
        verify: read those that are kept, so that a silently damaged one is not counted; else only sizes are compared.

    Raises:
        ValueError: ``keep`` is no count.
        OSError: the disk refuses.
    """
    if not isinstance(keep, int) or isinstance(keep, bool) or keep < 0:
        raise ValueError(f"prune(keep={keep!r}): a count, from 0")
    folder = Path(folder)
    deleted = tidied(folder) if tidy else []
    there = listed(paths_in(folder))
    good = 0
    doomed = []
    for found in reversed(there):
        if keep and good < keep:
            checked = verified(found) if verify and len(there) > 1 else found
            if checked.problem is None:
                good += 1
                continue
            if not good:
                continue
        doomed.append(found)
    for found in reversed(doomed):
        if not _is_doubtful(found):
            delete_checkpoint(found.path)
            deleted.append(found.path)
    return deleted


def delete_checkpoint(path: str | os.PathLike[str]) -> None:
    """Delete a checkpoint, good or damaged; where other files lie in its folder, those stay.

    Raises:
        OSError: it is not there, or the disk refuses.
    """
    folder = Path(path)
    if set(os.listdir(folder)) - set(FILES):
        delete(folder)
        return
    hidden = temporaries.new(folder)  # so that no half of it is taken for a damaged one if we die meanwhile
    try:
        current().rename(folder, hidden)
        delete(hidden)
    finally:
        temporaries.done(hidden)


def _is_doubtful(found: Found) -> bool:
    """Whether it may be somebody else's: it is no good checkpoint, and holds other files."""
    return found.problem is not None and bool(set(os.listdir(found.path)) - set(FILES))


def tidied(folder: str | os.PathLike[str]) -> list[Path]:
    """Put back in its place, or delete, what processes that are gone have left in a folder; gives what was deleted.

    Raises:
        OSError: the disk refuses.
    """
    folder, deleted = Path(folder), []
    for left in list(temporaries.left_in(folder)):
        if not temporaries.is_abandoned(left):
            continue
        if left.kind == "old" and not os.path.lexists(folder / left.name):
            current().rename(left.path, folder / left.name)
        elif left.path.is_dir() and not left.path.is_symlink():
            delete(left.path)
            if not os.path.lexists(left.path):
                deleted.append(left.path)
        else:
            current().remove(left.path)
            deleted.append(left.path)
    return deleted
