"""Loops that are run in tests, and the outlines that such a run leaves."""

from __future__ import annotations

from collections.abc import Callable

from trainhooks import Callback, LoopRun, Run
from trainhooks.testing import Trace, batches

Loop = Callable[[LoopRun], object]
Errors = type[BaseException] | tuple[type[BaseException], ...]


def tell(loop: Loop, *callbacks: Callback, raises: Errors = ()) -> str:
    """The outline of a run whose loop is ``loop``; what it ``raises`` is part of the outline, and dropped here."""
    trace = Trace()
    try:
        with LoopRun(callbacks=[*callbacks, trace]) as run:
            loop(run)
    except raises:
        assert " exception(" in trace.outline()
    trace.check_grammar()
    return trace.outline()


# A loop of every verb

TEST = "test[ batch0[] batch1[] ]"
EPOCH0 = f"epoch0[ batch0[] batch1[] {TEST} ]"
EPOCH1 = f"epoch1[ batch0[] batch1[] {TEST} ]"
BOTH = f"setup train[ {EPOCH0} {EPOCH1} ]"


def everything(run: LoopRun) -> None:
    """Two epochs of two batches and a validation of two, then a prediction: ``BOTH`` and what follows it."""
    for _epoch in run.epochs(2):
        for batch in run.train(batches(2)):
            run.log(loss=batch)
        for batch in run.test(batches(2)):
            run.log(loss=batch)
    for batch in run.predict(batches(1)):
        run.log(outputs=batch)


def tell_everything(*callbacks: Callback) -> tuple[str, str | None]:
    """The outline of a run over ``everything``, and its outcome."""
    ended: list[LoopRun] = []

    def loop(run: LoopRun) -> None:
        ended.append(run)
        everything(run)

    return tell(loop, *callbacks), ended[0].outcome


class Saver(Callback):
    """Shows in an outline where a checkpoint is taken."""

    def save(self, run: Run) -> None:
        run.emit("checkpoint", path=f"step{run.step}", logs=run.logs)
