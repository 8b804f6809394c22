"""Guests: callbacks that a plugin attached take part as any other, and can end nobody's training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import pytest
from hosting import HOST, NAME, Counter, Fails, Host, play

import trainhooks
from trainhooks import Callback, LoopRun, Run, World, plugins
from trainhooks.testing import Do, StopAt, Trace

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
