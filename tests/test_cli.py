"""The command line as shells and programs know it: exit codes, streams, colours, JSON."""

from __future__ import annotations

import errno
import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_plugins import distribution, environment, trainhooks

from trainhooks.cli import main
from trainhooks.commands import console
from trainhooks.store import save_checkpoint

COMMAND = [sys.executable, "-m", "trainhooks"]
COMMANDS = ("demo", "plugins", "callbacks", "events", "checkpoints", "doctor")
HELPS = [["--help"], *([name, "--help"] for name in COMMANDS)]


def test_without_a_command_help_is_printed_and_that_is_a_mistake(tmp_path: Path) -> None:
    done = trainhooks(tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", trainhooks(tmp_path, "--help").stdout)
    assert done.stderr.startswith("usage: trainhooks [-h] [-V] COMMAND ...\n")


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["plugns"], "trainhooks: error: there is no command 'plugns'. Did you mean 'plugins'?"),
        (
            ["x"],
            "trainhooks: error: there is no command 'x'. "
            "There are 'demo', 'plugins', 'callbacks', 'events', 'checkpoints', 'doctor'.",
        ),
        (
            ["checkpoints", ".", "--verfy"],
            "trainhooks checkpoints: error: there is no place for '--verfy'. Did you mean '--verify'?",
        ),
        (["events", "a", "b"], "trainhooks events: error: there is no place for 'b'."),
        (
            ["--json", "events"],
            "trainhooks events: error: --json stands behind the command: trainhooks events --json",
        ),
        (
            ["--plugins", "none", "plugins"],
            "trainhooks plugins: error: --plugins stands behind the command: trainhooks plugins --plugins",
        ),
        (
            ["--plugins=none"],
            "trainhooks plugins: error: --plugins stands behind the command: trainhooks plugins --plugins",
        ),
        (["--json"], "trainhooks: error: the following arguments are required: COMMAND"),
        *(
            (
                ["demo", "--seed", seed],
                f"trainhooks demo: error: argument --seed: '{seed}' is no whole number from 0 to 4294967295",
            )
            for seed in ("x", "-1", "4294967296")
        ),
        (["checkpoints"], "trainhooks checkpoints: error: the following arguments are required: folder"),
    ],
)
def test_a_mistake_in_the_arguments_is_told_with_the_nearest(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    printed = capsys.readouterr()
    assert (caught.value.code, printed.out, printed.err.splitlines()[-1]) == (2, "", said)


def documents(folder: Path) -> Iterator[tuple[list[str], str]]:
    """Commands that print JSON, and the one whose help tells the keys."""
    save_checkpoint(folder / "c1", {"w": np.zeros(3)}, {"epoch": 0, "metrics": {"loss": float("nan")}})
    yield from (([name, "--json"], name) for name in ("plugins", "callbacks", "events", "doctor"))
    yield ["callbacks", "EarlyStopping", "--json"], "callbacks"
    yield ["callbacks", "--write", str(folder / "pages"), "--json"], "callbacks"
    yield ["events", "epoch_end", "--json"], "events"
    yield ["checkpoints", str(folder), "--verify", "--prune", "2", "--json"], "checkpoints"


def keys(value: Any, by_name: tuple[str, ...]) -> set[str]:
    """All keys of a document; not those within what is by name, which are data."""
    if isinstance(value, list):
        return {key for one in value for key in keys(one, by_name)}
    if not isinstance(value, dict):
        return set()
    return set(value) | {key for name, one in value.items() if name not in by_name for key in keys(one, by_name)}


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not in standard JSON")


def test_json_is_one_document_whose_keys_stand_in_the_help(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    for arguments, command in documents(tmp_path):
        main(arguments)
        document = json.loads(capsys.readouterr().out, parse_constant=refuse)
        with pytest.raises(SystemExit):
            main([command, "--help"])
        words = set(re.findall(r"\w+", capsys.readouterr().out.partition("--json: ")[2]))
        named = keys(document, ("metrics", "versions", "backends", "lacks", "refused"))
        assert (named - words, len(named) > 0) == (set(), True), arguments


@pytest.mark.parametrize("arguments", [["events"], ["callbacks"], ["plugins"], ["doctor"], ["--help"]])
def test_output_keeps_to_100_columns_of_plain_ascii(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    try:
        main(arguments)
    except SystemExit:
        assert arguments == ["--help"]
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if (len(line) > 100 and len(line.split()) > 2) or not line.isprintable()] == []
    assert "".join(lines).isascii()


@pytest.mark.parametrize("columns", [60, 80])
@pytest.mark.parametrize("arguments", [["events"], ["callbacks"], ["plugins"], ["doctor"], *HELPS])
def test_a_narrow_terminal_is_wide_enough(
    arguments: list[str], columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    try:
        main(arguments)
    except SystemExit:
        assert arguments[-1] == "--help"
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if len(line) > columns and len(line.split()) > 2] == []


def test_the_help_tells_every_exit_code(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    with pytest.raises(SystemExit):
        main(["--help"])
    assert capsys.readouterr().out.partition("exit codes:\n")[2] == (
        """\
  0 fine
  1 something is wrong (a plugin that failed, a damaged
    checkpoint, what doctor found)
  2 a mistake in the arguments
  130 Ctrl-C; 141 whoever read the output went away
output:
  with --json one JSON document on stdout, whose keys the
    --help of the command tells
  colours in a terminal only, and as NO_COLOR, FORCE_COLOR
    and TERM=dumb say
environment:
  TRAINHOOKS_PLUGINS says which plugins are used: none;
    name,name (these alone); -name (all but it)
"""
    )


def test_a_reader_that_went_away_ends_it_quietly(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [*COMMAND, "events"], stdout=writing, stderr=subprocess.PIPE, env=environment(tmp_path), check=False
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_what_cannot_be_written_is_a_failure_and_told_once(tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*COMMAND, "events"], stdout=full, stderr=subprocess.PIPE, text=True, env=environment(tmp_path), check=False
        )
    said = f"trainhooks events: [Errno {errno.ENOSPC}] {os.strerror(errno.ENOSPC)}\n"
    assert (done.returncode, done.stderr) == (1, said)


def test_ctrl_c_ends_it_with_130_and_no_traceback(tmp_path: Path) -> None:
    distribution(
        tmp_path,
        "slow",
        "1.0",
        """
        import sys, trainhooks

        def train(training, validation, callbacks, epochs, seed):
            print("begun", file=sys.stderr, flush=True)
            sys.stdin.read()

        @trainhooks.hookimpl
        def trainhooks_demos():
            return {"slow": train}
        """,
    )
    started = subprocess.Popen(
        [*COMMAND, "demo", "--framework", "slow", "--out", str(tmp_path / "out")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(tmp_path),
    )
    with started:
        assert started.stderr is not None
        assert started.stderr.readline() == "begun\n"
        started.send_signal(signal.SIGINT)
        out, err = started.communicate()
    assert (started.returncode, out, err) == (130, "", "trainhooks demo: interrupted\n")


def in_a_terminal(folder: Path, **more: str) -> str:
    """What ``trainhooks plugins`` prints in a terminal."""
    mine, its = pty.openpty()
    with subprocess.Popen([*COMMAND, "plugins"], stdout=its, env=environment(folder, TERM="xterm", **more)) as started:
        os.close(its)
        printed = b""
        while chunk := _read(mine):
            printed += chunk
    os.close(mine)
    assert started.returncode == 0
    return printed.decode().replace("\r\n", "\n")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # Linux says so when the other end was closed
        return b""


def test_colours_are_for_terminals_alone(tmp_path: Path) -> None:
    plain = trainhooks(tmp_path, "plugins", TERM="xterm").stdout
    painted = in_a_terminal(tmp_path)
    assert "\x1b[32mok\x1b[0m" in painted
    assert "\x1b" not in plain
    assert in_a_terminal(tmp_path, NO_COLOR="1") == plain
    assert trainhooks(tmp_path, "plugins", FORCE_COLOR="1").stdout == painted


class Terminal:
    """A stream that is one."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    "environ, terminal, coloured",
    [
        ({}, True, True),
        ({}, False, False),
        ({"NO_COLOR": ""}, True, True),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, True, False),
        ({"TERM": "dumb"}, True, False),
        ({"TERM": "dumb", "FORCE_COLOR": "1"}, True, True),
        ({"FORCE_COLOR": "1"}, False, True),
    ],
)
def test_who_has_the_say_about_colours(environ: dict[str, str], terminal: bool, coloured: bool) -> None:
    stream: Any = Terminal() if terminal else None
    assert console.has_colours(stream, environ) == coloured


def test_what_ascii_cannot_hold_is_written_as_an_escape(tmp_path: Path) -> None:
    distribution(
        tmp_path,
        "cafe",
        "1.0",
        """
        import trainhooks

        class Menu(trainhooks.Callback):
            '''Print what the caf\u00e9 has.'''

        @trainhooks.hookimpl
        def trainhooks_callbacks():
            return {"Menu": Menu}
        """,
    )
    done = trainhooks(tmp_path, "callbacks", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, f"{'Menu':22} Print what the caf\\xe9 has"), done
