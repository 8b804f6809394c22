"""Events of one's own: validated and dispatched like ours."""

from __future__ import annotations

from typing import Any

import pytest

from trainhooks import Callback, Event, EventBus, once
from trainhooks.errors import RegistrationError, UnknownEventError


def test_a_declared_event_is_validated_and_dispatched_like_ours() -> None:
    class Plotter(Callback):
        seen: list[Any] = []

        @once()
        def on_plot(self, figure: str) -> None:
            self.seen.append(figure)

    bus = EventBus()
    with pytest.raises(RegistrationError):
        bus.add(Plotter())
    bus.declare(Event("plot", ("figure",), "A figure was drawn."))
    bus.add(Plotter())
    bus.emit("plot", figure="a")
    bus.emit("plot", figure="b")
    assert (Plotter.seen, bus.order("plot"), bus.listens("plot")) == (["a"], ["Plotter.on_plot"], True)
    with pytest.raises(RegistrationError) as caught:
        bus.on("plot")(lambda figur: None)
    assert str(caught.value).endswith(
        "'plot' has no argument 'figur'. Did you mean 'figure'? A hook takes any of 'figure', 'run', by name."
    )
    with pytest.raises(UnknownEventError):
        EventBus().on("plot")  # declared for that bus alone


def test_the_same_event_may_be_declared_twice_and_another_of_its_name_not() -> None:
    bus = EventBus()
    bus.declare(Event("plot", ("figure",), "One plugin's words."))
    bus.on("plot")(lambda figure: None)
    bus.declare(Event("plot", ("figure",), "Another's."))
    assert (bus.order("plot") != [], bus.events["plot"].doc) == (True, "One plugin's words.")
    for name, args in (("plot", ("path",)), ("epoch_end", ("logs",))):
        had = bus.events[name].args
        with pytest.raises(ValueError) as caught:
            bus.declare(Event(name, args, ""))
        listed = [", ".join(map(repr, one)) for one in (had, args)]
        assert str(caught.value) == (
            f"declare({name!r}): there is an event of that name, with the arguments {listed[0]} and not {listed[1]}. "
            "Give yours another name."
        )


@pytest.mark.parametrize(
    "name, args, refused",
    [
        ("my plot", (), "'my plot'"),
        ("class", (), "'class'"),
        ("_plot", (), "'_plot'"),
        ("error", (), "'error'"),
        ("batch_end", ("batch", "logs"), "'batch_end'"),
        ("plot", ("run",), "'run'"),
        ("plot", ("a", "_h0", "lambda", 7), "'_h0', 'lambda', 7"),
    ],
)
def test_a_name_that_no_hook_could_have_is_refused(name: str, args: tuple[str, ...], refused: str) -> None:
    with pytest.raises(ValueError) as caught:
        EventBus().declare(Event(name, args, ""))
    assert str(caught.value) == (
        f"declare({name!r}): {refused} cannot be used. The names of an event and of its arguments are identifiers, "
        "without a leading underscore, and not 'run'; nor is an event called 'error', 'batch_begin', 'batch_end'."
    )


@pytest.mark.parametrize("args", ["figure", ["figure"], ("figure", "figure")])
def test_arguments_that_are_no_tuple_of_distinct_names_are_refused(args: Any) -> None:
    bus = EventBus()
    with pytest.raises(ValueError) as caught:
        bus.declare(Event("plot", args, ""))
    assert str(caught.value) == f"declare('plot'): args={args!r} is no tuple of distinct names"
    assert "plot" not in bus.events


def test_a_name_that_python_would_write_otherwise_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be used"):
        EventBus().declare(Event("\ufb01nish", ("x",), ""))  # a ligature, which Python reads as f and i


def test_an_argument_may_be_called_as_a_builtin_that_the_dispatcher_uses() -> None:
    bus = EventBus()
    bus.declare(Event("sample", ("Exception",), ""))

    def fail(Exception: Any) -> None:  # noqa: A002, N803
        raise RuntimeError(Exception)

    bus.on("sample", on_error="warn")(fail)
    with pytest.warns(RuntimeWarning, match=r"raised RuntimeError: 3 \(training goes on\)"):
        bus.emit("sample", Exception=3)
