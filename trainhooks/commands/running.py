"""Run a command, and turn what ends it into an exit code.

====  ==================================================================
0     fine
1     something is wrong: with what was looked at, or in doing it
2     a mistake in the arguments
130   Ctrl-C
141   whoever read the output went away, as ``head`` does
====  ==================================================================
"""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from argparse import Namespace
from importlib import import_module

from .console import Mistake, complain, reserved


def run(name: str, asked: Namespace) -> int:
    """Run the command of that name; returns the exit code."""
    who = f"trainhooks {name}"
    with warnings.catch_warnings():
        if name != "demo":  # which trains: what a framework warns of there is shown as Python shows it
            warnings.showwarning = lambda told, *_, **__: complain("trainhooks", str(told).removeprefix("trainhooks "))
        try:
            with reserved() if asked.json else contextlib.nullcontext():
                code = int(import_module(f"{__package__}.{name}").run(asked))
            if sys.stdout is not None:
                sys.stdout.flush()  # what cannot be written is to be told of here, not when Python shuts down
        except Mistake as error:
            complain(who, str(error))
            return 2
        except KeyboardInterrupt:
            complain(who, "interrupted")
            return 130
        except BrokenPipeError:
            _let_go()
            return 141
        except OSError as error:
            complain(who, str(error))
            _let_go()
            return 1
    return code


def _let_go() -> None:
    """Have what is still to be written go nowhere: Python would complain of it when it shuts down."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
