"""Guests: callbacks that a plugin attached take part as any other, and can end nobody's training."""

from __future__ import annotations

import copy
import functools
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import trainhooks
from trainhooks import Callback, LoopRun, Run, World, plugins
from trainhooks.events import EVENTS
from trainhooks.store import load_checkpoint, save_checkpoint
from trainhooks.testing import Constant, Do, RaiseAt, StopAt, Trace, batches
from trainhooks.testing import play as plain_play
from trainhooks.testing.play import Dial
from trainhooks.testing.strategies import Program, execute, meddlers, programs

NAME = "guests-of-a-test"
play = functools.partial(plain_play, plugins=None)
HOST = f"trainhooks plugin '{NAME}' of this process"


class Host:
    """A plugin that attaches what ``offer`` gives for a run."""

    def __init__(self) -> None:
        self.offer: Callable[[Run], Any] = lambda run: None

    @trainhooks.hookimpl
    def trainhooks_attach(self, run: Run) -> Any:
        return self.offer(run)


@pytest.fixture(scope="module", autouse=True)
def registered() -> Iterator[Host]:
    host = Host()
    plugins.register(host, NAME)
    yield host
    plugins.unregister(NAME)


@pytest.fixture
def host(registered: Host) -> Iterator[Host]:
    """The plugin, for one test; what it did wrong is forgotten."""
    before = list(plugins.failures)
    yield registered
    registered.offer = lambda run: None
    plugins.failures[:] = before


class Counter(Callback):
    """A callback with a state: how many epochs it has seen."""

    def __init__(self) -> None:
        self.seen = 0

    def reset(self) -> None:
        self.seen = 0

    def on_epoch_end(self) -> None:
        self.seen += 1

    def state_dict(self) -> dict[str, Any]:
        return {"seen": self.seen}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.seen = state["seen"]


# What it is given


def test_a_plugin_sees_the_run_with_the_callbacks_of_its_user_before_anything_fires(host: Host) -> None:
    seen = []

    def offer(run: Run) -> None:
        mine = [type(one).__name__ for one in run.bus.callbacks]
        seen.append((run.framework, run.can("lr"), mine, trace.events == []))

    trace, host.offer = Trace(), offer
    play([{"loss": 1.0}], [trace])
    assert seen == [("dial", True, ["Trace"], True)]


def test_it_is_asked_once_for_a_run_also_where_that_goes_on(host: Host) -> None:
    runs: list[Run] = []
    host.offer = runs.append
    first = play([{"loss": 1.0}], [])
    second = play([{"loss": 1.0}] * 2, [], resume=first.state_dict())
    assert runs == [first.run, second.run]


def test_a_guest_has_the_run_while_it_lasts(host: Host) -> None:
    guest = Counter()
    host.offer = lambda run: guest
    during = Do("epoch_end", lambda run: seen.append(guest.run is run))
    seen: list[bool] = []
    play([{"loss": 1.0}], [during])
    assert (seen, guest.run) == ([True], None)


# Its place


class Named(Callback):
    """Writes down that its turn came."""

    def __init__(self, name: str, phase: Literal["observe", "decide", "report", "save"], order: list[str]) -> None:
        self.name, self.phase, self.order = name, phase, order

    def on_epoch_end(self) -> None:
        self.order.append(f"{self.phase} {self.name}")


def test_guests_come_after_the_users_own_in_each_phase(host: Host) -> None:
    order: list[str] = []
    phases: tuple[Literal["observe", "decide", "report", "save"], ...] = ("save", "report", "decide", "observe")
    host.offer = lambda run: [Named("guest", phase, order) for phase in phases]
    play([{"loss": 1.0}], [Named("own", phase, order) for phase in phases])
    assert order == [f"{phase} {name}" for phase in reversed(phases) for name in ("own", "guest")]


class SecondRank(World):
    rank, size = 1, 2


class OnMain(Callback):
    ranks = "main"


class Everywhere(Callback):
    pass


