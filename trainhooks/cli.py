"""The command line: argument parsing alone. What a command does is in ``commands/``."""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .errors import did_you_mean, listing
from .version import __version__

_ENDS = """\
exit codes:
  0 fine
  1 something is wrong (a plugin that failed, a damaged checkpoint, what doctor found)
  2 a mistake in the arguments
  130 Ctrl-C; 141 whoever read the output went away
output:
  with --json one JSON document on stdout, whose keys the --help of the command tells
  colours in a terminal only, and as NO_COLOR, FORCE_COLOR and TERM=dumb say
environment:
  TRAINHOOKS_PLUGINS says which plugins are used: none; name,name (these alone); -name (all but it)"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``trainhooks``; returns the exit code: 0, 1 where something is wrong, 2 for a mistake in the arguments."""
    parser, commands = _parser()
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given:
        if sys.stderr is not None:  # it would take stdout instead
            parser.print_help(sys.stderr)
        return 2
    _refuse_early(given, parser, commands)
    word = next((one for one in given if not one.startswith("-")), None)
    if word is not None and word not in commands:
        near = did_you_mean(word, commands) or f" There are {listing(commands)}."
        parser.error(f"there is no command {word!r}.{near}")
    asked, strange = parser.parse_known_args(given)
    if strange:
        own, option = commands[asked.command], strange[0].partition("=")[0]
        own.error(f"there is no place for {strange[0]!r}.{did_you_mean(option, own.options)}")
    from .commands.running import run

    return run(asked.command, asked)


def _refuse_early(given: list[str], parser: _Parser, commands: dict[str, _Parser]) -> None:
    """Refuse an option of a command that stands before it: what follows it would be taken for the command."""
    option = given[0].partition("=")[0]
    named = [one for one in given if one in commands][:1] or list(commands)
    having = [one for one in named if option in commands[one].options]
    if option not in parser.options and len(having) == 1:
        commands[having[0]].error(f"{option} stands behind the command: trainhooks {having[0]} {option}")


class _Help(argparse.RawDescriptionHelpFormatter):
    """Help in as many columns as the commands' own output."""

    def __init__(self, prog: str, **kwargs: Any) -> None:
        super().__init__(prog, max_help_position=25, width=max(40, min(100, shutil.get_terminal_size().columns - 2)))

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        """Each line of a text on lines that fit; one that is indented by four goes on with the one before."""
        lines = re.sub(r"\n {4,}", " ", text).splitlines()
        later = [" " * (4 if line.startswith(" ") else 0) for line in lines]
        wrapped = (
            textwrap.wrap(line, width, subsequent_indent=rest, break_on_hyphens=False, break_long_words=False)
            for line, rest in zip(lines, later, strict=True)
        )
        return "\n".join(indent + line for lines in wrapped for line in lines or [""])


