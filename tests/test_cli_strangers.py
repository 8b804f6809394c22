"""What plugins of others do to the command line: they print, are left out, and fail where a run would begin."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cli_plugins import distribution, environment, trainhooks
from own_plugins import OWN


def doctor(folder: Path) -> tuple[int, dict[str, Any]]:
    """The exit code, and what it says to a program."""
    done = trainhooks(folder, "doctor", "--json", KERAS_HOME=str(folder), KERAS_BACKEND="torch")
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


LATE = """
import trainhooks

class Mine(trainhooks.Callback):
    {body}

    def on_setup(self):
        raise SystemExit("it was fired")

@trainhooks.hookimpl
def trainhooks_attach(run):
    {attach}

@trainhooks.hookimpl
def trainhooks_events():
    return [trainhooks.Event("{event}", (), "")]
"""


def test_what_a_run_would_not_have_is_found_without_one(tmp_path: Path) -> None:
    kinds = {
        "draws": ("requires = 'embeddings'", "return Mine()", "drawn"),
        "raises": ("", "raise OSError('no server')", "raised"),
        "misspells": ("def on_epoch_ends(self): ...", "return Mine()", "spelt"),
        "usurps": ("", "return Mine()", "stop"),
    }
    for name, (body, attach, event) in kinds.items():
        distribution(tmp_path, name, "1", LATE.format(body=body, attach=attach, event=event))
    done = trainhooks(tmp_path, "plugins", "--plugins=" + ",".join(f"-{name}" for name in OWN))
    assert (done.returncode, done.stderr) == (1, "")
    lines = [line for line in done.stdout.splitlines() if line.split(" ")[0] not in OWN]
    assert re.sub(" {2,}", "  ", "\n".join(lines)) == (
        """\
name  distribution  version  status  offers
draws  draws  1  ok  attaches itself; not to a numpy model: Mine needs
  'embeddings', which this trainer lacks: the numpy
  adapter does not offer it; event drawn
misspells  misspells  1  failed  attaches itself; event spelt
raises  raises  1  failed  attaches itself; event raised
usurps  usurps  1  failed  attaches itself; event stop

plugin 'misspells' of misspells 1
  trainhooks_attach: RegistrationError: Mine.on_epoch_ends: there is no such event. Did you mean
  'on_epoch_end'? (A method named on_... is a hook; give a method that is none another name.)

plugin 'raises' of raises 1
  trainhooks_attach: OSError: no server

plugin 'usurps' of usurps 1
  trainhooks_events: ValueError: declare('stop'): there is an event of that name, with the arguments
  'reason', 'source' and not nothing. Give yours another name."""
    )


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["callbacks", "Slak"], "there is no callback 'Slak'. There are "),
        (["events", "posted"], "there is no event 'posted'. There are "),
        (["demo", "--framework", "slack"], "--framework slack: there are "),
    ],
)
def test_a_name_that_is_not_there_may_be_one_of_a_plugin_that_was_left_out(
    arguments: list[str], said: str, tmp_path: Path
) -> None:
    for name in ("second", "first"):
        distribution(tmp_path, name, "1", "raise SystemExit('it was loaded')")
    done = trainhooks(tmp_path, *arguments, TRAINHOOKS_PLUGINS="none,")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"trainhooks {arguments[0]}: {said}")
    assert done.stderr.endswith(". Left out by TRAINHOOKS_PLUGINS: 'first', 'second'.\n")


NOISY = """
import trainhooks

print("begun")

@trainhooks.hookimpl
def trainhooks_callbacks():
    print("asked")
    return {"Noisy": trainhooks.Callback}

@trainhooks.hookimpl
def trainhooks_events():
    print("asked")
    return []
"""


@pytest.mark.parametrize("command", ["plugins", "callbacks", "events", "doctor"])
def test_what_a_plugin_prints_stands_beside_the_document(command: str, tmp_path: Path) -> None:
    distribution(tmp_path, "noisy", "1", NOISY)
    done = trainhooks(tmp_path, command, "--json", KERAS_BACKEND="torch", KERAS_HOME=str(tmp_path))
    assert isinstance(json.loads(done.stdout), dict)
    assert (done.returncode, set(done.stderr.splitlines())) == (0, {"begun", "asked"})


def test_a_framework_of_a_strange_name_hides_nothing_and_is_not_imported(tmp_path: Path) -> None:
    (tmp_path / "vast.py").write_text("raise SystemExit('it was imported')")
    distribution(
        tmp_path,
        "strange",
        "1",
        """
        import trainhooks

        @trainhooks.hookimpl
        def trainhooks_frameworks():
            return {"": "x", "vast.deep": "vast", "no..where": "x"}
        """,
    )
    code, found = doctor(tmp_path)
    assert (code, {one["name"]: one["version"] for one in found["frameworks"] if one["plugin"] == "strange"}) == (
        0,
        {"": None, "vast.deep": "?", "no..where": None},
    )


def test_what_would_fail_when_a_run_begins_is_a_problem_before(tmp_path: Path) -> None:
    distribution(
        tmp_path,
        "late",
        "1",
        """
        import trainhooks

        class Misspelt(trainhooks.Callback):
            def on_epoch_ends(self): ...

        @trainhooks.hookimpl
        def trainhooks_attach(run):
            return Misspelt()
        """,
    )
    assert doctor(tmp_path)[1]["problems"] == [
        "plugin 'late' of late 1 failed: trainhooks_attach: RegistrationError: Misspelt.on_epoch_ends: there is no "
        "such event. Did you mean 'on_epoch_end'? (A method named on_... is a hook; give a method that is none another "
        "name.). Update or uninstall late, or leave the plugin out with TRAINHOOKS_PLUGINS=-late."
    ]


@pytest.mark.parametrize("arguments", [["events", "epoch_end", "--json"], ["events", "nothing"], []])
def test_where_stderr_is_closed_nothing_of_it_goes_to_stdout(arguments: list[str], tmp_path: Path) -> None:
    distribution(tmp_path, "broken", "1.0", "print('begun')\nraise OSError")
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" "$@" 2>&-', sys.executable, "-m", "trainhooks", *arguments],
        stdout=subprocess.PIPE,
        env=environment(tmp_path),
        check=False,
    )
    if "--json" in arguments:
        assert (done.returncode, json.loads(done.stdout)["name"]) == (0, "epoch_end")
    else:
        assert (done.returncode, done.stdout.replace(b"begun\n", b"")) == (2, b"")
