"""Callbacks of a class each, with code of their own: many of one class would flatter a loop by hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import trainhooks


def classes(count: int, base: type, takes: dict[str, str]) -> Iterator[type]:
    """Classes with hooks whose code is their own, as in life: Python keeps what it learns of attributes with the code.

    Args:
        count: how many.
        base: of each.
        takes: for each hook the text of what it takes after ``self``; it keeps the first of that.
    """
    text = "class Keeps(base):\n" + "".join(
        f"    def {hook}(self, {arguments}):\n        self.seen = {arguments.partition(',')[0]}\n"
        for hook, arguments in takes.items()
    )
    for _ in range(count):
        names: dict[str, Any] = {"base": base}
        exec(text, names)
        yield names["Keeps"]


def ones(count: int, base: type, takes: dict[str, str]) -> list[Any]:
    """An object of each of ``classes``."""
    return [one() for one in classes(count, base, takes)]


def listeners(count: int) -> list[trainhooks.Callback]:
    """``count`` callbacks that listen to a training batch's end."""
    return ones(count, trainhooks.Callback, {"on_train_batch_end": "batch, logs=None"})
