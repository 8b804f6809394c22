"""Rows as a Markdown table, with the machine, the date and the versions that they were measured with."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path

from .pairs import Row

OURS = ("trainhooks", "numpy", "torch", "keras", "jax", "tensorflow", "tensorflow-cpu")
PEERS = ("pluggy", "pyee", "mmengine", "transformers", "skorch", "pytorch-ignite", "lightning")

HEAD = ("script", "what", "figure", "spread", "goal", "reached?", "beside")


def markdown(rows: Iterable[tuple[str, Row]], about: str) -> str:
    """A table of ``rows``, each with the name of its script, under a line that says what they were measured with."""
    lines = [about, "", _line(HEAD), _line(["---"] * len(HEAD))]
    return "\n".join([*lines, *(_line([script, *_cells(row)]) for script, row in rows)]) + "\n"


def _cells(row: Row) -> Iterator[str]:
    unit = "" if row.unit == "x" else f" {row.unit}"
    yield row.what
    yield row.shown(row.value) + unit
    yield row.spread
    yield "" if row.goal is None else f"<= {row.shown(row.goal)}{unit}"
    yield {True: "yes", False: "no", None: ""}.get(row.reached, str(row.reached))
    yield row.beside


def _line(cells: Iterable[str]) -> str:
    return "|" + "|".join(f" {cell.replace('|', chr(92) + '|')} " if cell else " " for cell in cells) + "|"


def about(command: str) -> str:
    """When, by what, on which machine, and with which versions."""
    system = f"{processor()}, {os.cpu_count()} cores, {operating_system()}"
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"`{command}`, {date.today()}: {system}, {python}; {', '.join(versions(OURS + PEERS))}."


def versions(names: Iterable[str]) -> Iterator[str]:
    """The name and version of each distribution that is installed."""
    for name in names:
        try:
            yield f"{name} {importlib.metadata.version(name)}"
        except importlib.metadata.PackageNotFoundError:
            continue


def processor() -> str:
    """The model of the processor, as far as the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    found = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in found if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def operating_system() -> str:
    """Its name and version."""
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return platform.platform(terse=True)
