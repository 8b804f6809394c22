"""The batches of one pass: the generator under ``run.train``, ``run.test`` and ``run.predict``.

It runs between any two batches of a user's loop, so it does in line what ``Batches.batch_begin`` and ``batch_end`` do
for adapters: a batch that nobody listens to costs it a few reads of slots, and no call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, Generic, TypeVar

from .driver import Driver
from .errors import LoopError
from .frames import Frame

T = TypeVar("T")

Running = Mapping[str, Any]
"""What is known of a pass that had begun before the run was resumed."""

_NOTHING: Final[list[Any]] = []
"""In place of a loader that is not asked for anything."""


def batches(
    driver: Driver,
    start: Callable[[], tuple[Frame, Running | None] | None],
    loader: Iterable[T],
    limit: int | None,
    over: Callable[[], None],
) -> Iterator[T]:
    """Yield what ``loader`` gives as the batches of a pass, with their events.

    Training ends where a stop or ``end_epoch`` was asked for, any pass where a pause was; one inside a training batch
    goes on to its end.

    Args:
        driver: of the run.
        start: opens the pass; None where nothing of it is to be done.
        loader: any iterable.
        limit: at most so many batches in all.
        over: called after the pass has ended.
    """
    started = start()
    if started is None:
        return
    frame, running = started
    progress, calls = driver.progress, frame.calls
    assert calls is not None
    trains, predicts, logs = frame.kind == "pass", frame.kind == "predict", frame.logs
    batch, steps = frame.batch, int(trains)
    sampler, look = driver.timings.samplers[frame.kind], frame.look
    try:
        # A pause cannot have been taken in what follows: that is done between passes. So nothing here asks for it.
        items = _items(driver, frame, loader, limit, running)
        for item in items:
            if progress.attention and progress.halt and trains and not driver.only_pauses:
                break  # asked for while the item was fetched; a pause waits for its end, since it is drawn
            frame.batch = progress.batch = batch = batch + 1
            frame.in_batch = True
            if (call := calls.begin) is not None:
                call(batch, logs)
                if progress.attention:
                    driver.signals.attend()
            yield item
            if not frame.is_top:
                come_back(driver, frame)
            frame.in_batch = False
            progress.step += steps
            if (call := calls.end) is not None:
                if predicts:
                    outputs, frame.outputs = frame.outputs, None
                    call(batch, logs, outputs)
                else:
                    call(batch, logs)
            if progress.attention:
                driver.signals.attend()
                if progress.halt and _is_over(driver, frame):
                    break
            if batch >= look:
                look = sampler.arm(frame)
        else:
            frame.over = frame.over or items is not _NOTHING
        driver.close(frame.kind)
        over()
    finally:
        frame.leave()


def _items(
    driver: Driver, frame: Frame, loader: Iterable[T], limit: int | None, running: Running | None
) -> Iterable[T]:
    """What the pass is to yield: nothing where it was over before, or where what ends it was asked for already."""
    # where it had begun, its loader is brought to the place in any case: its generators may serve others
    items = None if running is None else driver.place.enter(frame, loader, limit, running)
    if running is not None and running["over"]:
        frame.over = True
        return _NOTHING
    if driver.progress.halt and _is_over(driver, frame):
        return _NOTHING
    return driver.place.enter(frame, loader, limit, None) if items is None else items


def _is_over(driver: Driver, frame: Frame) -> bool:
    """Whether what was asked for ends this pass."""
    return frame.kind == "pass" or (not frame.is_nested and driver.progress.pause is not None)


def come_back(driver: Driver, frame: Frame) -> None:
    """A loop's next turn: what was left inside ``frame`` was a break, and ends.

    Raises:
        LoopError: ``frame`` itself was left, and is closed.
    """
    if frame not in driver.stack:
        verb = {"pass": "train", "epoch": "epochs"}.get(frame.kind, frame.kind)
        raise LoopError(
            f"this run.{verb}(...) was left, and the loop around it has gone on since; it cannot be continued"
        )
    driver.close_down(driver.stack.index(frame) + 1)


class Loop(Generic[T]):
    """What the verbs of a ``LoopRun`` give: iterate over it once, with ``for`` or anything that takes an iterable.

    Args:
        start: makes the generator.
        length: of the loop where it is known; reading it raises TypeError otherwise, as ``len`` of an iterator does.
    """

    def __init__(self, start: Callable[[], Iterator[T]], length: Callable[[], int]) -> None:
        self._start, self._length = start, length

    def __iter__(self) -> Iterator[T]:
        return self._start()

    def __len__(self) -> int:
        return self._length()


def length_of(loader: Iterable[Any], limit: int | None) -> int:
    """How many items that is.

    Raises:
        TypeError: the loader does not know.
    """
    length = len(loader)  # type: ignore[arg-type]
    return length if limit is None else min(length, limit)


def length_hint(loader: Iterable[Any], limit: int | None) -> int | None:
    """How many items that is, or None where the loader does not know."""
    try:
        return length_of(loader, limit)
    except Exception:  # whatever a loader's own __len__ raises: a length is a hint, and training needs none
        return None
