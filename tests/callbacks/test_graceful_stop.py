"""GracefulStop: a signal makes a run pause; the handlers that were there are there again."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import trainhooks
from trainhooks import MLP, Callback, LoopRun, Run, fit
from trainhooks.callbacks._signals import numbers_of
from trainhooks.callbacks.graceful_stop import GracefulStop
from trainhooks.events import EVENTS
from trainhooks.testing import Do, StopAt, Trace, batches

SIGNALS = [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1]
X, Y = np.arange(12.0, dtype=np.float32).reshape(6, 2), np.array([0, 1, 0, 1, 0, 1])
Train = Callable[..., Any]


class Saver(Callback):
    """Shows in an outline where a checkpoint is taken."""

    def save(self, run: Run) -> None:
        run.emit("checkpoint", path=f"step{run.step}", logs=run.logs)


@pytest.fixture
def heard() -> Iterator[list[int]]:
    """What reaches the handlers that were there before: the user's own."""
    got: list[int] = []

    def own(number: int, frame: object) -> None:
        got.append(number)

    before = [signal.signal(one, own) for one in SIGNALS]
    yield got
    after = [signal.signal(one, first) for one, first in zip(SIGNALS, before, strict=True)]
    assert after == [own] * len(SIGNALS), "a handler was left behind"


def deliver(number: int = signal.SIGTERM) -> None:
    """Send a signal to this process; its handler has been called when this returns."""
    os.kill(os.getpid(), number)
    for _ in range(2):  # Python looks for signals when it jumps back
        pass


def send(number: int = signal.SIGTERM) -> Callable[[Run], None]:
    return lambda run: deliver(number)


def looped(*callbacks: Callback, **options: Any) -> LoopRun:
    with LoopRun(callbacks=callbacks, **options) as run:
        for _ in run.epochs(2):
            for batch in run.train(batches(2)):
                run.log(loss=batch)
            for batch in run.test(batches(2)):
                run.log(loss=batch)
        for _ in run.predict(batches(2)):
            run.log(outputs=0)
    return run


def fitted(*callbacks: Callback) -> LoopRun:
    return fit(MLP((2, 2)), (X, Y), (X, Y), epochs=2, batch_size=3, seed=0, callbacks=callbacks)


def torched(*callbacks: Callback) -> LoopRun:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    data = [torch.ones(3, 2), torch.zeros(3, 2)]
    run: LoopRun
    with trainhooks.wrap(model, optimizer=optimizer, callbacks=callbacks) as run:
        for _ in run.epochs(2):
            for x in run.train(data):
                loss = model(x).square().mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                run.log(loss=loss)
            for x in run.test(data):
                run.log(loss=model(x).square().mean())
    return run


def story(train: Train, *callbacks: Callback) -> tuple[Any, ...]:
    trace = Trace()
    run = train(*callbacks, Saver(), trace)
    return trace.outline(), run.outcome, run.stop_kind


# A signal is a pause


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_in_a_batch_pauses_the_run_at_its_end_and_says_so(heard: list[int], number: signal.Signals) -> None:
    stop, trace = GracefulStop(), Trace()
    run = looped(stop, Saver(), Do("train_batch_begin", send(number)), trace)
    assert trace.outline() == "setup train[ epoch0[ batch0[ stop ] checkpoint(step1) teardown"
    assert (run.outcome, run.stop_reason, run.stop_source) == (
        "paused",
        f"{number.name} was received",
        "GracefulStop",
    )
    assert (stop.received, heard) == (number.name, [])


LOOPED = [name for name in EVENTS if name not in ("exception", "stop", "checkpoint", "optimizer_step", "teardown")]
FITTED = [name for name in LOOPED if "predict" not in name] + ["optimizer_step"]


@pytest.mark.parametrize(
    "train, event",
    [*((looped, name) for name in LOOPED), *((train, name) for train in (fitted, torched) for name in FITTED)],
)
def test_at_each_event_it_is_the_pause_that_a_callback_would_ask_for(
    heard: list[int], train: Train, event: str
) -> None:
    sender, asker = Do(event, send()), StopAt(event, kind="pause")
    assert story(train, GracefulStop(), sender) == story(train, GracefulStop(), asker)
    assert (sender.fired > 0, heard) == (True, [])


def test_at_its_teardown_a_run_is_over_and_a_signal_goes_where_it_would_have_gone(heard: list[int]) -> None:
    assert story(looped, GracefulStop(), Do("teardown", send())) == story(looped)
    assert heard == [signal.SIGTERM]


