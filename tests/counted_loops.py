"""Loops whose batches are counted, what listens to them, and what stands for the values that they log."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Final

import numpy
from counting import bytecodes

from trainhooks import MLP, Callback, Driver, LoopRun

WARM: Final = 64
"""Batches that do not count: there what listens is compiled."""
BATCHES: Final = 640


class Plain(Callback):
    """What four of its subclasses listen to: a loop over callbacks of one class would be faster than one is."""

    def on_train_batch_begin(self, batch: int, logs: Any) -> None: ...

    def on_train_batch_end(self, batch: int, logs: Any) -> None: ...

    def on_optimizer_step(self, optimizer_step: int) -> None: ...


def plain(count: int) -> list[Callback]:
    return [type(f"Plain{number}", (Plain,), {})() for number in range(count)]


class OnHost:
    """To a mean it is a tensor on the host."""

    is_cpu = True

    def detach(self) -> OnHost:
        raise AssertionError("it costs more than to read the value")

    def item(self) -> float:
        return 0.5


class Computed:
    """To a mean it is an array that is computed while the host runs on; each metric has 1,024 before one is read."""

    size, shape = 1, ()
    dtype = numpy.dtype("float32")

    def block_until_ready(self) -> None:
        raise AssertionError("the host waits")

    def __float__(self) -> float:
        raise AssertionError("it is read too early, or in another way than by item()")

    def item(self) -> float:
        return 0.5


def ticking() -> Callable[[], float]:
    """A clock by which everything takes equally long."""
    return (tick * 1e-9 for tick in itertools.count()).__next__


def loop(
    counted: Callable[[str], AbstractContextManager[Any]],
    callbacks: Iterable[Callback] = (),
    metrics: Mapping[str, Any] | None = None,
    verb: str = "train",
    batches: int = BATCHES,
) -> Any:
    """The turns of a loop that logs ``metrics``."""
    with LoopRun(MLP((2, 1)), callbacks, plugins="none") as run:
        if counted is bytecodes:
            run.timings.clock = ticking()
        for _epoch in run.epochs(1):
            with counted("passes.batches") as turns:
                for _batch in getattr(run, verb)(range(WARM + batches)):
                    if metrics:
                        run.log(**metrics)
    return turns[WARM : WARM + batches]


def driven(counted: Callable[[str], AbstractContextManager[Any]], callbacks: Iterable[Callback] = ()) -> Any:
    """The same of what an adapter does."""
    driver = Driver(MLP((2, 1)), callbacks, plugins="none")
    if counted is bytecodes:
        driver.timings.clock = ticking()
    driver.setup()
    for scope in ("train", "epoch", "pass"):
        driver.open(scope)  # type: ignore[arg-type]
    with counted("batches.batch_begin") as turns:
        for batch in range(WARM + BATCHES):
            driver.batch_begin(batch)
            driver.optimizer_stepped()
            driver.batch_end()
    driver.teardown()
    return turns[WARM : WARM + BATCHES - 1]  # not the last: what ends the counting is called in it
