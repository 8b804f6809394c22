"""LambdaCallback: functions at events, by name."""

from __future__ import annotations

from typing import Any

import pytest
from runs import live, live_until

from trainhooks import LoopRun, every
from trainhooks.callbacks.lambda_callback import LambdaCallback
from trainhooks.errors import CapabilityError, RegistrationError
from trainhooks.events import ALIASES, EVENTS
from trainhooks.testing import Do, RaiseAt, StopAt, Trace, play


def test_a_function_is_called_at_its_event() -> None:
    seen: list[Any] = []
    play(
        [{"loss": 1.0}, {"loss": 2.0}],
        [LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append((epoch, logs["loss"])))],
    )
    assert seen == [(0, 1.0), (1, 2.0)]


def test_there_is_a_hook_for_every_event_and_they_come_in_its_order() -> None:
    seen: list[str] = []

    def note(name: str) -> Any:
        return lambda: seen.append(name)

    trace = Trace(optimizer_steps=True)
    live(LambdaCallback(**{event.hook: note(event.name) for event in EVENTS.values()}), trace)
    assert seen == trace.names
    assert set(EVENTS) - set(seen) == {"exception"}


def test_on_exception_is_given_the_exception() -> None:
    seen: list[Any] = []
    cause = RuntimeError("asked for")
    with pytest.raises(RuntimeError, match="asked for"):
        live(LambdaCallback(on_exception=lambda exception: seen.append(exception)), RaiseAt("test_begin", error=cause))
    assert seen == [cause]


def test_a_function_takes_any_of_the_arguments_by_name() -> None:
    seen: list[Any] = []

    def both(logs: Any, *, run: Any, epoch: int) -> None:
        seen.append((run.epoch, epoch, logs["loss"]))

    play(
        [{"loss": 1.0}],
        [
            LambdaCallback(on_epoch_end=both, on_stop=lambda reason: seen.append(reason)),
            StopAt("epoch_end", reason="enough"),
        ],
    )
    assert seen == [(0, 0, 1.0), "enough"]


def test_the_first_six_go_by_place_as_in_keras() -> None:
    seen: list[str] = []
    end, batch = (lambda epoch: seen.append("end")), (lambda batch: seen.append("batch"))
    callback = LambdaCallback(None, end, None, None, None, batch)
    play([{"loss": 1.0}], [callback])
    assert seen == ["batch", "end"]


@pytest.mark.parametrize("alias", ALIASES)
def test_keras_s_older_names_are_hooks_and_give_way_to_the_newer(alias: str) -> None:
    seen: list[str] = []
    play([{"loss": 1.0}], [LambdaCallback(**{f"on_{alias}": lambda batch: seen.append("older")})])
    both = LambdaCallback(
        **{
            f"on_{alias}": lambda batch: seen.append("older"),
            f"on_{ALIASES[alias]}": lambda batch: seen.append("newer"),
        }
    )
    play([{"loss": 1.0}], [both])
    assert seen == ["older", "newer"]


def test_none_is_no_hook() -> None:
    assert list(LambdaCallback(on_epoch_end=None, on_stop=None).listeners()) == []


def test_a_filter_on_a_function_is_kept() -> None:
    seen: list[int] = []

    @every(epochs=2)
    def note(epoch: int) -> None:
        seen.append(epoch)

    play([{"loss": 1.0}] * 5, [LambdaCallback(on_epoch_end=note)])
    assert seen == [1, 3]


def test_its_settings_are_those_of_any_callback() -> None:
    one = LambdaCallback(phase="save", on_error="warn", requires={"lr"}, ranks="main")
    other = LambdaCallback()
    assert [(c.phase, c.on_error, c.requires, c.ranks) for c in (one, other)] == [
        ("save", "warn", {"lr"}, "main"),
        ("observe", "raise", frozenset(), "all"),
    ]


