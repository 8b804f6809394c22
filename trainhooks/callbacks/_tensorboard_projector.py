"""Embedding tables, as TensorBoard's projector reads them."""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import did_you_mean, listing
from ..store import write_atomically
from ._tensorboard_files import file_name

if TYPE_CHECKING:
    import numpy as np

Metadata = str | os.PathLike[str] | Mapping[str, str | os.PathLike[str]] | None


def metadata_files(given: Metadata, layers: Sequence[str], log_dir: Path) -> dict[str, Path]:
    """The file that names the rows of each layer's table.

    Args:
        given: one path for all layers, or one for each by its name; looked for in ``log_dir``, as Keras does, and then
            where it says.
        layers: the names of the embedding layers.
        log_dir: where the logs are.

    Raises:
        ValueError: there is no such layer, or no such file.
    """
    if given is None:
        return {}
    paths = dict(given) if isinstance(given, Mapping) else dict.fromkeys(layers, given)
    found = {}
    for layer, path in paths.items():
        if layer not in layers:
            raise ValueError(
                f"TensorBoard(embeddings_metadata=...): there is no embedding layer {layer!r}. "
                f"There are {listing(layers)}.{did_you_mean(layer, layers)}"
            )
        places = [log_dir / path, Path(path)]
        there = next((place for place in places if place.is_file()), None)
        if there is None:
            raise ValueError(
                f"TensorBoard(embeddings_metadata=...): there is no file {str(path)!r}, neither in {str(log_dir)!r} "
                "nor here. Write it before training: a line for each row of the table."
            )
        found[layer] = there
    return found


def write_tables(folder: Path, tables: Mapping[str, np.ndarray[Any, Any]], metadata: Mapping[str, Path]) -> None:
    """Write each table, and a copy of the file that names its rows, and what tells the projector of them.

    They all stand in ``folder``: the projector reads no file outside the folder that its configuration is in.
    """
    import numpy as np

    lines = []
    for layer, table in tables.items():
        name = file_name(layer)
        values = table.astype(np.float64)  # numpy writes no bfloat16
        save = functools.partial(np.savetxt, X=values, fmt="%.9g", delimiter="\t")
        write_atomically(folder / f"{name}.tsv", save)
        told = {"tensor_name": layer, "tensor_path": f"{name}.tsv"}
        if layer in metadata:
            told["metadata_path"] = f"{name}.metadata.tsv"
            write_atomically(folder / told["metadata_path"], functools.partial(shutil.copyfile, metadata[layer]))
        lines += ["embeddings {", *(f"  {key}: {_quoted(value)}" for key, value in told.items()), "}"]
    text = "".join(f"{line}\n" for line in lines)
    write_atomically(folder / "projector_config.pbtxt", lambda path: path.write_text(text, encoding="ascii"))


def _quoted(text: str) -> str:
    """A string in protobuf's text format: what is not plain ASCII goes by the numbers of its bytes."""
    return '"' + "".join(chr(b) if 32 <= b < 127 and b not in b'"\\' else f"\\{b:03o}" for b in text.encode()) + '"'