class _Parser(argparse.ArgumentParser):
    """Takes no abbreviations, and keeps the line breaks of its texts."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.options: list[str] = []
        super().__init__(*args, **{"allow_abbrev": False, "formatter_class": _Help, **kwargs})

    def add_argument(self, *names: Any, **kwargs: Any) -> argparse.Action:
        action = super().add_argument(*names, **kwargs)
        self.options += action.option_strings
        return action


def _parser() -> tuple[_Parser, dict[str, _Parser]]:
    """The parser, and that of each command."""
    parser = _Parser("trainhooks", description="Write a training callback once, run it anywhere.", epilog=_ENDS)
    parser.add_argument("-V", "--version", action="version", version=f"trainhooks {__version__}")
    adder = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    commands: dict[str, _Parser] = {}

    def add(name: str, what: str, keys: str) -> _Parser:
        text = f"{what[0].upper()}{what[1:]}."
        made = commands[name] = adder.add_parser(name, help=what, description=text, epilog=f"--json: {keys}")
        made.add_argument("--json", action="store_true", help="print one JSON document for a program")
        return made

    demo = add("demo", "train a small network on the digits, steered by callbacks", _DEMO)
    demo.add_argument("--framework", default="numpy", help="numpy, torch, keras, ..., or all that are installed")
    demo.add_argument("--out", type=Path, default=Path("trainhooks-demo"), help="the folder for the files")
    demo.add_argument("--seed", type=_seed, default=0, help="of the weights and of the order of the data")
    plugins = add("plugins", "list the plugins that are installed, what they offer, and what failed", _PLUGINS)
    plugins.add_argument(
        "--plugins",
        metavar="SELECTION",
        help="as the argument plugins= of wrap and fit: none, or name,name (these alone), or -name (all but it; "
        "write it --plugins=-name)",
    )
    callbacks = add("callbacks", "list the callbacks, or show the page of one", _CALLBACKS)
    callbacks.add_argument("name", nargs="?", help="of a callback, whose page is printed")
    callbacks.add_argument("--write", type=Path, metavar="FOLDER", help="write the page of each built-in into a folder")
    events = add("events", "list the events, what they carry and how they nest, or show one", _EVENTS)
    events.add_argument("name", nargs="?", help="of an event, as epoch_end or on_epoch_end")
    checkpoints = add("checkpoints", "list the checkpoints in a folder, and check or prune them", _CHECKPOINTS)
    checkpoints.add_argument("folder", type=Path, help="of checkpoints, or one checkpoint")
    checkpoints.add_argument("--verify", action="store_true", help="read every file and compare its SHA-256")
    checkpoints.add_argument("--prune", type=_count, metavar="KEEP", help="delete all but the newest good ones")
    doctor = add(
        "doctor", "say what is installed, which frameworks are served, what is refused and what is wrong", _DOCTOR
    )
    doctor.add_argument("name", nargs="?", help="of a framework: what its trainer lacks, why, and what to do instead")
    return parser, commands


def _seed(text: str) -> int:
    """An argument that every framework takes as a seed."""
    if not (text.isdecimal() and len(text) <= 10 and int(text) < 2**32):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0 to {2**32 - 1}")
    return int(text)


def _count(text: str) -> int:
    """An argument that is a count from 1; argparse tells of any other."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no count from 1")
    return int(text)


_DEMO = """an object, or with --framework all a list of them; epochs count from 1
  framework, outcome, stop_reason, stop_source, epochs, best_epoch, val_accuracy, val_loss, lr, files"""
_PLUGINS = """an object
  selection, environment: what --plugins and TRAINHOOKS_PLUGINS say, or null
  problem: what is wrong with TRAINHOOKS_PLUGINS, or null
  plugins: a list of objects with name, distribution, version, status ("ok", "failed" or "off"), hooks,
    callbacks, frameworks, events, demos (lists of names), attaches (true or false),
    refused (why a numpy model is refused what it attaches, a list), errors (a list)"""
_CALLBACKS = """an object with callbacks, a list of objects (with NAME one such object alone)
  name, offered_by (trainhooks, registered, or the plugin in words), plugin and distribution (null where
    it is no plugin), summary, signature
  phase, on_error, ranks, requires (what it needs whatever its arguments are); null where an argument
    says it, or a function makes the callback
  page (with NAME alone), in Markdown
  with --write: an object with files, a list"""
_EVENTS = """an object (with NAME one of its events alone)
  events: a list of objects with name, hook, arguments, meaning, aliases (of the hook), begins, ends (a
    scope or null), within (the scopes that it may stand in), plugin and distribution (null for our own)
  scopes: a list of objects with name, begin, end, within"""
_CHECKPOINTS = """an object
  folder; deleted: what --prune deleted, a list of names
  checkpoints: oldest first, a list of objects with name, path, epoch, step, inside (null, or where in an
    epoch), metrics, size (bytes), saved_at, state ("good", "not verified" or "damaged"), problem"""
_DOCTOR = """an object
  versions: by name; optional: a list of objects with name, version (null if absent), use, install
  frameworks: a list of objects with name, version, plugin, distribution, install, needs (a list of
    objects with requirement, version, met), tested (releases, the oldest first)
  keras: null, or an object with backends (versions by name; null if absent), chosen, chosen_by
  trainers: a list of objects with framework, lacks (reasons by capability), refused (lists of
    capabilities by callback); with NAME these and frameworks are of that one alone
  problems: a list of sentences"""