def test_phase_orders_it_among_the_others() -> None:
    first = LambdaCallback(on_epoch_end=lambda: None, phase="save")
    with LoopRun(callbacks=[first, Do("epoch_end", id)]) as run:
        assert run.bus.order("epoch_end") == ["Do.on_epoch_end", "LambdaCallback.on_epoch_end"]


def test_on_error_says_what_an_exception_in_it_does() -> None:
    with pytest.warns(RuntimeWarning) as caught:
        run = play([{"loss": 1.0}] * 2, [LambdaCallback(on_epoch_end=lambda: 1 // 0, on_error="warn")])
    assert (run.outcome, [str(one.message) for one in caught]) == (
        "completed",
        ["LambdaCallback.on_epoch_end raised ZeroDivisionError: integer division or modulo by zero (training goes on)"],
    )


def test_what_it_requires_is_checked_when_it_is_attached() -> None:
    with pytest.raises(CapabilityError) as caught:
        LoopRun(callbacks=[LambdaCallback(requires={"lr"})])
    assert str(caught.value) == (
        "LambdaCallback needs 'lr', which this trainer lacks: it was given no model. Use trainhooks.wrap(model, ...)."
    )


def test_one_object_serves_many_runs_and_two_objects_one() -> None:
    seen: list[str] = []
    a = LambdaCallback(on_epoch_end=lambda: seen.append("a"))
    b = LambdaCallback(on_epoch_end=lambda: seen.append("b"))
    play([{"loss": 1.0}], [a, b])
    play([{"loss": 1.0}], [b, a])
    assert seen == ["a", "b", "b", "a"]


@pytest.mark.parametrize("event", EVENTS)
def test_teardown_is_reached_whatever_is_raised(event: str) -> None:
    seen: list[str] = []
    live_until(event, LambdaCallback(on_teardown=lambda: seen.append("teardown")))
    assert seen == ["teardown"]


ALL = (
    "'on_setup', 'on_teardown', 'on_train_begin', 'on_train_end', 'on_epoch_begin', 'on_epoch_end', "
    "'on_train_batch_begin', 'on_train_batch_end', 'on_test_begin', 'on_test_end', 'on_test_batch_begin', "
    "'on_test_batch_end', 'on_predict_begin', 'on_predict_end', 'on_predict_batch_begin', 'on_predict_batch_end', "
    "'on_optimizer_step', 'on_checkpoint', 'on_stop', 'on_exception', 'on_batch_begin', 'on_batch_end'"
)


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("on_epoch_ende", "Did you mean 'on_epoch_end'?"),
        ("epoch_end", "Did you mean 'on_epoch_end'?"),
        ("on_batch_ends", "Did you mean 'on_batch_end'?"),
        ("on_eror", "Did you mean 'on_error'?"),
        ("phases", "Did you mean 'phase'?"),
        ("zzz", f"There are {ALL}."),
    ],
)
@pytest.mark.parametrize("value", [lambda: None, None])
def test_a_name_that_is_no_hook_s_is_refused_at_once(name: str, remedy: str, value: Any) -> None:
    with pytest.raises(TypeError) as caught:
        LambdaCallback(**{name: value})
    assert str(caught.value) == f"LambdaCallback({name}=...): there is no such hook. {remedy}"


@pytest.mark.parametrize("name", ["on_epoch_end", "on_stop"])
def test_what_is_no_function_is_refused_at_once(name: str) -> None:
    with pytest.raises(TypeError) as caught:
        LambdaCallback(**{name: 3})
    assert str(caught.value) == f"LambdaCallback({name}=3): a hook is a function, or None for none"


def test_an_argument_that_the_event_has_not_is_refused_when_it_is_attached() -> None:
    with pytest.raises(RegistrationError) as caught:
        LoopRun(callbacks=[LambdaCallback(on_epoch_end=lambda epok: None)])
    assert str(caught.value) == (
        "LambdaCallback.on_epoch_end: 'epoch_end' has no argument 'epok'. Did you mean 'epoch'? "
        "A hook takes any of 'epoch', 'logs', 'run', by name."
    )
