"""``trainhooks plugins``: what is installed, what it offers, what failed."""

from __future__ import annotations

import json
import re
from importlib.metadata import version
from pathlib import Path

import pytest
from cli_plugins import distribution, trainhooks
from own_plugins import OWN, quoted

OURS = version("trainhooks")
OTHERS = {*OWN} - {"demos", "keras", "torch"}
SLACK = """
import trainhooks

class Slack(trainhooks.Callback):
    '''Post each epoch's metrics to a channel.'''
    def __init__(self, channel, *, every=1): ...

def quiet(channel="off"):
    '''As Slack, at the end alone.'''
    return Slack(channel)

@trainhooks.hookimpl
def trainhooks_callbacks():
    return {"Slack": Slack, "QuietSlack": quiet}

@trainhooks.hookimpl
def trainhooks_attach(run):
    return None

@trainhooks.hookimpl
def trainhooks_events():
    return [trainhooks.Event("posted", ("channel",), "Somebody was told.")]

@trainhooks.hookimpl
def trainhooks_adapter(target):
    return None

@trainhooks.hookimpl
def trainhooks_frameworks():
    return {"slackflow": "slackflow>=2"}
"""
BROKEN = "raise RuntimeError('no server\\nasked twice')"
MOODY = """
import trainhooks

@trainhooks.hookimpl
def trainhooks_events():
    raise OSError("not today")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    distribution(tmp_path, "slack", "1.2", SLACK)
    distribution(tmp_path, "broken", "0.1", BROKEN)
    distribution(tmp_path, "moody", "3", MOODY)
    return tmp_path


def test_each_is_listed_with_what_it_offers_and_errors_in_full(folder: Path) -> None:
    done = trainhooks(folder, "plugins", "--plugins=-demos," + ",".join(f"-{name}" for name in OTHERS))
    assert (done.returncode, done.stderr) == (1, "")
    lines = [line for line in done.stdout.splitlines() if line.split(" ")[0] not in OTHERS]
    assert len(done.stdout.splitlines()) - len(lines) == len(OTHERS)
    assert re.sub(" {2,}", "  ", "\n".join(lines)) == (
        f"""\
name  distribution  version  status  offers
broken  broken  0.1  failed  -
demos  trainhooks  {OURS}  off  -
keras  trainhooks  {OURS}  ok  adapter for keras
moody  moody  3  failed  -
slack  slack  1.2  ok  callbacks Slack, QuietSlack; adapter for slackflow;
  attaches itself; event posted
torch  trainhooks  {OURS}  ok  adapter for torch

plugin 'broken' of broken 0.1
  RuntimeError: no server
  asked twice

