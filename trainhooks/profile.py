"""profile: where the time of a run goes, as a table."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from .errors import LoopError, duration
from .sampler import Sampler
from .timings import Timings


class Line(NamedTuple):
    """One line of a profile.

    Attributes:
        what: the listeners of one name, as ``"EarlyStopping.on_epoch_end"`` (two callbacks of one class share a line);
            a checkpoint, as ``"BackupAndRestore.save"``; or what lies between them: ``"training step"``, ``"training:
            waiting for data"``, and the same of validation and prediction.
        times: how often it was; of a listener, how often its event fired, whatever its filters let through.
        timed: how often it was timed. Where that is less, the other figures are estimates.
        seconds: in all.
    """

    what: str
    times: int
    timed: int
    seconds: float


class Profile(NamedTuple):
    """Where the time of a run went: ``print`` it to see the table.

    Attributes:
        seconds: how long the run took, or has taken so far.
        lines: what was timed, what took longest first.
    """

    seconds: float
    lines: tuple[Line, ...]

    @property
    def rest(self) -> float:
        """Seconds of the run that no line accounts for, at least 0: what compiles in the first batches, the first wait
        of each pass, the lines of the loop's owner between the passes, and the listeners that are not timed."""
        return max(0.0, self.seconds - sum(line.seconds for line in self.lines))

    def share(self, what: str) -> float:
        """The part of the run's time that ``what`` took, from 0 to 1; 0 where there is no such line."""
        return sum(line.seconds for line in self.lines if line.what == what) / self.seconds if self.seconds else 0.0

    def __str__(self) -> str:
        rows = [("", "times", "timed", "each", "in all", "share")]
        for line in self.lines:
            each = duration(line.seconds / line.times) if line.times else ""
            rows.append((line.what, str(line.times), str(line.timed), each, *self._of_all(line.seconds)))
        rows.append(("all else", "", "", "", *self._of_all(self.rest)))
        rows.append(("the run", "", "", "", *self._of_all(self.seconds)))
        first, *others = (max(map(len, column)) for column in zip(*rows, strict=True))
        return "\n".join(
            "  ".join([what.ljust(first), *map(str.rjust, texts, others)]).rstrip() for what, *texts in rows
        )

    def _of_all(self, seconds: float) -> tuple[str, str]:
        return duration(seconds), f"{seconds / self.seconds:.1%}" if self.seconds else ""


def profile(run: Any) -> Profile:
    """Where the time of a run has gone so far, or went::

        print(trainhooks.profile(run))

    Of batches one in 64 is timed, and the figures of these stand for all; with ``run.timings.every = 1`` before the run
    begins (in a callback's ``on_setup``, where ``fit`` makes the run) each is. The rarer events are timed each time,
    and each checkpoint, as ``BackupAndRestore.save``, with what it asks of others. ``"waiting for data"`` is what lies
    between two batches of a pass: the loader, and the trainer's own work there. Keras fetches data inside its step,
    which is told so; and it tells of batches only those who listen: where nobody does there are no lines about them.

    All is time of the host, in seconds. What a framework has only been told to do (JAX, CUDA) is charged to whoever
    waits for its result: to a step that reads its loss, or to the listener that reads a metric.

    Args:
        run: a ``Run``, as callbacks have it and ``fit`` returns it, a ``LoopRun``, or what an adapter gives, such as a
            wrapped Keras model or a bridge, which show their last ``fit``, ``evaluate`` or ``predict``.

    Raises:
        TypeError: it is none of these.
        LoopError: it has not run yet.
    """
    inner = getattr(run, "run", None)
    timings = getattr(run, "timings", None) or getattr(inner, "timings", None)
    if not isinstance(timings, Timings) and (inner is not None or not hasattr(run, "run")):
        said = f"profile({reprlib.repr(run)}): a run is needed, or what wraps one, as trainhooks.wrap(model) gives it"
        raise TypeError(said)
    if timings is None or not timings.has_begun:
        raise LoopError("profile(...): it has not run yet. Ask when it has, or in a callback.")
    return Profile(timings.seconds, tuple(sorted(_lines(timings), key=lambda line: -line.seconds)))


def _lines(timings: Timings) -> Iterator[Line]:
    samplers = {one.scope: one for one in timings.samplers.values()}
    sampled: dict[str, list[Line]] = {scope: _between(timings, one) for scope, one in samplers.items()}
    for (hook, who), spent in timings.spent.items():
        event = hook.removeprefix("on_")
        scope = "train_batch" if event == "optimizer_step" else event.rpartition("_")[0]
        if scope not in samplers:
            yield Line(who, spent.times, spent.times, spent.seconds)
        elif spent.times and samplers[scope].timed:
            of = samplers[scope]
            sampled[scope].append(_estimate(who, spent.seconds, spent.times, spent.times * of.batches / of.timed))
    for scope, lines in sampled.items():
        # a sample may have met the slower batches: all of them took no more than their passes did
        most, total = samplers[scope].lasted, sum(line.seconds for line in lines)
        share = most / total if total > most else 1.0
        yield from (line._replace(seconds=line.seconds * share) for line in lines)


def _between(timings: Timings, one: Sampler) -> list[Line]:
    """What lies between the listeners of a kind of batch."""
    run, lines = timings.bus.run, []
    is_apart = run is None or run.can("data_wait")
    if one.timed:
        what = one.step if is_apart else f"{one.step}, its data included"
        lines.append(_estimate(what, one.stepped, one.timed, one.batches))
    if one.waits and is_apart:
        what = f"{one.step.removesuffix(' step')}: waiting for data"
        lines.append(_estimate(what, one.waited, one.waits, one.batches - one.passes * one.timed / one.calls))
    return lines


def _estimate(what: str, seconds: float, timed: int, times: float) -> Line:
    """What so many took, for the number that there were."""
    return Line(what, round(times), timed, seconds * times / timed)
