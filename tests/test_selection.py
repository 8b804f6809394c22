"""Which plugins are wanted, as the argument and the environment say it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

import trainhooks
from trainhooks import Callback, Run, plugins
from trainhooks.selection import Selection
from trainhooks.testing import Constant, batches
from trainhooks.testing.play import Dial

NAMES = ("slack", "slowdown", "tiny")


@pytest.mark.parametrize(
    "text, wanted",
    [
        (None, "slack slowdown tiny torch"),
        ("", "slack slowdown tiny torch"),
        (" , ", "slack slowdown tiny torch"),
        ("none", "torch"),
        ("slack", "slack torch"),
        (" slack , tiny,", "slack tiny torch"),
        ("-slack", "slowdown tiny torch"),
        ("-slack,- tiny", "slowdown torch"),
        ("slack,-torch", "slack"),
        ("slack,tiny,-tiny", "slack torch"),
        ("-torch", "slack slowdown tiny"),
        ("torch", "torch"),
    ],
)
def test_the_grammar_of_a_selection(text: str | None, wanted: str) -> None:
    selection = Selection.parse(text, "plugins")
    assert " ".join(name for name in (*NAMES, "torch") if selection.allows(name, own=name == "torch")) == wanted


@pytest.mark.parametrize("text", ["none,slack", "none,-slack", "-", "slack,-"])
def test_what_cannot_be_read_is_an_error_of_who_gave_it(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        Selection.parse(text, "TRAINHOOKS_PLUGINS")
    assert str(caught.value) == (
        f"TRAINHOOKS_PLUGINS={text!r}: it is 'none', or names as 'name,name', or as '-name' those to leave out"
    )


def test_what_is_no_text_is_an_error() -> None:
    with pytest.raises(TypeError) as caught:
        trainhooks.LoopRun(plugins=["slack"])  # type: ignore[arg-type]
    assert str(caught.value) == "plugins=['slack']: a text, as 'none', 'name,name' or '-name'"


# With plugins


class Attaching:
    """A plugin that attaches a callback, of a class that is called as it."""

    def __init__(self, name: str) -> None:
        self.made = type(name, (Callback,), {})

    @trainhooks.hookimpl
    def trainhooks_attach(self, run: Run) -> Callback:
        return self.made()  # type: ignore[no-any-return]


@pytest.fixture(autouse=True)
def _three(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv(plugins.VARIABLE, raising=False)
    for name in NAMES:
        plugins.register(Attaching(name), name)
    yield
    for name in NAMES:
        plugins.unregister(name)


def attached(selection: str | None = None) -> str:
    """Those of the three whose callback a run has."""
    with trainhooks.LoopRun(plugins=selection) as run:
        return " ".join(type(one).__name__ for one in run.bus.callbacks if type(one).__name__ in NAMES)


@pytest.mark.parametrize(
    "environment, argument, wanted",
    [
        ("", None, "slack slowdown tiny"),
        ("slack,tiny", None, "slack tiny"),
        ("slack,tiny", "tiny,slowdown", "tiny"),
        ("slack,tiny", "-slack", "tiny"),
        ("-slack", "slack,tiny", "tiny"),
        ("-slack", "-tiny", "slowdown"),
        ("none", "slack", ""),
        ("slack", "none", ""),
    ],
)
def test_a_plugin_takes_part_where_the_environment_and_the_argument_both_want_it(
    environment: str, argument: str | None, wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(plugins.VARIABLE, environment)
    assert attached(argument) == wanted


def test_an_unknown_name_in_the_argument_is_an_error_with_the_nearest() -> None:
    known = ", ".join(repr(one.name) for one in plugins.found())
    with pytest.raises(ValueError) as caught:
        trainhooks.fit(Constant(), batches(1), plugins="slak")
    assert str(caught.value) == (f"plugins='slak': there is no plugin 'slak'. Did you mean 'slack'? There are {known}.")


def test_one_that_is_left_out_need_not_be_installed() -> None:
    known = ", ".join(repr(one.name) for one in plugins.found())
    with pytest.warns(RuntimeWarning) as told:
        outcomes = [trainhooks.fit(Constant(), batches(1), plugins="-slak").outcome for _ in range(2)]
    assert outcomes == ["completed"] * 2
    assert [str(one.message) for one in told] == [
        f"plugins='-slak': there is no plugin 'slak'. Did you mean 'slack'? There are {known}."
    ]


def test_an_unknown_name_in_the_environment_is_told_of_once_in_a_process() -> None:
    script = """
import warnings, trainhooks
from trainhooks.testing import Constant
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    for _ in range(2):
        trainhooks.fit(Constant(), [0])
print(*[f"{one.category.__name__}: {one.message}" for one in told], sep="\\n")
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env={"TRAINHOOKS_PLUGINS": "-slak,torch"},
        check=True,
    )
    assert re.sub(r"There are .*", "There are ...", done.stdout) == (
        "RuntimeWarning: TRAINHOOKS_PLUGINS='-slak,torch': there is no plugin 'slak'. There are ...\n"
    )


def test_an_environment_that_cannot_be_read_is_an_error_before_anything_is_trained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(plugins.VARIABLE, "none,slack")
    with pytest.raises(ValueError, match=r"^TRAINHOOKS_PLUGINS='none,slack': it is 'none', or names"):
        trainhooks.LoopRun()


@pytest.mark.parametrize(
    "run",
    [
        lambda wanted: trainhooks.fit(Constant(), batches(1), plugins=wanted),
        lambda wanted: trainhooks.wrap(Dial(), plugins=wanted).__enter__(),
        lambda wanted: trainhooks.LoopRun(plugins=wanted).__enter__(),
    ],
    ids=["fit", "wrap", "LoopRun"],
)
def test_whatever_trains_takes_a_selection(run: Callable[[str], trainhooks.LoopRun]) -> None:
    assert [type(one).__name__ for one in run("tiny").bus.callbacks] == ["tiny"]
