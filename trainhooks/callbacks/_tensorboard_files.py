"""Event files, as TensorBoard reads them: written record by record, and cut back where a run goes on from a state."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import package_not_installed
from ..store import write_atomically

if TYPE_CHECKING:
    import numpy as np

_FLUSH_SECONDS = 10.0
"""How old a batch's values may become before TensorBoard sees them."""


def import_writer() -> Any:
    """``tensorboardX``, or the error that names the extra to install."""
    try:
        import tensorboardX
        import tensorboardX.proto.event_pb2
        import tensorboardX.proto.graph_pb2
        import tensorboardX.summary
    except ModuleNotFoundError as error:
        if error.name != "tensorboardX":  # it is there, and lacks something itself
            raise
        raise package_not_installed("TensorBoard", "tensorboardX", "tensorboard") from None
    return tensorboardX


class EventFile:
    """One new event file in ``folder``, which is made where it lacks.

    Its writer is tensorboardX's for single records: that of whole summaries has a thread of its own, which keeps a full
    disk to itself. So an ``OSError`` is raised where the value that did not fit was written.

    Args:
        folder: TensorBoard's name for it is the name of a run.
        run_id: what the files of one run have in common: the end of their names.

    Attributes:
        written: how many values and graphs were written to it.
    """

    def __init__(self, folder: Path, run_id: str) -> None:
        import socket  # here, so that `import trainhooks` stays cheap

        self._library = import_writer()
        folder.mkdir(parents=True, exist_ok=True)
        seconds, rest = divmod(time.time_ns(), 10**9)  # files are read in the order of their names
        name = f"events.out.tfevents.{seconds:010d}.{rest:09d}.{socket.gethostname()}.{os.getpid()}.{run_id}"
        self.path = folder / name
        self.written = 0
        self._records = self._library.RecordWriter(str(self.path))
        self._flushed = time.monotonic()
        self._write(file_version="brain.Event:2")
        self.written = 0  # that is in every file

    def scalar(self, tag: str, value: float, step: int) -> None:
        self._value(step, tag=tag, simple_value=value)

    def histogram(self, tag: str, values: np.ndarray[Any, Any], step: int) -> None:
        """In 30 buckets, as Keras's; ``values`` are finite, and there are some."""
        histogram = self._library.summary.make_histogram(values, bins=30)
        self._value(step, tag=tag, histo=histogram)

    def images(self, tag: str, images: Sequence[bytes], size: tuple[int, int], step: int) -> None:
        """PNG files of one size, ``(width, height)``, that stand under one tag."""
        proto = self._library.summary
        texts = [*(str(length).encode() for length in size), *images]
        shape = proto.TensorShapeProto(dim=[proto.TensorShapeProto.Dim(size=len(texts))])
        tensor = proto.TensorProto(dtype="DT_STRING", string_val=texts, tensor_shape=shape)
        plugin = proto.SummaryMetadata.PluginData(plugin_name="images")
        self._value(step, tag=tag, tensor=tensor, metadata=proto.SummaryMetadata(plugin_data=plugin))

    def graph(self, nodes: Sequence[tuple[str, str, Sequence[str]]]) -> None:
        """Nodes by their names, kinds and inputs."""
        graph = self._library.proto.graph_pb2.GraphDef()
        graph.versions.producer = 22
        for name, kind, inputs in nodes:
            graph.node.add(name=name, op=kind, input=inputs)
        self._write(graph_def=graph.SerializeToString())

    def flush(self, *, when_old: bool = False) -> None:
        if not when_old or time.monotonic() - self._flushed > _FLUSH_SECONDS:
            self._records.flush()
            self._flushed = time.monotonic()

    def close(self) -> None:
        self._records.close()

    def _value(self, step: int, **value: Any) -> None:
        # a record of its own for each value, so that cut_back can take out whole records
        summary = self._library.summary.Summary
        self._write(step=step, summary=summary(value=[summary.Value(**value)]))

    def _write(self, **event: Any) -> None:
        made = self._library.proto.event_pb2.Event(wall_time=time.time(), **event)
        self._records.write(made.SerializeToString())
        self.written += 1