@pytest.mark.parametrize("world, there", [(World(), ["OnMain", "Everywhere"]), (SecondRank(), ["Everywhere"])])
def test_a_guest_of_the_main_rank_is_on_no_other(world: World, there: list[str], host: Host) -> None:
    host.offer = lambda run: [OnMain(), Everywhere()]
    with LoopRun(world=world) as run:
        assert [type(one).__name__ for one in run.bus.callbacks] == there


# Its state


def test_its_state_goes_by_its_plugins_name_and_comes_back(host: Host) -> None:
    host.offer = lambda run: Counter()
    first = play([{"loss": 1.0}] * 2, [])
    state = first.state_dict()
    second = play([{"loss": 1.0}] * 3, [], resume=state)
    assert state["callbacks"] == {f"{NAME}: Counter": {"seen": 2}}
    assert second.state_dict()["callbacks"] == {f"{NAME}: Counter": {"seen": 3}}


def test_neither_takes_the_state_of_one_of_the_users_own(host: Host) -> None:
    host.offer = lambda run: Counter()
    own = Counter()
    own.on_epoch_end = lambda: setattr(own, "seen", own.seen + 10)  # type: ignore[method-assign]
    state = play([{"loss": 1.0}], [own]).state_dict()
    assert state["callbacks"] == {"Counter": {"seen": 10}, f"{NAME}: Counter": {"seen": 1}}
    host.offer = lambda run: None
    with pytest.warns(UserWarning, match=f"the state of '{NAME}: Counter' stays behind"):
        assert play([{"loss": 1.0}] * 2, [Counter()], resume=state).state_dict()["callbacks"] == {
            "Counter": {"seen": 11}
        }


def test_a_decision_that_it_takes_back_is_its_own(host: Host) -> None:
    def withdraws(self: Callback, run: Run) -> None:
        run.withdraw_stop(self)

    host.offer = lambda run: type("StopAt", (Callback,), {"on_epoch_end": withdraws})()
    run = play([{"loss": 1.0}] * 4, [StopAt("epoch_end")], min_epochs=2)
    assert (run.outcome, run.epochs_done) == ("stopped", 2)


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


class Fails(Counter):
    def on_epoch_end(self) -> None:
        raise ValueError("no")


def added(run: Run) -> object:
    return run.add(Fails())


def added_and_kept_to_itself(run: Run) -> None:
    run.add(Fails())


@pytest.mark.parametrize("offer", [added, added_and_kept_to_itself])
def test_one_that_the_plugin_added_to_the_run_itself_is_a_guest_too(host: Host, offer: Callable[[Run], Any]) -> None:
    host.offer = offer
    with pytest.warns(RuntimeWarning) as told:
        run = play([{"loss": 1.0}] * 2, [])
    assert run.outcome == "completed"
    assert [str(one.message) for one in told] == [
        f"{HOST}: Fails.on_epoch_end raised ValueError: no (it is disabled for the rest of the run)"
    ]


def test_it_is_seen_in_the_run_as_what_it_is(host: Host) -> None:
    seen: list[list[type]] = []
    host.offer = lambda run: Counter()
    play([{"loss": 1.0}], [Do("setup", lambda run: seen.append([type(one) for one in run.bus.callbacks]))])
    host.offer = lambda run: None if any(isinstance(one, Counter) for one in run.bus.callbacks) else Counter()
    run = play([{"loss": 1.0}], [Counter()])
    assert [one.__name__ for one in seen[0]] == ["Do", "Counter"]
    assert [isinstance(one, Counter) for one in run.bus.callbacks] == [True]


def test_a_second_plugin_sees_the_first_ones(host: Host) -> None:
    class Second:
        @trainhooks.hookimpl
        def trainhooks_attach(self, run: Run) -> Callback | None:
            return None if any(isinstance(one, Counter) for one in run.bus.callbacks) else Counter()

    host.offer = lambda run: Counter()
    with plugins.register(Second(), "z-second"):
        run = play([{"loss": 1.0}], [])
    assert len(run.bus.callbacks) == 1
    assert "z-second" not in [one.name for one in plugins.found()]


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
    with pytest.raises(OSError, match="the upload failed"):
        play([{"loss": 1.0}], [Uploads(), Do("epoch_end", lambda run: run.save())] if verb == "save" else [Uploads()])
    assert plugins.failures == []


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
