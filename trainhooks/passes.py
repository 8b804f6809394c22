"""The batches of one pass: the generator under ``run.train``, ``run.test`` and ``run.predict``.

It runs between any two batches of a user's loop, so it does in line what ``Scopes.batch_begin`` and ``batch_end`` do
for adapters: a batch that nobody listens to costs it a few reads of slots, and no call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Generic, TypeVar

from .driver import Driver
from .errors import LoopError
from .frames import BATCH_EVENTS, Frame

T = TypeVar("T")


def batches(
    driver: Driver, frame: Frame, loader: Iterable[T], limit: int | None, running: Mapping[str, Any] | None = None
) -> Iterator[T]:
    """Yield what ``loader`` gives as the batches of ``frame``, with their events.

    Training ends where a stop or ``end_epoch`` was asked for, any pass where a pause was; one inside a training batch
    goes on to its end.

    Args:
        driver: of the run.
        frame: of the pass, just opened.
        loader: any iterable.
        limit: at most so many batches in all.
        running: what is known of the pass, where it had begun before the run was resumed.
    """
    progress, signals, stack, calls = driver.progress, driver.signals, driver.stack, driver.bus.calls
    begin, end = BATCH_EVENTS[frame.kind]
    trains, pauses, logs = frame.kind == "pass", not frame.is_nested, frame.logs
    batch = frame.batch
    # where it had begun, its loader is brought to the place in any case: its generators may serve others
    items = None if running is None else driver.place.enter(frame, loader, limit, running)
    if running is not None and running["over"]:
        frame.over = True
        return
    if progress.halt and (trains or (pauses and progress.pause is not None)):
        return
    for item in driver.place.enter(frame, loader, limit, None) if items is None else items:
        if progress.halt and trains and not driver.only_pauses:
            break  # asked for while the item was fetched; a pause waits for its end, since it is drawn
        frame.batch = progress.batch = batch = batch + 1
        frame.in_batch = True
        if (call := calls[begin]) is not None and not signals.muted:
            call(batch, logs)
        if progress.attention:
            signals.attend()
        yield item
        if not stack or stack[-1] is not frame:
            come_back(driver, frame)
        if not trains:
            driver.batch_end()
        else:
            frame.in_batch = False
            if not signals.muted:
                progress.step += 1
                if (call := calls[end]) is not None:
                    call(batch, logs)
                if progress.attention:
                    signals.attend()
        if progress.halt and (trains or (pauses and progress.pause is not None)):
            break
    else:
        frame.over = True


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
