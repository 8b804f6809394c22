"""``trainhooks events``: the vocabulary and its grammar."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

import trainhooks
from trainhooks import plugins
from trainhooks.cli import main
from trainhooks.commands import events
from trainhooks.events import EVENTS


@pytest.fixture(autouse=True)
def _as_wide_as_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")  # whatever a framework that another test has imported makes of it


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["events", *arguments])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


class Paged:
    """A plugin with an event of its own."""

    @trainhooks.hookimpl
    def trainhooks_events(self) -> list[trainhooks.Event]:
        return [trainhooks.Event("paged", ("page",), "Somebody was called.")]


@pytest.fixture
def paged() -> Iterator[None]:
    plugins.register(Paged(), "pager")
    yield
    plugins.unregister("pager")


def test_each_event_has_a_line_in_the_order_of_the_vocabulary(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys)
    assert (code, err, re.findall(r"^on_\w+", out, re.MULTILINE)) == (0, "", [one.hook for one in EVENTS.values()])
    assert "on_epoch_begin          epoch, logs           An epoch begins.\n" in out


def test_the_scopes_are_shown_in_each_place_that_they_may_have() -> None:
    assert events.tree() == [
        "  run                      setup ... teardown",
        "    train                  train_begin ... train_end",
        "      epoch                epoch_begin ... epoch_end",
        "        train_batch        train_batch_begin ... train_batch_end",
        "          test             test_begin ... test_end",
        "            test_batch     test_batch_begin ... test_batch_end",
        "          predict          predict_begin ... predict_end",
        "            predict_batch  predict_batch_begin ... predict_batch_end",
        "        test               test_begin ... test_end",
        "          test_batch       test_batch_begin ... test_batch_end",
        "        predict            predict_begin ... predict_end",
        "          predict_batch    predict_batch_begin ... predict_batch_end",
        "    test                   test_begin ... test_end",
        "      test_batch           test_batch_begin ... test_batch_end",
        "    predict                predict_begin ... predict_end",
        "      predict_batch        predict_batch_begin ... predict_batch_end",
    ]


@pytest.mark.parametrize("name", ["train_batch_end", "on_train_batch_end", "on_batch_end", "Train-Batch-End"])
def test_one_event_is_told_of_by_any_of_its_names(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, name) == (
        0,
        """\
on_train_batch_end(batch, logs, run)

A training batch ended: logs are the epoch's running means.
It ends 'train_batch', which 'train_batch_begin' began; nothing else may be open in it.
A hook takes any of the arguments, by name.
It is also called on_batch_end, as in older Keras.
""",
        "",
    )


@pytest.mark.parametrize(
    "name, where",
    [
        ("setup", "It begins 'run', outermost. 'teardown' ends that."),
        ("test_begin", "It begins 'test', inside 'run' or 'epoch' or 'train_batch'. 'test_end' ends that."),
        ("stop", "It may stand anywhere between 'setup' and 'teardown'."),
        (
            "teardown",
            "It ends 'run'. It may come without 'setup', and while other scopes are open if training failed or paused.",
        ),
    ],
)
def test_where_it_may_stand_is_the_grammar_in_words(name: str, where: str) -> None:
    assert events.every()[name].where() == where


def test_an_event_of_a_plugin_is_marked_with_who_declares_it(paged: None, capsys: pytest.CaptureFixture[str]) -> None:
    out = run(capsys)[1]
    assert "\nDeclared by the plugin 'pager' of this process:\non_paged  page  Somebody was called.\n\n" in out
    assert "\nAnywhere between setup and teardown: optimizer_step, checkpoint, stop, exception, paged.\n" in out
    assert run(capsys, "paged")[1] == (
        """\
on_paged(page, run)

Somebody was called.
It may stand anywhere between 'setup' and 'teardown'.
A hook takes any of the arguments, by name.
Declared by the plugin 'pager' of this process; it is fired with run.emit('paged', ...).
"""
    )


class Usurper:
    """A plugin that declares an event of ours."""

    @trainhooks.hookimpl
    def trainhooks_events(self) -> list[trainhooks.Event]:
        return [trainhooks.Event("stop", (), "Mine.")]


def test_no_plugin_takes_the_name_of_an_event_of_ours() -> None:
    plugins.register(Usurper(), "usurper")
    try:
        assert events.every()["stop"] == events.Known(EVENTS["stop"])
    finally:
        plugins.unregister("usurper")


def test_a_program_reads_the_same(paged: None, capsys: pytest.CaptureFixture[str]) -> None:
    told = json.loads(run(capsys, "--json")[1])
    assert [one["name"] for one in told["events"]] == [*EVENTS, "paged"]
    assert told["scopes"][2] == {
        "name": "epoch",
        "begin": "epoch_begin",
        "end": "epoch_end",
        "within": ["train"],
    }
    one = json.loads(run(capsys, "batch_begin", "--json")[1])
    assert one == {
        "name": "train_batch_begin",
        "hook": "on_train_batch_begin",
        "arguments": ["batch", "logs", "run"],
        "meaning": "A training batch begins.",
        "aliases": ["on_batch_begin"],
        "begins": "train_batch",
        "ends": None,
        "within": ["epoch"],
        "plugin": None,
        "distribution": None,
    }
    assert one in told["events"]
    assert told["events"][-1]["plugin"] == "pager"


def test_a_name_that_is_none_is_told_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "on_epoch_ed") == (
        2,
        "",
        "trainhooks events: there is no event 'on_epoch_ed'. Did you mean 'epoch_end'?\n",
    )
