"""Rules of an adapter: every way in which a run can end."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from ..progress import StopKind
from ..run import Run
from .adapter_rules_tools import FIRED, HISTORY, Factory, Rules, Seen, differ, firing, first_of, reference, see
from .bench import LEAVE, Bench, Epoch
from .doubles import Do, RaiseAt, StopAt

STOPS = Rules("stops")
EXCEPTIONS = Rules("exceptions")

_KINDS: tuple[StopKind, ...] = ("decision", "pause")
_BEFORE_BATCHES = ("setup", "train_begin", "epoch_begin")
"""Where a trainer that looks for a stop after batches alone is told too late for the next one."""


def _stops(factory: Factory, kind: StopKind) -> str | None:
    bench = factory()
    for event in FIRED:
        if event == "stop":
            continue
        seen, expected = (
            see(bench, HISTORY, StopAt(event, kind=kind)),
            reference(bench, HISTORY, StopAt(event, kind=kind)),
        )
        what = f"a stop of kind {kind!r} asked for in {event}"
        late = bench.looks_after_batches and kind != "pause" and event in _BEFORE_BATCHES
        if late and seen.outline != expected.outline:
            later = reference(bench, HISTORY, StopAt("train_batch_end", kind=kind))
            found = differ(f"{what}, the word 'stop' left out", later.of(stop=False), seen.of(stop=False))
            names = seen.trace.names
            told = names[names.index("stop") - 1] if "stop" in names else None
            found = found or differ(f"{what}: stop was told after", event, told)
        else:
            found = differ(what, expected.outline, seen.outline)
        if found := found or differ(f"{what}: how the run ended", expected.outcome, seen.outcome):
            return found
    return None


@STOPS.add(
    "decision-stops", "After a decision to stop no batch begins; the epoch's validation runs, and all ends fire."
)
def _decision_stops(factory: Factory) -> str | None:
    return _stops(factory, "decision")


@STOPS.add("fault-stops", "After a fault no batch begins; the epoch's validation runs, and all ends fire.")
def _fault_stops(factory: Factory) -> str | None:
    return _stops(factory, "fault")


@STOPS.add("pause-stops", "After a pause nothing fires from the next batch's boundary on but teardown.")
def _pause_stops(factory: Factory) -> str | None:
    return _stops(factory, "pause")


@STOPS.add("stop-in-turn", "A stop that is asked for in the last epoch, or at the last moment, does the same.")
def _stop_in_turn(factory: Factory) -> str | None:
    bench = factory()
    last = 2 * bench.batches - 1
    for event, nth in (
        ("train_batch_begin", last),
        ("train_batch_end", bench.batches),
        ("test_end", 1),
        ("epoch_end", 1),
    ):
        for kind in _KINDS:
            asked: Any = StopAt(event, nth, kind=kind), StopAt(event, nth, kind=kind)
            expected, seen = reference(bench, HISTORY, asked[0]), see(bench, HISTORY, asked[1])
            what = f"a stop of kind {kind!r} asked for in {firing(event, nth)}"
            found = differ(what, expected.outline, seen.outline)
            if found := found or differ(f"{what}: how the run ended", expected.outcome, seen.outcome):
                return found
    return None


@STOPS.add("stop-reason", "A stop keeps its reason, its kind and who asked; the event stop tells the first two.")
def _stop_reason(factory: Factory) -> str | None:
    seen = see(factory(), HISTORY, StopAt("epoch_end", reason="enough"))
    told = [tuple(arguments.values()) for name, arguments in seen.trace.events if name == "stop"]
    run = seen.run
    kept = run and (run.stop_reason, run.stop_kind, run.stop_source, run.should_stop)
    return first_of(
        differ("(reason, source) of the event stop", [("enough", "StopAt")], told),
        differ("(reason, kind, source, should_stop) of the run", ("enough", "decision", "StopAt", True), kept),
    )


@STOPS.add("stop-ends", "A stop ends its own run: the next one on the same model trains all its epochs.")
def _stop_ends(factory: Factory) -> str | None:
    bench = factory()
    for kind in _KINDS:
        see(bench, HISTORY, StopAt("train_batch_end", kind=kind))
        if found := differ(
            f"the run after one with a stop of kind {kind!r}", reference(bench).outline, see(bench).outline
        ):
            return found
    if _stopped_itself(bench) is None:
        return None
    return differ("the run after one that the trainer stopped itself", reference(bench).outline, see(bench).outline)


@STOPS.add(
    "own-stop", "A stop of the trainer's own ends the run as stopped, and is told with the trainer as its source."
)
def _own_stop(factory: Factory) -> str | None:
    seen = _stopped_itself(factory())
    if seen is None or seen.run is None:
        return None
    told = [tuple(arguments.values()) for name, arguments in seen.trace.events if name == "stop"]
    run, what = seen.run, "a run whose trainer was stopped by its own means, in the first batch of two epochs"
    if found := differ(
        f"{what}: how it ended, and after how many epochs", ("stopped", 1), (seen.outcome, run.epochs_done)
    ):
        return found
    if len(told) != 1 or not all(isinstance(one, str) and one for one in told[0]):
        return (
            f"{what}: (reason, source) of the event stop came as {told}: "
            "driver.run.stop('the trainer stopped', source='its name'), then driver.attend()"
        )
    return differ(f"{what}: (kind, should_stop)", ("decision", True), (run.stop_kind, run.should_stop))


def _stopped_itself(bench: Bench) -> Seen | None:
    """A run whose trainer is asked to stop by its own means in its first batch; None where that is not tried."""
    tried = False

    def ask(run: Run) -> None:
        nonlocal tried
        with contextlib.suppress(NotImplementedError):
            bench.stop_itself()
            tried = True

    seen = see(bench, HISTORY, Do("train_batch_end", ask))
    return seen if tried else None


@STOPS.add("break-ends", "A loop that is left by break ends its batch and its epoch, and goes on with the next.")
def _break_ends(factory: Factory) -> str | None:
    bench = factory()
    if not bench.owns_loop:
        return None
    history: list[Epoch] = [LEAVE, {"loss": 2.0, "val_loss": 0.25}]
    expected, seen = reference(bench, history), see(bench, history)
    return first_of(
        differ("a run whose first epoch is left by break", expected.trace.outline(), seen.trace.outline()),
        differ("run.step at its end", expected.run and expected.run.step, seen.run and seen.run.step),
    )


# Exceptions


_Made = Callable[[], BaseException]
_ERRORS: tuple[_Made, ...] = (lambda: ValueError("asked for"), lambda: KeyboardInterrupt("asked for"))


def _raised(factory: Factory, made: _Made) -> str | None:
    bench = factory()
    error = made()
    history = [HISTORY[0], error]
    seen, expected = see(bench, history, raises=True), reference(bench, history, raises=True)
    return _compared(f"a {type(error).__name__} raised in a batch of the second epoch", error, expected, seen)


def _compared(what: str, error: BaseException, expected: Any, seen: Any) -> str | None:
    if seen.error is not error:
        came = "nothing came out" if seen.error is None else f"another object came out, {seen.error!r}"
        return f"{what}: {came}"
    return first_of(
        differ(what, expected.outline, seen.outline),
        differ(f"{what}: how the run ended", expected.outcome, seen.outcome),
    )


@EXCEPTIONS.add("training-raises", "What training raises comes out, the same object, after exception and teardown.")
def _training_raises(factory: Factory) -> str | None:
    return _raised(factory, _ERRORS[0])


@EXCEPTIONS.add("interrupts", "Ctrl-C is an exception like any other, and the run ends as 'interrupted'.")
def _interrupts(factory: Factory) -> str | None:
    return _raised(factory, _ERRORS[1])


@EXCEPTIONS.add("hook-raises", "What a callback raises comes out, the same object, after exception and teardown.")
def _hook_raises(factory: Factory) -> str | None:
    bench = factory()
    for number, event in enumerate(FIRED):
        error = _ERRORS[number % 2]()
        cause, cause_too = ([StopAt("epoch_end")] if event == "stop" else [] for _ in range(2))
        expected = reference(bench, HISTORY, RaiseAt(event, error=error), *cause, raises=True)
        seen = see(bench, HISTORY, RaiseAt(event, error=error), *cause_too, raises=True)
        if found := _compared(f"a {type(error).__name__} raised by a callback in {event}", error, expected, seen):
            return found
    return None


@EXCEPTIONS.add("exception-told", "The event exception carries the object that is raised on.")
def _exception_told(factory: Factory) -> str | None:
    error = ValueError("asked for")
    seen = see(factory(), [error], raises=True)
    told = [arguments["exception"] for name, arguments in seen.trace.events if name == "exception"]
    if told == [error] and told[0] is error:
        return None
    return differ("what the event carried", [error], told) or "another object of the same text was told"


@EXCEPTIONS.add("trains-again", "After an exception the same model can be trained again, with the same callbacks.")
def _trains_again(factory: Factory) -> str | None:
    bench = factory()
    callback = Do("epoch_end", id, nth=None)
    for error in (made() for made in _ERRORS):
        see(bench, [error], callback, raises=True)
        what = f"the run after one that ended in a {type(error).__name__}"
        if found := differ(what, reference(bench).outline, see(bench, HISTORY, callback).outline):
            return found
    return None