plugin 'moody' of moody 3
  trainhooks_events: OSError: not today"""
    )


def test_a_program_reads_the_same(folder: Path) -> None:
    done = trainhooks(folder, "plugins", "--json", "--plugins", "slack,broken", TRAINHOOKS_PLUGINS="-keras")
    assert (done.returncode, done.stderr) == (1, "")
    told = json.loads(done.stdout)
    rows = {one["name"]: one for one in told.pop("plugins")}
    assert told == {"selection": "slack,broken", "environment": "-keras", "problem": None}
    assert {name: one["status"] for name, one in rows.items()} == {
        **{name: "off" if name == "keras" else "ok" for name in OWN},
        "broken": "failed",
        "moody": "off",
        "slack": "ok",
    }
    assert rows["broken"]["errors"] == ["RuntimeError: no server\nasked twice"]
    assert rows["slack"] == {
        "name": "slack",
        "distribution": "slack",
        "version": "1.2",
        "status": "ok",
        "hooks": [
            "trainhooks_callbacks",
            "trainhooks_attach",
            "trainhooks_adapter",
            "trainhooks_frameworks",
            "trainhooks_events",
        ],
        "callbacks": ["Slack", "QuietSlack"],
        "frameworks": ["slackflow"],
        "events": ["posted"],
        "demos": [],
        "attaches": True,
        "refused": [],
        "errors": [],
    }


def test_those_that_are_off_do_not_fail_and_the_variable_is_told(folder: Path) -> None:
    done = trainhooks(folder, "plugins", TRAINHOOKS_PLUGINS="none")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.partition("\n\n")[0].splitlines()[1:]
    rows = [line.split() for line in lines if not line.startswith(" ")]
    told = {row[0]: (row[3], row[4:] == ["-"]) for row in rows}
    assert list(told) == sorted(told)
    assert told == {
        **dict.fromkeys(OWN, ("ok", False)),
        **dict.fromkeys(("broken", "moody", "slack"), ("off", True)),
    }
    assert done.stdout.endswith("\n\nTRAINHOOKS_PLUGINS=none is set.\n")


@pytest.mark.parametrize(
    "argument, code, said",
    [
        (
            "--plugins=slak",
            2,
            f"plugins='slak': there is no plugin 'slak'. Did you mean 'slack'? There are {quoted(*OWN, 'slack')}.",
        ),
        (
            "--plugins=none,slack",
            2,
            "plugins='none,slack': it is 'none', or names as 'name,name', or as '-name' those to leave out",
        ),
    ],
)
def test_a_selection_that_is_none_is_a_mistake(tmp_path: Path, argument: str, code: int, said: str) -> None:
    distribution(tmp_path, "slack", "1.2", SLACK)
    done = trainhooks(tmp_path, "plugins", argument)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", f"trainhooks plugins: {said}\n")


def test_a_variable_that_names_none_is_something_wrong(tmp_path: Path) -> None:
    done = trainhooks(tmp_path, "plugins", TRAINHOOKS_PLUGINS="-slak")
    assert (done.returncode, done.stderr) == (1, "")
    assert " ".join(done.stdout.split()).endswith(
        "TRAINHOOKS_PLUGINS=-slak is set. "
        f"TRAINHOOKS_PLUGINS='-slak': there is no plugin 'slak'. There are {quoted(*OWN)}."
    )


def test_the_other_commands_say_in_a_line_what_failed_and_go_on(folder: Path) -> None:
    done = trainhooks(folder, "events", "epoch_end")
    assert (done.returncode, done.stdout[:12]) == (0, "on_epoch_end")
    assert done.stderr == (
        "trainhooks: plugin 'broken' of broken 0.1 is skipped: RuntimeError: no server\nasked twice\n"
        "trainhooks: plugin 'moody' of moody 3 is skipped: trainhooks_events: OSError: not today\n"
    )


def test_what_plugins_offer_is_listed_behind_the_built_ins(folder: Path) -> None:
    done = trainhooks(folder, "callbacks", TRAINHOOKS_PLUGINS="slack")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.partition("\n\n")[2] == (
        "Offered by the plugin 'slack' of slack 1.2:\n"
        "Slack                  Post each epoch's metrics to a channel\n"
        "QuietSlack             As Slack, at the end alone\n"
    )


def test_one_of_a_plugin_has_a_page_too(folder: Path) -> None:
    assert trainhooks(folder, "callbacks", "slack", TRAINHOOKS_PLUGINS="slack").stdout == (
        """\
# Slack

```python
from slack import Slack

Slack(channel, *, every=1)
```

Post each epoch's metrics to a channel.

**How it runs**

- Offered by the plugin 'slack' of slack 1.2: `trainhooks.callbacks.make("Slack", ...)`.
- Phase `observe`: in each event it runs first.
- An exception in it ends training.
- Where several processes train, it runs in each.
"""
    )
    told = json.loads(trainhooks(folder, "callbacks", "QuietSlack", "--json", TRAINHOOKS_PLUGINS="slack").stdout)
    assert {name: value for name, value in told.items() if name != "page"} == {
        "name": "QuietSlack",
        "offered_by": "plugin 'slack' of slack 1.2",
        "plugin": "slack",
        "distribution": "slack",
        "summary": "As Slack, at the end alone",
        "signature": 'quiet(channel="off")',
        "phase": None,
        "on_error": None,
        "ranks": None,
        "requires": None,
    }


def test_a_name_that_is_taken_is_a_failure_of_the_plugin(tmp_path: Path) -> None:
    distribution(
        tmp_path,
        "copycat",
        "1.0",
        """
        import trainhooks

        @trainhooks.hookimpl
        def trainhooks_callbacks():
            return {"Timer": trainhooks.Callback, "Mine": trainhooks.Callback}
        """,
    )
    done = trainhooks(tmp_path, "plugins")
    who, what = done.stdout.partition("\n\n")[2].splitlines()
    assert (done.returncode, who) == (1, "plugin 'copycat' of copycat 1.0")
    assert what.startswith("  trainhooks_callbacks: ") and what.endswith(" 'Timer', which trainhooks has")
    assert "from trainhooks.callbacks import Timer\n" in trainhooks(tmp_path, "callbacks", "Timer").stdout


def test_one_that_is_registered_is_listed_too(tmp_path: Path) -> None:
    distribution(
        tmp_path,
        "registrar",
        "1.0",
        """
        import trainhooks

        @trainhooks.callbacks.register
        class Beep(trainhooks.Callback):
            "Beep at each epoch."

        @trainhooks.hookimpl
        def trainhooks_attach(run):
            return None
        """,
    )
    done = trainhooks(tmp_path, "callbacks")
    assert done.stdout.partition("\n\n")[2] == (
        "Offered by this process, which registered it:\nBeep                   Beep at each epoch\n"
    )
    assert "- Offered by this process, which registered it: `trainhooks.callbacks.make(" in (
        trainhooks(tmp_path, "callbacks", "beep").stdout
    )
