"""The testing kit: what a test of a callback can lean on."""

from __future__ import annotations

import subprocess
import sys

import pytest

from trainhooks import Callback, LoopRun, Run, fit
from trainhooks.errors import GrammarError, UnknownEventError
from trainhooks.testing import Constant, Do, RaiseAt, StopAt, Trace, batches, play
from trainhooks.testing.play import Dial


def test_a_trace_tells_a_run_as_one_line() -> None:
    trace = Trace()
    fit(Constant(), batches(3), epochs=2, callbacks=[StopAt(step=2), trace])
    assert trace.outline() == "setup train[ epoch0[ batch0[] batch1[] stop ] ] teardown"


def test_a_trace_shows_paths_and_exceptions() -> None:
    trace = Trace()
    trace.phase = "observe"
    saved = Do("setup", lambda run: run.emit("checkpoint", path="folder/best.ckpt", logs={}))
    with pytest.raises(RuntimeError):
        fit(Constant(), batches(1), callbacks=[trace, RaiseAt("train_begin"), saved])
    assert trace.outline() == "setup checkpoint(best.ckpt) train[ exception(RuntimeError) teardown"


def test_a_trace_with_values_keeps_copies_of_the_logs() -> None:
    trace = Trace(values=True)
    with LoopRun(callbacks=[trace]) as run:
        for _epoch in run.epochs(1):
            for batch in run.train(batches(2)):
                run.log(loss=batch)
    logs = [arguments["logs"] for name, arguments in trace.events if name == "train_batch_end"]
    assert logs == [{"loss": 0.0}, {"loss": 0.5}]


def test_a_trace_without_batches_leaves_their_hooks_unsubscribed() -> None:
    with LoopRun(callbacks=[Trace(batches=False)]) as run:
        assert [run.bus.listens(event) for event in ("train_batch_end", "test_batch_begin", "epoch_end")] == [
            *(False, False, True)
        ]


def test_a_trace_checks_each_of_its_runs_by_how_that_one_ended() -> None:
    trace = Trace()
    fit(Constant(), batches(2), callbacks=[StopAt(step=1, kind="pause"), trace])
    assert trace.was_paused
    fit(Constant(), batches(2), callbacks=[trace])
    assert not trace.was_paused
    trace.check_grammar()


@pytest.mark.parametrize(
    "names, message",
    [
        (["setup", "epoch_begin"], "'epoch_begin' inside 'run': it has its place in ('train',)"),
        (["setup", "train_begin", "teardown"], "'teardown' while 'train' is open, and nothing failed or paused"),
        (["setup", "train_begin"], "the run never reached 'teardown'; open are ['run', 'train']"),
    ],
)
def test_a_trace_finds_a_fault_against_the_grammar(names: list[str], message: str) -> None:
    trace = Trace()
    for listener in trace.listeners():
        if listener.event.name in names:
            trace.events.append((listener.event.name, {}))
    trace.events.sort(key=lambda event: names.index(event[0]))
    if "teardown" in names:
        trace._paused.append(False)
    with pytest.raises(GrammarError) as found:
        trace.check_grammar()
    assert str(found.value) == message


# Doubles


@pytest.mark.parametrize("nth, expected", [(0, [1]), (2, [3]), (None, [1, 2, 3])])
def test_do_acts_at_the_nth_time_or_at_each(nth: int | None, expected: list[int]) -> None:
    seen: list[int] = []
    fit(Constant(), batches(3), callbacks=[Do("train_batch_end", lambda run: seen.append(run.step), nth)])
    assert seen == expected


def test_do_takes_an_events_older_name_and_refuses_one_that_is_none() -> None:
    assert Do("batch_end", print).event == "train_batch_end"
    with pytest.raises(UnknownEventError) as refused:
        StopAt("epoch_ends")
    assert str(refused.value) == "StopAt: there is no event 'epoch_ends'. Did you mean 'epoch_end'?"


def test_raise_at_raises_the_object_it_was_given() -> None:
    error = KeyError("mine")
    with pytest.raises(KeyError) as raised:
        fit(Constant(), batches(1), callbacks=[RaiseAt("epoch_end", error=error)])
    assert raised.value is error


# play


class Halve(Callback):
    requires = {"lr"}

    def on_epoch_end(self, run: Run) -> None:
        run.lr /= 2


def test_play_feeds_a_history_through_real_events() -> None:
    trace, model = Trace(), Dial([0.4])
    history = [{"loss": 3.0, "val_loss": 4.0}, {"loss": 2.0}]
    run = play(history, [Halve(), trace], trainable=model)
    assert trace.outline() == "setup train[ epoch0[ batch0[] test[ batch0[] ] ] epoch1[ batch0[] ] ] teardown"
    assert (run.history, run.outcome, model.lrs, model.weight) == (
        [(0, history[0]), (1, history[1])],
        "completed",
        [0.1],
        1,
    )


def test_play_goes_on_where_a_resumed_run_left_off() -> None:
    history = [{"loss": 3.0}, {"loss": 2.0}, {"loss": 1.0}]
    state = play(history[:1], []).state_dict()
    assert play(history, [], resume=state).history == [(n, one) for n, one in enumerate(history)]


def test_a_dial_keeps_its_learning_rates_as_its_store_does() -> None:
    dial = Dial([1.26], store=lambda lr: round(lr, 1))
    dial.set_lrs([0.333])
    snapshot = dial.snapshot()
    dial.weight = 9
    dial.restore(snapshot)
    assert (dial.lrs, dial.weight) == ([0.3], 0)


def test_the_kit_does_not_load_hypothesis() -> None:
    code = "import sys, trainhooks.testing; print('hypothesis' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
