"""What stands in event files, as TensorBoard's own reader gives it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

reader: Any = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")

Series = dict[str, list[tuple[int, float]]]


def read(folder: Path) -> Any:
    """Everything that one folder's files hold, none left out for its number."""
    kinds = (reader.SCALARS, reader.TENSORS, reader.HISTOGRAMS, reader.IMAGES)
    made = reader.EventAccumulator(str(folder), dict.fromkeys(kinds, 0))
    return made.Reload()


def scalars(folder: Path) -> Series:
    """Steps and values by tag, whether they were written as plain numbers or, as TensorFlow does, as tensors."""
    from tensorboard.util.tensor_util import make_ndarray

    found, tags = read(folder), read(folder).Tags()
    series = {tag: [(one.step, one.value) for one in found.Scalars(tag)] for tag in tags["scalars"]}
    for tag in tags["tensors"]:
        if found.SummaryMetadata(tag).plugin_data.plugin_name == "scalars":
            series[tag] = [(one.step, make_ndarray(one.tensor_proto).item()) for one in found.Tensors(tag)]
    return series


def everything(log_dir: Path) -> dict[str, Series]:
    """The scalars of each folder."""
    return {folder.name: scalars(folder) for folder in sorted(log_dir.iterdir())}


def steps(log_dir: Path) -> dict[str, list[int]]:
    """The steps of each tag, as ``train/epoch_loss``."""
    return {
        f"{name}/{tag}": [step for step, _ in values]
        for name, series in everything(log_dir).items()
        for tag, values in series.items()
    }


def images(folder: Path, tag: str) -> list[bytes]:
    """Width, height and the PNG files under one tag at its last step."""
    texts: list[bytes] = list(read(folder).Tensors(tag)[-1].tensor_proto.string_val)
    return texts


def nodes(folder: Path) -> list[tuple[str, str, list[str]]]:
    """The graph."""
    return [(node.name, node.op, list(node.input)) for node in read(folder).Graph().node]
