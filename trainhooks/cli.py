"""The command line: argument parsing alone."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from . import __version__
from .errors import TrainhooksError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``trainhooks``; returns the exit code: 0, 1 for a failure, 2 for a mistake in the arguments."""
    parser = argparse.ArgumentParser("trainhooks", description="Write a training callback once, run it anywhere.")
    parser.add_argument("--version", action="version", version=f"trainhooks {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser("demo", help="train a small network on the digits, steered by callbacks")
    demo.add_argument("--framework", default="numpy", help="numpy, torch, keras, ..., or all that are installed")
    demo.add_argument("--out", type=Path, default=Path("trainhooks-demo"), help="the folder for the files")
    demo.add_argument("--seed", type=int, default=0, help="of the weights and of the order of the data")
    demo.add_argument("--json", action="store_true", help="print one line for a program, and no progress")
    demo.set_defaults(run=_demo)
    pages = commands.add_parser("callbacks", help="list the callbacks, or show the page of one")
    pages.add_argument("name", nargs="?", help="of a callback, whose page is printed")
    pages.add_argument("--write", type=Path, metavar="FOLDER", help="write the page of each into a folder")
    pages.set_defaults(run=_callbacks)
    checkpoints = commands.add_parser("checkpoints", help="list the checkpoints in a folder, and check or prune them")
    checkpoints.add_argument("folder", type=Path, help="of checkpoints, or one checkpoint")
    checkpoints.add_argument("--verify", action="store_true", help="read every file and compare its SHA-256")
    checkpoints.add_argument("--prune", type=_count, metavar="KEEP", help="delete all but the newest good ones")
    checkpoints.set_defaults(run=_checkpoints)
    asked = parser.parse_args(arguments)
    return int(asked.run(asked))


def _callbacks(asked: argparse.Namespace) -> int:
    from . import pages

    if asked.write is not None:
        for file in pages.write(asked.write):
            print(file)
        return 0
    if asked.name is None:
        known = pages.built_ins()
        width = max(map(len, known))
        for name, callback in known.items():
            print(f"{name:{width}}  {pages.one_line(callback)}")
        return 0
    try:
        print(pages.page(pages.find(asked.name)), end="")
    except ValueError as error:
        print(f"trainhooks callbacks: {error}", file=sys.stderr)
        return 2
    return 0


def _count(text: str) -> int:
    """An argument that is a count from 1; argparse tells of any other."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no count from 1")
    return int(text)


def _checkpoints(asked: argparse.Namespace) -> int:
    from .store import table

    try:
        told = table.look(asked.folder, verify=asked.verify, keep=asked.prune)
    except FileNotFoundError as error:
        print(f"trainhooks checkpoints: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"trainhooks checkpoints: {error}", file=sys.stderr)
        return 1
    print(told.text)
    return 1 if told.damaged else 0


def _demo(asked: argparse.Namespace) -> int:
    from . import demo

    try:
        if asked.framework == "all":
            reports = demo.train_all(asked.out, say=lambda line: print(line, file=sys.stderr))
            print("\n".join(map(demo.to_json, reports)) if asked.json else demo.table(reports))
            return 0
        framework = demo.resolve(asked.framework)
    except (TrainhooksError, ValueError) as error:
        print(f"trainhooks demo: {error}", file=sys.stderr)
        return 2
    except RuntimeError as error:
        print(f"trainhooks demo: {error}", file=sys.stderr)
        return 1
    report = demo.train(framework, asked.out / framework, progress=not asked.json, seed=asked.seed)
    print(demo.to_json(report) if asked.json else report.text())
    return 0
