"""Append to a file, whole lines or nothing."""

from __future__ import annotations


def add_line(who: str, filename: str, line: bytes, head: bytes = b"") -> None:
    """Add a line to the end of a file, which is open only for that, with one write: no crash leaves half in a buffer.

    Args:
        who: the callback, as messages call it.
        filename: of the file; it is made where it is not there.
        line: what to add, its end included.
        head: what goes before it where the file is empty.

    Raises:
        OSError: the disk refuses, or took only a part, which is then taken back.
    """
    with open(filename, "ab", buffering=0) as file:
        end = file.tell()
        text = line if end else head + line
        if file.write(text) != len(text):
            file.truncate(end)
            raise OSError(f"{who}({filename!r}): the disk took half a line, which was taken back")