class RunFiles:
    """The files of one run, in a folder each for training and its validations, and what its state says of them.

    What an evaluation alone writes is in files of its own, which no state tells of.

    Args:
        log_dir: the folder of the folders.

    Attributes:
        open: the open files, by what is written to them: ``train``, or the name of a validation.
        run_id: what the names of the run's files end with, so that a resumed run finds them; None before the first.
    """

    def __init__(self, log_dir: Path) -> None:
        self.log_dir = log_dir
        self.open: dict[str, EventFile] = {}
        self.forget()

    def forget(self) -> None:
        """A new run begins."""
        self.run_id: str | None = None
        self._written: dict[str, int] = {}
        """How much was written into each folder, the open files left out."""
        self._trains = False
        self._resumed_at: tuple[int, int] | None = None

    def begin(self, resumed_at: tuple[int, int] | None) -> None:
        """A run is set up; one that is resumed at so many epochs and steps goes on in its files."""
        self.open, self._trains = {}, False
        self._resumed_at = None if self.run_id is None else resumed_at

    def folder(self, name: str) -> Path:
        return self.log_dir / ("validation" if name == "val" else file_name(name))

    def file(self, name: str) -> EventFile:
        """The file of ``train`` or of a validation, opened when something is first written to it."""
        if name == "train" and not self._trains:
            self.close()  # what an evaluation before training wrote is no part of it
            self._trains = True
        if name not in self.open:
            run_id = os.urandom(4).hex()
            if self._trains:
                run_id = self.run_id = self.run_id or run_id
                if self._resumed_at is not None:
                    cut_back(self.log_dir, run_id, *self._resumed_at, self._written)
                    self._resumed_at = None
            self.open[name] = EventFile(self.folder(name), run_id)
        return self.open[name]

    def close(self) -> None:
        self._written = self._counted()
        files, self.open = self.open, {}
        with contextlib.ExitStack() as all_of_them:  # whatever one of them raises
            for file in files.values():
                all_of_them.callback(file.close)

    def state_dict(self) -> dict[str, Any]:
        for file in self.open.values():
            with contextlib.suppress(OSError):  # whoever writes the next value is told
                file.flush()  # so that what is counted is there
        return {"run_id": self.run_id, "written": self._counted()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.run_id, self._written = state["run_id"], dict(state["written"])

    def _counted(self) -> dict[str, int]:
        counts = dict(self._written)
        for file in self.open.values() if self._trains else ():
            folder = file.path.parent.name
            counts[folder] = counts.get(folder, 0) + file.written
        return counts


def cut_back(log_dir: Path, run_id: str, epochs: int, steps: int, written: Mapping[str, int]) -> None:
    """Take out of a run's files what it wrote after ``epochs`` finished epochs and ``steps`` steps.

    What was written at that very step may be of before or after the state: how much there was in each folder tells.

    TensorBoard's own way, an event that says from which step on to forget, does not serve: it means all tags, and here
    some count epochs and others steps.

    Args:
        log_dir: the folder of the folders.
        run_id: what the names of the files end with.
        epochs, steps: of the state.
        written: how many values and graphs each folder held then.
    """
    left = dict(written)
    parse = import_writer().proto.event_pb2.Event.FromString
    for path in sorted(log_dir.glob(f"*/events.out.tfevents.*.{run_id}")):
        records = list(_records(path.read_bytes()))
        kept = []
        for record in records:
            event = parse(record[12:-4])
            if not event.file_version:
                left[path.parent.name] = left.get(path.parent.name, 0) - 1
            if event.file_version or (left[path.parent.name] >= 0 and _is_before(event, epochs, steps)):
                kept.append(record)
        if len(kept) < len(records):
            write_atomically(path, functools.partial(Path.write_bytes, data=b"".join(kept)))


def _records(data: bytes) -> Iterator[bytes]:
    """The records of an event file with their frames: the length in 8 bytes, its check in 4, and 4 for that of the
    content. One that a crash cut short is left out."""
    at = 0
    while at + 12 <= len(data):
        end = at + 16 + int(struct.unpack_from("<Q", data, at)[0])
        if end > len(data):
            return
        yield data[at:end]
        at = end


def _is_before(event: Any, epochs: int, steps: int) -> bool:
    for value in event.summary.value:
        if value.HasField("simple_value") and not value.tag.startswith("epoch_"):
            return bool(event.step <= steps)
        return bool(event.step < epochs)
    return True


def file_name(name: str) -> str:
    """A name as that of a file or folder: what could lead elsewhere becomes ``_``."""
    return re.sub(r"[^\w.-]|^\.+", "_", name)
