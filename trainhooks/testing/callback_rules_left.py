"""What a run leaves behind in its process, on its model and in the folder for temporary files."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from ..callback import Callback
from .callback_rules_trial import Trial

_SIGNALS: Final = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2")
_OTHERS_THREADS: Final = ("ThreadPoolExecutor", "pydevd", "asyncio_")
"""Beginnings of the names of threads that belong to frameworks (JAX's come with its first run) and debuggers."""

_ENVIRONMENT: Final = "the environment has "


def held() -> list[str]:
    """What this process holds: files and sockets that are open, threads, child processes, handlers of signals, its
    environment and its working directory."""
    folder, found = Path("/proc/self/fd"), []
    for one in folder.iterdir() if folder.exists() else ():
        with contextlib.suppress(OSError):  # the one that the listing itself has open
            found.append(f"{_named(os.readlink(one))} is open")
    threads = [one.name for one in threading.enumerate() if not one.name.startswith(_OTHERS_THREADS)]
    found += [f"the thread {name!r} runs" for name in threads]
    found += [f"the process {one.name!r} runs" for one in multiprocessing.active_children()]
    here = [name for name in _SIGNALS if hasattr(signal, name)]
    found += [f"{name} is handled by {_called(signal.getsignal(getattr(signal, name)))}" for name in here]
    found += [f"{_ENVIRONMENT}{name}={value}" for name, value in os.environ.items()]
    return found


def left(trial: Trial, made: Callback, before: Iterable[str]) -> dict[str, list[str]]:
    """What the last run left behind, by the rule whose business it is; ``before`` is what was held before it."""
    temporaries = [*Path("../temporary").rglob("*"), *Path().rglob("*.tmp*"), *Path().rglob("*.part")]
    warned = [one for one in trial.said if one.category is ResourceWarning]
    held_on = [("run", made.run), ("model", made.model)]
    return {
        "let-go": [f"its {name} is {value!r}" for name, value in held_on if value is not None],
        "nothing-open": [
            *("something was not closed" for _ in warned),
            *(Counter(held()) - Counter(before)).elements(),
        ],
        "no-temporaries": [f"{path.name!r} is there" for path in temporaries],
        "model-clean": [f"{one!r} is on the model" for one in trial.bench.left_on()],
    }


def lasting(found: Iterable[str]) -> list[str]:
    """Of what is held more than before, all but the environment: a package that was loaded may have set that."""
    return [one for one in found if not one.startswith(_ENVIRONMENT)]


def usually_left(trial: Trial) -> dict[str, list[str]]:
    """What a run of a new one leaves behind that ends well."""

    def find() -> dict[str, list[str]]:
        made, before = trial.make(), held()
        trial.train(made)
        return left(trial, made, before)

    def find_again() -> dict[str, list[str]]:
        found = find()
        return find() if found["nothing-open"] and not lasting(found["nothing-open"]) else found

    return trial.once("left", find_again)


def more(found: dict[str, list[str]], usual: dict[str, list[str]]) -> list[str]:
    """What is left that a run which ends well does not leave: that is the business of other rules."""
    many = [rule for rule, here in found.items() if len(here) > len(usual[rule])]  # names may be new in each run
    return [one for rule in many for one in (Counter(found[rule]) - Counter(usual[rule])).elements()]


def _named(target: str) -> str:
    """A file by its name alone: each run has a folder of its own."""
    if target.startswith("/") and not target.startswith("/dev"):
        return f"the file {os.path.basename(target)!r}"
    return f"a {target.partition(':')[0]}" if ":" in target else target


def _called(handler: Any) -> str:
    return getattr(handler, "__qualname__", None) or str(handler)
