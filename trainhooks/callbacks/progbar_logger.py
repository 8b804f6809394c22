"""ProgbarLogger: a bar an epoch in a terminal or notebook, and a line an epoch everywhere else."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, TextIO

from ..callback import Callback
from ..dispatch import Listener
from ..events import EVENTS, Event
from ..filters import every

if TYPE_CHECKING:
    from ..run import Run


class ProgbarLogger(Callback):
    """Show how training goes.

    In a terminal or a notebook each epoch has a bar with its running means, refreshed ten times a second at most: to
    read a metric may wait for the device. At the epoch's end a line takes the bar's place, with the epoch's metrics and
    those of its validation::

        Epoch 3/50 - loss: 0.1234 - val_loss: 0.2345

    Elsewhere (a file, a pipe) there are these lines only, and the batch events are not listened to, so that training
    pays nothing for it. Epochs count from 1 here, as Keras prints them. A stop and an evaluation alone get a line each;
    a prediction gets none.

    Args:
        file: where to write; by default what ``sys.stderr`` is at the time, as with tqdm: progress is not a program's
            output.

    Unlike Keras's, it keeps the line and not the bar of an epoch that ended, because a terminal cuts a bar to its width
    and would lose metrics; it writes no bars into a file; and after an exception or a pause the bar stays where it was,
    with what follows below it. Where ``file`` cannot be written, a warning says so once, and training goes on.
    """

    phase = "report"
    on_error = "warn"
    ranks = "main"

    def __init__(self, file: TextIO | None = None) -> None:
        self.file = file
        self._bar: Any = None
        self._has_batches = False
        self._in_epoch = False
        self._step: int | None = None
        """The count of steps at which the epoch began."""

    def listeners(self, events: Mapping[str, Event] = EVENTS) -> Iterator[Listener]:
        self._has_batches = _is_interactive(self._stream)
        for listener in super().listeners(events):
            if self._has_batches or "_batch_" not in listener.event.name:
                yield listener

    def on_epoch_begin(self, run: Run, epoch: int) -> None:
        self._in_epoch = True
        if self._step is None or not run.begins_again:
            self._step = run.step
        stream = self._stream
        if self._has_batches and _is_interactive(stream):
            from tqdm.auto import tqdm  # here, so that `import trainhooks` does not load it

            self._bar = tqdm(
                desc=_title(run, epoch),
                total=run.steps_per_epoch,
                initial=run.step - self._step,  # what a resumed epoch has behind it
                file=stream,
                unit="step",
                mininterval=0,  # the filter below sees to it that it is not refreshed too often
                miniters=1,
                dynamic_ncols=True,
                leave=False,
            )

    @every(seconds=0.1)
    def on_train_batch_end(self, run: Run, batch: int, logs: Mapping[str, Any]) -> None:
        bar = self._bar
        if bar is None:
            return
        if bar.total != run.steps_per_epoch:  # known, in the first epoch, only once its batches run
            start, initial, bar.initial = bar.start_t, bar.initial, 0
            bar.reset(total=run.steps_per_epoch)
            bar.start_t = bar.last_print_t = start  # what the rate is computed from
            bar.initial = bar.n = bar.last_print_n = initial
        bar.set_postfix_str(_metrics(logs), refresh=False)
        bar.update(batch + 1 - bar.n)

    def on_epoch_end(self, run: Run, epoch: int, logs: Mapping[str, Any]) -> None:
        self._close(leave=False)
        self._in_epoch = False
        self._say(" - ".join(filter(None, [_title(run, epoch), _metrics(logs)])))

    def on_test_end(self, logs: Mapping[str, Any]) -> None:
        if not self._in_epoch:  # an evaluation alone; an epoch's own is told at the epoch's end
            self._say(" - ".join(filter(None, ["Evaluation", _metrics(logs)])))

    def on_stop(self, reason: str, source: str | None) -> None:
        by = f" (asked for by {source})" if source else ""
        self._say(f"Stop: {' '.join(reason.split())}{by}")

    def on_teardown(self) -> None:
        self._close(leave=True)
        self._in_epoch = False

    def reset(self) -> None:
        self._step = None

    def state_dict(self) -> dict[str, Any]:
        return {"step": self._step}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._step = state["step"]

    @property
    def _stream(self) -> TextIO | None:
        return sys.stderr if self.file is None else self.file

    def _say(self, line: str) -> None:
        stream = self._stream
        if self._bar is not None:
            self._bar.write(line, file=stream)  # above the bar
        elif stream is not None:  # a program without a console has none
            print(line, file=stream, flush=True)

    def _close(self, *, leave: bool) -> None:
        bar, self._bar = self._bar, None
        if bar is not None:
            bar.leave = leave
            bar.close()


def _is_interactive(stream: TextIO | None) -> bool:
    """Whether somebody looks at it while it is written: a terminal, or a notebook, whose stream is ipykernel's."""
    if type(stream).__module__.partition(".")[0] == "ipykernel":
        return True
    isatty = getattr(stream, "isatty", None)
    return isatty is not None and bool(isatty())


def _title(run: Run, epoch: int) -> str:
    return f"Epoch {epoch + 1}" + ("" if run.max_epochs is None else f"/{run.max_epochs}")


def _metrics(logs: Mapping[str, Any]) -> str:
    """``loss: 0.1234 - val_loss: 0.2345``."""
    return " - ".join(f"{name}: {_short(logs[name])}" for name in logs)


def _short(value: Any) -> str:
    try:
        return f"{value:.4g}"
    except (TypeError, ValueError):  # an array, a text
        return " ".join(str(value).split())
