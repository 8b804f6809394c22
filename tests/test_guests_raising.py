"""What a guest raises, and what it gives that nobody can use: it stays with it, and is told of."""

from __future__ import annotations

import copy
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hosting import HOST, NAME, Counter, Fails, Host, play
from hypothesis import given, settings
from hypothesis import strategies as st

import trainhooks
from trainhooks import Callback, LoopRun, Run, plugins
from trainhooks.events import EVENTS
from trainhooks.store import load_checkpoint, save_checkpoint
from trainhooks.testing import Constant, Do, RaiseAt, Trace, batches
from trainhooks.testing.play import Dial
from trainhooks.testing.strategies import Program, execute, meddlers, programs

# What it raises


class Raises(Callback):
    """Raises in the method that it is told."""

    def __init__(self, verb: str) -> None:
        self.calls = 0

        def raises(*arguments: Any) -> Any:
            self.calls += 1
            raise ValueError("no")

        setattr(self, verb, raises)


@pytest.mark.parametrize("verb", ["reset", "state_dict", "load_state_dict", "settings_dict"])
def test_what_a_method_raises_is_told_of_once_and_training_goes_on(verb: str, host: Host) -> None:
    host.offer = lambda run: Raises(verb)

    def go_on() -> LoopRun:
        state = play([{"loss": 1.0}], [Counter()]).state_dict()
        return play([{"loss": 1.0}] * 2, [Counter()], resume=state)

    with pytest.warns(RuntimeWarning) as told:
        second = go_on()
    assert [str(one.message) for one in told] == [f"{HOST}: Raises.{verb} raised ValueError: no (training goes on)"]
    assert second.state_dict()["callbacks"] == {"Counter": {"seen": 2}, f"{NAME}: Raises": {}}
    assert [(one.what, one.error) for one in plugins.failures] == [(f"Raises.{verb}", "ValueError: no")]


def test_an_exception_disables_it_whatever_it_asked_for(host: Host) -> None:
    class Fails(Callback):
        on_error = "raise"
        calls = 0

        def on_epoch_end(self) -> None:
            Fails.calls += 1
            raise ValueError("no")

    host.offer = lambda run: Fails()
    with pytest.warns(RuntimeWarning) as told:
        [play([{"loss": 1.0}] * 3, []) for _ in range(2)]
    assert Fails.calls == 2
    assert [str(one.message) for one in told] == [
        f"{HOST}: Fails.on_epoch_end raised ValueError: no (it is disabled for the rest of the run)"
    ]


def test_one_that_only_watches_goes_on(host: Host) -> None:
    class Fails(Callback):
        on_error = "warn"
        calls = 0

        def on_epoch_end(self) -> None:
            Fails.calls += 1
            raise ValueError("no")

    host.offer = lambda run: Fails()
    with pytest.warns(RuntimeWarning, match=r"Fails.on_epoch_end raised ValueError: no \(training goes on\)$"):
        play([{"loss": 1.0}] * 3, [])
    assert Fails.calls == 3


def test_one_that_another_open_run_has_is_left_out(host: Host) -> None:
    shared = Counter()
    host.offer = lambda run: shared
    with LoopRun(), pytest.warns(RuntimeWarning) as told, LoopRun() as second:
        assert second.bus.callbacks == ()
    assert [str(one.message) for one in told] == [
        f"{HOST} is skipped: trainhooks_attach: RuntimeError: Counter is attached to a run that is still open: make "
        "one for each run"
    ]


def test_one_that_two_runs_were_offered_before_they_began_ends_neither(host: Host) -> None:
    state = play([{"loss": 1.0}], []).state_dict()
    shared = Counter()
    host.offer = lambda run: shared
    first, second = LoopRun(Dial(), resume=state), LoopRun(Dial(), resume=state)
    with first, second:
        pass
    assert (first.outcome, second.outcome) == ("completed", "completed")


def test_a_state_that_it_would_have_the_run_go_on_from_is_not_asked_for(host: Host) -> None:
    host.offer = lambda run: type("Backup", (Callback,), {"resume_from": lambda self, run: {"nonsense": 1}})()
    assert play([{"loss": 1.0}], []).epochs_done == 1


# Anything, anywhere


def played(
    program: Program, own: list[Callback], selection: str
) -> tuple[str, str | None, str, list[Any], dict[str, Any]]:
    """What is left of a run: outline, outcome, what came out of it, history, and the state of the user's callbacks."""
    trace, counter = Trace(), Counter()
    run = LoopRun(Dial(), [*own, counter, trace], plugins=selection)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        raised = execute(program, run).raised
        state = run.state_dict()
    history = [(record.epoch, dict(record.logs)) for record in run.history]
    state["callbacks"].pop(f"{NAME}: Raising", None)
    rest = {key: state[key] for key in ("at", "inside", "progress", "callbacks")}
    return trace.outline(), run.outcome, repr(raised), history, rest


EVERYWHERE = st.builds(
    RaiseAt,
    st.sampled_from(sorted(set(EVENTS) - {"optimizer_step", "checkpoint"})),
    st.integers(0, 3),
    st.just(ValueError("no")),
)


