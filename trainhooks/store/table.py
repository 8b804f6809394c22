"""A folder of checkpoints as a table for people: how far each one is, and whether it is good."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final, NamedTuple

from .listing import Found, checkpoints, is_checkpoint
from .retention import prune

_HEAD: Final = ("name", "epoch", "step", "metrics", "size", "saved (UTC)", "state")
_METRICS: Final = 4
"""As many are shown."""
_WIDEST: Final = 60
"""Characters of what a file says."""
_LARGEST: Final = 10**300
"""A number beyond it is no count and no metric, and Python may refuse to write it."""


class Looked(NamedTuple):
    """What is in a folder of checkpoints."""

    folder: Path
    deleted: list[str] | None
    """Their names; None where nothing was to be."""
    found: list[Found]
    verified: bool

    @property
    def damaged(self) -> int:
        """How many of those found are."""
        return sum(one.problem is not None for one in self.found)

    def text(self) -> str:
        """It all as lines."""
        lines = []
        if self.deleted is not None:
            lines = [f"Deleted {name}" for name in self.deleted] or ["Nothing to delete."]
        if self.found:
            lines.append(table(self.found, verified=self.verified, now=datetime.now(timezone.utc)))
        else:
            lines.append(f"There are no checkpoints in {str(self.folder)!r}.")
        return "\n".join(lines)


def look(folder: Path, *, verify: bool = False, keep: int | None = None) -> Looked:
    """What is in a folder of checkpoints, or in one checkpoint.

    Args:
        verify: read every file and compare its SHA-256.
        keep: delete all but so many first, as ``prune`` does; what was deleted is told.

    Raises:
        FileNotFoundError: there is no such folder, or it is one checkpoint that is to be pruned.
        OSError: the disk refuses.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {str(folder)!r}")
    deleted = None
    if keep is not None:
        if is_checkpoint(folder):
            raise FileNotFoundError(f"{str(folder)!r} is one checkpoint. Give the folder in which it lies.")
        deleted = [plain(path.name) for path in prune(folder, keep)]
    return Looked(folder, deleted, checkpoints(folder, verify=verify), verify)


def document(looked: Looked) -> dict[str, Any]:
    """It all for a program; what a checkpoint's manifest says is as it stands there."""
    rows = []
    for one in looked.found:
        told = {name: one.about.get(name) for name in ("epoch", "step", "inside", "metrics", "saved_at")}
        rows.append(
            {
                "name": one.path.name,
                "path": str(one.path),
                **told,
                "size": one.size,
                "state": state(one, looked.verified),
                "problem": one.problem,
            }
        )
    return {"folder": str(looked.folder), "deleted": looked.deleted or [], "checkpoints": rows}


def state(found: Found, verified: bool) -> str:
    """What is known of it, in a word or two."""
    if found.problem is not None:
        return "damaged"
    return "good" if verified else "not verified"


def table(found: Sequence[Found], *, verified: bool, now: datetime) -> str:
    """A line for each checkpoint, in the order given.

    Args:
        verified: whether their files were read; what is no worse than unread is then called good.
        now: with a time zone; ages are told from it.
    """
    rows = [_HEAD, *(_row(one, verified, now) for one in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def _row(found: Found, verified: bool, now: datetime) -> tuple[str, ...]:
    about = found.about
    epoch, inside = about.get("epoch"), about.get("inside")
    return (
        plain(found.path.name),
        _cell(epoch) + (f" ({_cell(inside)})" if inside else ""),
        _cell(about.get("step")),
        _metrics(about.get("metrics")),
        size(found.size),
        _saved(about.get("saved_at"), now),
        state(found, verified) + (f": {plain(found.problem)}" if found.problem is not None else ""),
    )


def plain(text: str) -> str:
    """A text of one line that gives a terminal no orders: it comes from a file."""
    return "".join(one if one.isprintable() else "?" for one in text)


def _cell(value: Any) -> str:
    if not isinstance(value, (int, float, str)) or (isinstance(value, int) and abs(value) >= _LARGEST):
        return "-" if value is None else "?"
    return plain(str(value))[:_WIDEST]


def _metrics(value: Any) -> str:
    if not isinstance(value, Mapping) or not value:
        return "-"
    numbers = {name: one for name, one in value.items() if isinstance(one, (int, float)) and not abs(one) > _LARGEST}
    shown = [f"{str(name)[:_WIDEST]} {one:.4g}" for name, one in numbers.items()]
    more = f", and {len(shown) - _METRICS} more" if len(shown) > _METRICS else ""
    return plain(", ".join(shown[:_METRICS]) + more)


def size(count: int) -> str:
    """A number of bytes as people say it: ``"3.5 MB"``."""
    value, units = float(count), ["B", "kB", "MB", "GB", "TB"]
    while value >= 999.5 and len(units) > 1:
        value, units = value / 1000, units[1:]
    return f"{value:.0f} {units[0]}" if units[0] == "B" or value >= 99.5 else f"{value:.3g} {units[0]}"


def _saved(value: Any, now: datetime) -> str:
    """When, in UTC, and how long ago."""
    if not isinstance(value, str):
        return "-"
    try:
        saved = datetime.fromisoformat(value.replace("Z", "+00:00"))  # Python 3.10 knows no Z
        saved = saved.replace(tzinfo=timezone.utc) if saved.tzinfo is None else saved.astimezone(timezone.utc)
        return f"{saved:%Y-%m-%d %H:%M} ({age((now - saved).total_seconds())})"
    except (ValueError, OverflowError):
        return "-"


def age(seconds: float) -> str:
    """How long ago something was, in its largest unit."""
    if seconds < 0:
        return "in the future"
    for unit, many in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= many:
            return f"{seconds // many:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"
