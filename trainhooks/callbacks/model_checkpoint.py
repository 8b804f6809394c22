"""ModelCheckpoint: save the model's weights during training."""

from __future__ import annotations

import math
import os
import string
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .. import store
from ..callback import Callback
from ..checks import whole
from ..dispatch import Listener
from ..errors import missing_metric
from ..events import EVENTS, Event
from ..filters import every
from ._monitor import Mode, Monitor

if TYPE_CHECKING:
    from ..logs import Logs
    from ..run import Run

_SUFFIXES = (".safetensors",)


class ModelCheckpoint(Callback):
    """Save the weights at the end of epochs, or every so many steps; with ``save_best_only``, only better ones.

    The constructor is Keras's; the file's suffix says what is written, for now ``.safetensors``: the weights by name,
    readable without the framework. A file is written beside its target and renamed, so that a crash leaves the one
    before; then ``checkpoint`` is fired. The best is never overwritten by a worse one: a NaN is never a best, the best
    is kept over runs (as in Keras) and over a resume, and where the metric is missing nothing is saved (Keras saves).
    So with ``save_freq`` in steps it needs a metric that is there at a step's end, as ``loss`` is.

    Args:
        filepath: where to; ``{epoch}`` (from 1, as in Keras) and any metric can stand in it, as in
            ``"w-{epoch:02d}-{val_loss:.2f}.safetensors"``, and with a ``save_freq`` in steps ``{batch}`` (from 1).
        monitor: key of the metric that ``save_best_only`` looks at.
        verbose: 1 prints what it saves.
        save_best_only: save only what is better than the best so far.
        save_weights_only: accepted for Keras's sake; ``.safetensors`` holds weights alone.
        mode: ``"min"``, ``"max"``, or ``"auto"`` to tell from the metric's name.
        save_freq: ``"epoch"``, or a number of training steps, counted over the whole run.
        initial_value_threshold: a best to begin with.
        strict: a metric that is missing when it is due is an error; False warns, and nothing is saved.

    Attributes:
        best: the best value that was saved, or ``initial_value_threshold``.
        last_path: the file that was saved last, or None.

    Raises:
        ValueError: the suffix is not one that can be written, ``save_freq`` has no meaning, a field of ``filepath`` is
            no plain name or cannot be formatted so, or the threshold is NaN.
        MissingMetricError: (at a save) a field of ``filepath`` is no metric.
    """

    phase = "save"
    requires = {"weights"}
    ranks = "main"

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: Mode = "auto",
        save_freq: Literal["epoch"] | int = "epoch",
        initial_value_threshold: float | None = None,
        *,
        strict: bool = True,
    ) -> None:
        self.filepath = os.fspath(filepath)
        if not self.filepath.endswith(_SUFFIXES):
            raise ValueError(
                f"ModelCheckpoint(filepath={self.filepath!r}): its suffix says what to write. There is "
                f"{', '.join(map(repr, _SUFFIXES))} (weights, under every trainer)."
            )
        steps = None if save_freq == "epoch" else whole(save_freq)
        if save_freq != "epoch" and (steps is None or steps < 1):
            raise ValueError(f"ModelCheckpoint(save_freq={save_freq!r}): 'epoch', or a number of steps, at least 1")
        if initial_value_threshold is not None and math.isnan(initial_value_threshold):
            raise ValueError(f"ModelCheckpoint(initial_value_threshold={initial_value_threshold!r}): a number, or None")
        self._fields = _fields(self.filepath)
        if "batch" in self._fields and save_freq == "epoch":
            raise ValueError(
                f"ModelCheckpoint(filepath={self.filepath!r}): {{batch}} has a meaning only with save_freq=<steps>"
            )
        self._watch = Monitor("ModelCheckpoint", monitor, mode, strict=strict) if save_best_only else None
        if self._watch is not None:
            self._watch.reset(initial_value_threshold)
        self.monitor, self.verbose, self.save_best_only = monitor, verbose, save_best_only
        self.save_freq: Literal["epoch"] | int = "epoch" if steps is None else steps
        self.save_weights_only = save_weights_only
        self.last_path: Path | None = None

    @property
    def best(self) -> float | None:
        return self._watch.best if self._watch is not None else None

    def listeners(self, events: Mapping[str, Event] = EVENTS) -> Iterator[Listener]:
        dropped = "train_batch_end" if self.save_freq == "epoch" else "epoch_end"
        for one in super().listeners(events):
            if one.event.name == "train_batch_end" and isinstance(self.save_freq, int):
                due = (every(steps=self.save_freq),)
                yield Listener(
                    one.event, one.call, one.who, filters=due, phase=self.phase, on_error=self.on_error, owner=self
                )
            elif one.event.name != dropped:
                yield one

    def reset(self) -> None:
        if self._watch is not None:
            self._watch.reset(self._watch.best)  # that of the file which is there

    def on_epoch_end(self, run: Run, logs: Logs) -> None:
        self._consider(run, logs, "epoch")

    def on_train_batch_end(self, run: Run, logs: Logs) -> None:
        self._consider(run, logs, "step")

    def on_train_end(self, run: Run, logs: Logs) -> None:
        if self._watch is None:
            return
        if self.save_freq == "epoch":
            self._watch.finish(run, logs)
        else:
            self._watch.finish(run, logs, "no step ended with that metric, so nothing was saved")

    def state_dict(self) -> dict[str, Any]:
        state = {} if self._watch is None else self._watch.state_dict()
        return state | {"last_path": None if self.last_path is None else str(self.last_path)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if self._watch is None:
            fits = True
        elif fits := "best" in state:  # it was made with save_best_only
            fits = self._watch.load_state_dict(state)
        if fits:
            self.last_path = None if state["last_path"] is None else Path(state["last_path"])

    def _consider(self, run: Run, logs: Logs, now: str) -> None:
        if self._watch is None:
            self._write(run, logs)
            return
        value = self._watch.read(run, logs, now)
        if value is not None and self._watch.is_better(value, self._watch.best):
            self._write(run, logs, value)

    def _write(self, run: Run, logs: Logs, value: float | None = None) -> None:
        path = Path(self._path(run, logs))
        told = {"framework": run.framework, "epoch": str(run.epoch), "step": str(run.step)}
        store.save_arrays(path, run.get_weights(), told)
        self.last_path = path
        if self._watch is not None:
            self._watch.best = value  # once the file is there: a write that failed is no best
        if self.verbose:
            print(f"Epoch {run.epoch + 1}: saving weights to {path}")
        run.emit("checkpoint", path=path, logs=logs)

    def _path(self, run: Run, logs: Logs) -> str:
        values: dict[str, Any] = {}
        for name in self._fields:
            if name in ("epoch", "batch"):
                values[name] = (run.epoch if name == "epoch" else run.batch) + 1
            elif name in logs:
                values[name] = logs[name]
            else:
                counts = ["epoch"] if self.save_freq == "epoch" else ["epoch", "batch"]
                raise missing_metric(f"ModelCheckpoint(filepath={self.filepath!r})", name, [*counts, *logs])
        return _Plain().vformat(self.filepath, (), values)


class _Plain(string.Formatter):
    """Formats plain keys only: a template must not reach into objects."""

    def get_field(self, field_name: str, args: Any, kwargs: Any) -> Any:
        return kwargs[field_name], field_name


def _fields(template: str) -> list[str]:
    """The names in the braces of a template."""
    who = f"ModelCheckpoint(filepath={template!r})"
    try:
        fields = [
            (name, spec or "", as_) for _, name, spec, as_ in string.Formatter().parse(template) if name is not None
        ]
    except ValueError as error:
        raise ValueError(f"{who}: {error}") from None
    for name, spec, conversion in fields:
        if not name or any(sign in name for sign in ".[]!") or name.isdigit():
            raise ValueError(
                f"{who}: {{{name}}} is no plain name. There are {{epoch}}, {{batch}} and the names of metrics."
            )
        if "{" in spec:
            raise ValueError(f"{who}: the format of {{{name}}} holds a field of its own. Write the format out.")
        try:  # now, and not at the end of an epoch
            number: Any = _Plain().convert_field(1 if name in ("epoch", "batch") else 1.0, conversion)
            format(number, spec)
        except ValueError as error:
            field = name + (f"!{conversion}" if conversion else "") + (f":{spec}" if spec else "")
            raise ValueError(f"{who}: {{{field}}} cannot be formatted: {error}") from None
    return [name for name, _, _ in fields]
