"""TensorBoard: metrics, weights, the graph, a profile and embeddings, for TensorBoard to show."""

from __future__ import annotations

import contextlib
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..callback import Callback
from ..checks import count, path_of, whole
from ..dispatch import Listener
from ..events import EVENTS, Event
from ..filters import Filter, every, once
from ._tensorboard_files import EventFile, RunFiles, import_writer
from ._tensorboard_projector import Metadata, metadata_files, write_tables
from ._tensorboard_weights import write_weights

if TYPE_CHECKING:
    from ..run import Run


class TensorBoard(Callback):
    """Write metrics, weights, the graph, a profile and embeddings for TensorBoard, under every trainer.

    The constructor is Keras's, and so are folders, tags and steps; it needs neither TensorFlow nor TensorBoard to
    write: ``pip install 'trainhooks[tensorboard]'``. To look at it, ``tensorboard --logdir logs``::

        callbacks = [TensorBoard("logs/first", histogram_freq=1), TensorBoard("logs/fine", update_freq=100)]

    ================================= ========== ============== ====================================================
    tag                               folder     step           when
    ================================= ========== ============== ====================================================
    epoch_<metric>                    train      epoch, from 0  an epoch ends
    epoch_<metric>                    validation epoch, from 0  an epoch ends in which it validated
    epoch_learning_rate               train      epoch, from 0  an epoch ends; with /0, /1 for each of several groups
    epoch_steps_per_second            train      epoch, from 0  with write_steps_per_second
    evaluation_<metric>_vs_iterations validation finished steps a validation ends
    batch_<metric>                    train      finished steps with an update_freq in steps
    batch_steps_per_second            train      finished steps with both
    <layer>/<weight>/histogram        train      epoch, from 0  with histogram_freq
    <layer>/<weight>/image            train      epoch, from 0  with histogram_freq and write_images
    ================================= ========== ============== ====================================================

    A validation of another name than ``val``, as ``run.test(loader, name="heldout")``, has a folder of that name. The
    metrics of batches are the running means of their epoch, as Keras's. Values are kept in float32.

    Args:
        log_dir: the folder; what is in it stays, and a new run goes on beside it.
        histogram_freq: epochs between two histograms of the weights, from the first on; 0 for none.
        write_graph: write the model as a graph when training begins. It is left out, without a word, where the trainer
            has none to show, as a loop without a model; where the model cannot be read, a warning says why.
        write_images: show weights as images as well, at most three of each, whenever there are histograms.
        write_steps_per_second: write how many training steps were made in a second.
        update_freq: ``"epoch"``, ``"batch"``, or a number of steps after which metrics are written within an epoch too.
        profile_batch: the batch to profile, counted from 1 over the run, or a pair ``(first, last)``; 0 for none. The
            framework's own profiler writes into ``train/plugins/profile``.
        embeddings_freq: epochs between two writings of the embedding layers' tables, of which the last one stays; 0
            for none.
        embeddings_metadata: the file that names the rows of a table, or a file for each layer by its name; looked for
            in ``log_dir`` first. It is copied, for the projector reads no file elsewhere.

    A resumed run goes on at its steps, and what it wrote after the state was saved is taken out of its files: each step
    stands there once. Files are closed at the run's end, however it ends.

    What differs from Keras's, where that was a fault or not to be had:

    - With an ``update_freq`` in steps Keras drops what an epoch and a validation end with, save where their steps
      happen to be a multiple of it. Here it is written.
    - Steps are the run's: 0 for an evaluation alone, and counted anew in a second ``fit``. Keras goes on with its
      optimizer's count.
    - Images are scaled, so that the lowest weight is black and the highest white; Keras cuts them off at 0 and 1.
    - The graph is that of layers, for TensorBoard's graph page; Keras writes a configuration beside it.
    - An embedding's table is in a text file and not in a checkpoint.
    - Keras leaves its files open after an exception, and after an evaluation.

    Raises:
        TypeError: what is to be a path is none.
        ValueError: an argument that has no meaning; (when a run begins) there is no embedding layer, or none of a name
            in ``embeddings_metadata``, or no file of its.
        FrameworkNotInstalledError: (when a run begins) tensorboardX is not installed.
        CapabilityError: (when attached) the trainer has no weights, embeddings or profiler, and they are asked for.
    """

    phase = "report"
    on_error = "warn"
    ranks = "main"

    def __init__(
        self,
        log_dir: str | os.PathLike[str] = "logs",
        histogram_freq: int = 0,
        write_graph: bool = True,
        write_images: bool = False,
        write_steps_per_second: bool = False,
        update_freq: Literal["epoch", "batch"] | int = "epoch",
        profile_batch: int | tuple[int, int] = 0,
        embeddings_freq: int = 0,
        embeddings_metadata: Metadata = None,
    ) -> None:
        self.log_dir = path_of(log_dir, "TensorBoard", "log_dir", "folder")
        self.histogram_freq = count(histogram_freq, f"TensorBoard(histogram_freq={histogram_freq!r})")
        self.embeddings_freq = count(embeddings_freq, f"TensorBoard(embeddings_freq={embeddings_freq!r})")
        self.write_graph, self.write_images = write_graph, write_images
        self.write_steps_per_second = write_steps_per_second
        steps = None if update_freq == "epoch" else 1 if update_freq == "batch" else whole(update_freq)
        if update_freq != "epoch" and (steps is None or steps < 1):
            raise ValueError(
                f"TensorBoard(update_freq={update_freq!r}): 'epoch', 'batch', or a number of steps, at least 1"
            )
        self.update_freq: Literal["epoch"] | int = "epoch" if steps is None else steps
        self.profile_batch = _batches(profile_batch)
        self.embeddings_metadata = _metadata(embeddings_metadata)
        asked = {"weights": self.histogram_freq, "embeddings": self.embeddings_freq, "profile": self.profile_batch}
        self.requires = frozenset(need for need, wanted in asked.items() if wanted)
        self._files = RunFiles(Path(self.log_dir))
        self._forget()

    def _forget(self) -> None:
        self._end_profile: Callable[[], None] | None = None
        self._metadata: dict[str, Path] = {}
        self._epoch_began = (0, 0.0)
        self._batch_began = 0.0
        self._told: set[str] = set()

    def listeners(self, events: Mapping[str, Event] = EVENTS) -> Iterator[Listener]:
        in_steps = isinstance(self.update_freq, int)
        unneeded = {"on_epoch_begin"} if not self.write_steps_per_second else set()
        unneeded |= {"on_train_batch_end"} if not in_steps else set()
        unneeded |= {"on_train_batch_begin"} if not (in_steps and self.write_steps_per_second) else set()
        for one in super().listeners(events):
            if one.event.hook == "on_setup":  # a setting that does not fit is told before anything is trained
                yield self._listener(one.event, self.on_setup, on_error="raise")
            elif one.event.hook == "on_train_batch_end" and isinstance(self.update_freq, int):
                yield self._listener(one.event, self.on_train_batch_end, every(steps=self.update_freq))
            elif one.event.hook not in unneeded:
                yield one
        if self.profile_batch is not None:
            first, last = self.profile_batch
            yield self._listener(events["train_batch_begin"], self._begin_profile, once(step=first - 1))
            yield self._listener(events["train_batch_end"], self._stop_profile, once(step=last))

    def _listener(self, event: Event, call: Callable[..., Any], *filters: Filter, on_error: Any = "warn") -> Listener:
        who = f"{type(self).__name__}.{event.hook}"
        return Listener(event, call, who, filters=filters, phase=self.phase, on_error=on_error, owner=self)

    def reset(self) -> None:
        self._files.forget()

    def state_dict(self) -> dict[str, Any]:
        return self._files.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._files.load_state_dict(state)

    # The run

    def on_setup(self, run: Run) -> None:
        import_writer()
        self._forget()
        self._files.begin((run.epochs_done, run.step) if run.resumed else None)
        if self.embeddings_freq:
            layers = list(run.trainable.embeddings())
            if not layers:
                raise ValueError(
                    f"TensorBoard(embeddings_freq={self.embeddings_freq}): the model has no embedding layer. "
                    "Leave embeddings_freq out."
                )
            self._metadata = metadata_files(self.embeddings_metadata, layers, Path(self.log_dir))

    def on_train_begin(self, run: Run) -> None:
        is_new = self._files.run_id is None
        file = self._files.file("train")
        if self.write_graph and is_new and run.can("graph"):
            try:
                nodes = run.trainable.graph()
            except Exception as error:  # whatever a user's own model raises: a picture of it is worth no run
                warnings.warn(f"TensorBoard: no graph of the model was written: {error}", RuntimeWarning, stacklevel=2)
            else:
                file.graph(nodes)
        file.flush()

    def on_epoch_begin(self, run: Run) -> None:
        self._epoch_began = (run.step, time.perf_counter())

    def on_train_batch_begin(self) -> None:
        self._batch_began = time.perf_counter()

    def on_train_batch_end(self, run: Run, logs: Mapping[str, Any]) -> None:
        file = self._files.file("train")
        if self.write_steps_per_second:
            file.scalar("batch_steps_per_second", _rate(1, self._batch_began), run.step)
        for name in logs:
            self._scalar(file, f"batch_{name}", logs[name], run.step)
        file.flush(when_old=True)

    def on_test_end(self, run: Run, logs: Mapping[str, Any]) -> None:
        if not logs:
            return
        file = self._files.file(run.validation or "val")
        for name in logs:
            self._scalar(file, f"evaluation_{name}_vs_iterations", logs[name], run.step)
        file.flush()

    def on_epoch_end(self, run: Run, epoch: int, logs: Mapping[str, Any]) -> None:
        self._write_metrics(run, epoch, logs)
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            weights, file = run.get_weights(), self._files.file("train")
            write_weights(file, weights, epoch, with_images=self.write_images, framework=run.framework)
        if self.embeddings_freq and epoch % self.embeddings_freq == 0:
            write_tables(self._files.folder("train"), run.trainable.embeddings(), self._metadata)
        for file in self._files.open.values():
            file.flush()

    def on_train_end(self) -> None:
        self._stop_profile()

    def on_teardown(self) -> None:
        with contextlib.ExitStack() as both:  # whatever one of them raises
            both.callback(self._files.close)
            both.callback(self._stop_profile)

    # What it writes

    def _scalar(self, file: EventFile, tag: str, value: Any, step: int) -> None:
        try:
            if isinstance(value, str):
                raise TypeError("a text")
            number = float(value)
        except (TypeError, ValueError):
            if tag not in self._told:
                self._told.add(tag)
                what = f"TensorBoard: {tag} is left out: {type(value).__name__} is not one number"
                warnings.warn(what, RuntimeWarning, stacklevel=2)
        else:
            file.scalar(tag, number, step)

    def _write_metrics(self, run: Run, epoch: int, logs: Mapping[str, Any]) -> None:
        if not logs:
            return
        validations = sorted(run.validations, key=len, reverse=True)  # val_2_loss is of val_2, not of val
        values: dict[tuple[str, str], Any] = {}
        for name in logs:
            of = next((one for one in validations if name.startswith(f"{one}_")), None)
            values[("train", name) if of is None else (of, name[len(of) + 1 :])] = logs[name]
        if run.can("read_lr"):
            lrs = run.lrs
            values["train", "learning_rate"] = lrs[0]
            values |= {("train", f"learning_rate/{group}"): lr for group, lr in enumerate(lrs) if len(lrs) > 1}
        if self.write_steps_per_second:
            steps, began = self._epoch_began
            values["train", "steps_per_second"] = _rate(run.step - steps, began)  # of a resumed epoch, what was left
        for (where, name), value in values.items():
            self._scalar(self._files.file(where), f"epoch_{name}", value, epoch)

    def _begin_profile(self, run: Run) -> None:
        assert self.profile_batch is not None
        if run.step < self.profile_batch[1]:  # a resumed run may be beyond it
            self._end_profile = run.trainable.profile(self._files.folder("train"))

    def _stop_profile(self) -> None:
        end, self._end_profile = self._end_profile, None
        if end is not None:
            end()


def _rate(steps: int, began: float) -> float:
    """Steps in a second; a clock that has not moved since counts as the shortest time that it tells."""
    return steps / max(time.perf_counter() - began, 1e-9)


def _metadata(given: Metadata) -> Metadata:
    if given is not None:
        for one in given.values() if isinstance(given, Mapping) else [given]:
            path_of(one, "TensorBoard", "embeddings_metadata")
    return given


def _batches(given: Any) -> tuple[int, int] | None:
    """The first and the last batch to profile, from 1; None for none."""
    pair = given if isinstance(given, (tuple, list)) else (given, given)
    numbers = [whole(one) for one in pair]
    if numbers == [0, 0]:
        return None
    if len(numbers) == 2 and numbers[0] is not None and numbers[1] is not None and 1 <= numbers[0] <= numbers[1]:
        return numbers[0], numbers[1]
    raise ValueError(
        f"TensorBoard(profile_batch={given!r}): a batch counted from 1, a pair (first, last) of them, or 0 for none"
    )