def test_a_signal_that_comes_while_a_batch_is_fetched_waits_for_its_end(heard: list[int]) -> None:
    def loader() -> Iterator[int]:
        yield 0
        deliver()
        yield 1
        raise AssertionError("no more is fetched")

    trace = Trace()
    with LoopRun(callbacks=[GracefulStop(), Saver(), trace]) as run:
        for _ in run.epochs(2):
            for batch in run.train(loader()):
                run.log(loss=batch)
    assert trace.outline() == "setup train[ epoch0[ batch0[] batch1[ stop ] checkpoint(step2) teardown"


def test_a_second_signal_does_what_it_did_before(heard: list[int]) -> None:
    both = Do("train_batch_begin", lambda run: (send(signal.SIGINT)(run), send(signal.SIGTERM)(run)))
    run = looped(GracefulStop(), Saver(), both)
    assert (run.outcome, run.stop_reason, heard) == ("paused", "SIGINT was received", [signal.SIGTERM])


def test_a_second_ctrl_c_is_a_keyboard_interrupt() -> None:
    before = signal.getsignal(signal.SIGINT)
    trace = Trace()
    with pytest.raises(KeyboardInterrupt):
        looped(GracefulStop(), Saver(), trace, *(Do("train_batch_begin", send(signal.SIGINT)) for _ in range(2)))
    assert trace.outline() == "setup train[ epoch0[ exception(KeyboardInterrupt) teardown"
    assert signal.getsignal(signal.SIGINT) is before


def test_without_it_ctrl_c_is_an_exception_with_a_teardown() -> None:
    trace = Trace()
    with pytest.raises(KeyboardInterrupt):
        looped(trace, Do("train_batch_begin", send(signal.SIGINT)))
    assert trace.outline() == "setup train[ epoch0[ exception(KeyboardInterrupt) teardown"


def test_a_paused_run_goes_on_from_a_state_taken_between_epochs(heard: list[int]) -> None:
    state: list[Any] = []
    keep = Do("epoch_end", lambda run: state.append(run.state_dict()))
    keep.phase = "save"
    looped(GracefulStop(), Saver(), keep, Do("epoch_begin", send(), nth=1))
    run = looped(stop := GracefulStop(), Saver(), resume=state[0])
    assert (run.outcome, run.step, stop.received) == ("completed", 4, None)


# Its argument


@pytest.mark.parametrize(
    "given, names",
    [
        ("SIGTERM", ("SIGTERM",)),
        (["TERM", "SIGTERM", signal.SIGTERM, int(signal.SIGTERM)], ("SIGTERM",)),
        ([np.int64(signal.SIGHUP), "USR2"], ("SIGHUP", "SIGUSR2")),
        ([signal.SIGRTMIN + 1], (f"signal {signal.SIGRTMIN + 1}",)),
    ],
)
def test_signals_are_names_or_numbers(given: Any, names: tuple[str, ...]) -> None:
    assert GracefulStop(given).signals == names


def test_of_the_default_ones_those_are_left_out_that_a_platform_lacks() -> None:
    windows = {"SIGINT": 2, "SIGTERM": 15, "SIGBREAK": 21}
    assert numbers_of("GracefulStop", ("SIGTERM", "SIGINT", "SIGUSR1"), windows) == (15, 2)


CANNOT = (
    "GracefulStop(signals={0!r}): no process can catch that signal. Against a kill there is BackupAndRestore, which "
    "saves every so often."
)


@pytest.mark.parametrize(
    "given, message",
    [
        (["SIGTREM"], "GracefulStop(signals='SIGTREM'): there is no such signal here. Did you mean 'SIGTERM'?"),
        ("usr1", "GracefulStop(signals='usr1'): there is no such signal here. Did you mean 'SIGUSR1'?"),
        (["KILL"], CANNOT.format("KILL")),
        ([signal.SIGSTOP], CANNOT.format(signal.SIGSTOP)),
        ([9], CANNOT.format(9)),
        ([], "GracefulStop(signals=()): one or more that there are here, as 'SIGTERM', 'SIGINT', 'SIGUSR1'"),
    ],
)
def test_what_is_no_signal_or_cannot_be_caught_is_refused(given: Any, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        GracefulStop(given)
    assert str(caught.value) == message


@pytest.mark.parametrize("given", [[0], [True], [1000], [1.5], [None]])
def test_what_is_no_number_of_a_signal_is_refused(given: Any) -> None:
    with pytest.raises(ValueError, match=r"there is no such signal here\. There are 'SIGHUP', 'SIGINT'"):
        GracefulStop(given)
