"""A history as a table: numpy's, and a notebook's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from numbers import Real
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from ..run import EpochRecord
    from .history import Ending

_LAST: Final = 10
"""How many epochs a notebook shows."""


def to_numpy(records: Sequence[EpochRecord]) -> np.ndarray[Any, Any]:
    """As ``History.to_numpy``."""
    names = dict.fromkeys(name for record in records for name in record.logs if name != "epoch")
    columns = {name: [record.logs.get(name) for record in records] for name in names}
    numbers = {name: numbers_of(column) for name, column in columns.items()}
    kinds = [(name, object if column is None else np.float64) for name, column in numbers.items()]
    table = np.empty(len(records), [("epoch", np.int64), *kinds])
    table["epoch"] = [record.epoch for record in records]
    for name, column in numbers.items():
        if column is not None:
            table[name] = column
        else:
            for row, value in enumerate(columns[name]):  # one at a time: a column of arrays is no array
                table[name][row] = value
    return table


def numbers_of(column: Iterable[Any]) -> list[float] | None:
    """The values as floats; None when one of them is not one real number."""
    found = []
    for value in column:
        number = value.item() if getattr(value, "ndim", None) == 0 and hasattr(value, "item") else value
        if number is None:
            found.append(float("nan"))
        elif isinstance(number, Real) or type(number).__module__ == "ml_dtypes":
            found.append(float(number))
        else:
            return None
    return found


def to_html(records: Sequence[EpochRecord], ending: Ending) -> str:
    """The last epochs and how the run ended; epochs count from 1, as they are printed."""
    names = list(dict.fromkeys(name for record in records for name in record.logs))
    head = "".join(f"<th>{escape(name)}</th>" for name in ["epoch", *names])
    lines = [
        f"<tr><th>{record.epoch + 1}</th>{''.join(f'<td>{_cell(record.logs, name)}</td>' for name in names)}</tr>"
        for record in records[-_LAST:]
    ]
    left_out = len(records) - len(lines)
    if left_out:
        lines.insert(0, f'<tr><td colspan="{1 + len(names)}">({left_out} before)</td></tr>')
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>" if records else ""
    return f"<div>{table}<p>{escape(_outcome(records, ending))}</p></div>"


def _outcome(records: Sequence[EpochRecord], ending: Ending) -> str:
    epochs = "1 epoch" if len(records) == 1 else f"{len(records) or 'no'} epochs"
    if ending.outcome is None:
        return f"Running: {epochs} so far." if records else "No epoch has ended."
    text = f"{ending.outcome.capitalize()} after {epochs}"
    if ending.outcome not in ("stopped", "paused") or not ending.reason:
        return f"{text}."
    return f"{text}{f' by {ending.source}' if ending.source else ''}: {ending.reason}"


def _cell(logs: Mapping[str, Any], name: str) -> str:
    if name not in logs:
        return ""
    try:
        return escape(f"{logs[name]:.4g}")
    except (TypeError, ValueError):  # an array, a text
        text = str(logs[name])
        return escape(text if len(text) <= 40 else text[:39] + "\u2026")