@given(
    program=programs(),
    own=st.lists(meddlers(), max_size=1),
    guest=EVERYWHERE,
    phase=st.sampled_from(["observe", "decide", "report", "save"]),
    verb=st.sampled_from([None, "reset", "state_dict", "settings_dict"]),
)
@settings(max_examples=150, deadline=None)
def test_wherever_a_guest_raises_the_run_is_as_without_it(
    registered: Host, program: Program, own: list[Do], guest: RaiseAt, phase: Any, verb: str | None
) -> None:
    class Raising(RaiseAt):
        pass

    def offer(run: Run) -> Callback:
        made = Raising(guest.event, 0, ValueError("no"))
        made.action, made.nth, made.phase, made.error = made._raise, guest.nth, phase, guest.error
        if verb is not None:
            setattr(made, verb, lambda: 1 / 0)
        return made

    before, registered.offer = len(plugins.failures), offer
    with_guest = played(program, [copy.deepcopy(one) for one in own], NAME)
    assert with_guest == played(program, [copy.deepcopy(one) for one in own], "none")
    del plugins.failures[before:]


def test_that_guest_really_raises_where_it_is_told_to(host: Host) -> None:
    host.offer = lambda run: RaiseAt("epoch_end", 0, ValueError("no"))
    with pytest.warns(RuntimeWarning, match=r"RaiseAt.on_epoch_end raised ValueError: no"):
        trainhooks.fit(Constant(), batches(1), plugins=NAME)


class Uploads(Callback):
    """A user's own, that hears of files."""

    def on_checkpoint(self) -> None:
        raise OSError("the upload failed")


def fires(run: Run) -> None:
    run.emit("checkpoint", path="x", logs=run.logs)


@pytest.mark.parametrize("verb", ["on_epoch_end", "save"])
def test_what_a_callback_of_the_users_raises_in_an_event_that_a_guest_fired_ends_the_training(
    verb: str, host: Host
) -> None:
    host.offer = lambda run: type("Fires", (Callback,), {verb: lambda self, run: fires(run)})()
    seen: list[Run] = []
    keep = Do("setup", seen.append)
    others = [keep, Do("epoch_end", lambda run: run.save())] if verb == "save" else [keep]
    with pytest.raises(OSError, match="the upload failed"):
        play([{"loss": 1.0}], [Uploads(), *others])
    assert (plugins.failures, seen[0].bus.escaped) == ([], None)  # a run that is over keeps no exception alive


@pytest.mark.parametrize("value", [np.array([object()]), np.ma.masked_array([1.0]), {"a": {1, 2}}, lambda: 1])
def test_a_state_that_no_file_can_hold_is_reported_and_the_run_is_saved_without_it(
    value: Any, host: Host, tmp_path: Path
) -> None:
    host.offer = lambda run: type("Odd", (Callback,), {"state_dict": lambda self: {"v": value}})()
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        run = play([{"loss": 1.0}], [Counter()])
        save_checkpoint(tmp_path / "state", run.state_dict())
    assert load_checkpoint(tmp_path / "state")["callbacks"]["Counter"] == {"seen": 1}


def test_a_state_whose_parts_stand_in_it_over_and_over_is_reported_in_no_time(host: Host) -> None:
    value: list[Any] = [1]
    for _ in range(40):
        value = [value, value]
    host.offer = lambda run: type("Knot", (Callback,), {"state_dict": lambda self: {"v": value}})()
    with pytest.warns(RuntimeWarning, match="it has more than 100000 parts"):
        assert play([{"loss": 1.0}], []).state_dict()["callbacks"] == {f"{NAME}: Knot": {}}


def test_settings_that_cannot_be_compared_are_left_out(host: Host) -> None:
    host.offer = lambda run: type("Odd", (Callback,), {"settings_dict": lambda self: {"w": np.ones(2), "n": 1}})()
    state = play([{"loss": 1.0}], []).state_dict()
    assert state["settings"] == {f"{NAME}: Odd": {"n": 1}}
    assert play([{"loss": 1.0}] * 2, [], resume=state).outcome == "completed"


def test_sys_exit_in_a_method_ends_nothing(host: Host) -> None:
    host.offer = lambda run: type("Exits", (Callback,), {"reset": lambda self: sys.exit(3)})()
    with pytest.warns(RuntimeWarning, match=r"Exits.reset raised SystemExit: 3"):
        assert play([{"loss": 1.0}], []).outcome == "completed"


def test_where_warnings_are_errors_it_is_said_on_stderr(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    host.offer = lambda run: Fails()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert play([{"loss": 1.0}], []).outcome == "completed"
    assert capsys.readouterr().err == (
        f"{HOST}: Fails.on_epoch_end raised ValueError: no (it is disabled for the rest of the run)\n"
    )


def test_a_run_that_declares_an_event_of_its_own_under_the_name_of_a_plugins_has_it() -> None:
    class Declares:
        @trainhooks.hookimpl
        def trainhooks_events(self) -> list[trainhooks.Event]:
            return [trainhooks.Event("flushed", ("n",), "It was flushed.")]

    heard: list[str] = []
    with plugins.register(Declares(), "z-declares"), LoopRun() as run:
        with pytest.warns(RuntimeWarning, match="a run declares an event 'flushed' of its own, with 'path'"):
            run.bus.declare(trainhooks.Event("flushed", ("path",), "Mine."))
        run.on("flushed")(lambda path: heard.append(path))
        run.emit("flushed", path="here")
    assert heard == ["here"]
