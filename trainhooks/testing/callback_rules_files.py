"""Rules on the files that a callback writes: after a resume, beside an evaluation, and before any run."""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from .callback_rules_left import held, lasting
from .callback_rules_resume import CameTo, gone_on, never_stopped, paused, paused_in_validation
from .callback_rules_trial import Files, Saver, Trial, as_read, at_the_end_of, files_here
from .doubles import RaiseAt
from .rules import Rule

_PAGE: Final = "docs/write-a-callback.md#resume"
_HINT: Final = "(flush what is kept open, keep its length in the state, and cut back to it in train_begin)"


def _come_out_the_same(trial: Trial) -> str | None:
    each = [gone_on(trial, event) for event in ("epoch_end", "train_batch_end", "test_batch_end")]
    if trial.new_bench().sparing:
        each = each[:1]
    else:
        each += [paused_in_validation(trial), _crashed(trial), _killed(trial)]
    once_paused = paused(trial)
    expected = never_stopped(trial).files
    for one in itertools.chain(*each, [] if isinstance(once_paused, str) else [once_paused]):
        found = _otherwise(expected, one.files)
        if found is not None:
            return f"{one.where}, in the folder of the run before: {found} {_HINT}"
    return None


def _crashed(trial: Trial) -> Iterator[CameTo]:
    """A run that raises some batches after its state was taken, and is gone on with."""
    states: list[Any] = []
    take = at_the_end_of("train_batch_end", lambda run: states.append(as_read(run.state_dict())))
    with contextlib.suppress(_CrashError):
        trial.train(trial.make(), Saver(), take, RaiseAt("train_batch_end", 5, _CrashError()))
    if len(states) > 2:
        trial.train(trial.make(), Saver(), resume=states[2], files=files_here())
        yield CameTo("crashed in epoch 2, gone on with from batch 0 of epoch 1", {}, files_here())


def _killed(trial: Trial) -> Iterator[CameTo]:
    """A run that is killed the moment its state is taken: what it has not written by then is not there."""
    taken: list[tuple[Any, Files]] = []
    take = at_the_end_of("train_batch_end", lambda run: taken.append((as_read(run.state_dict()), files_here())))
    trial.train(trial.make(), Saver(), take)
    if len(taken) > 3:
        state, files = taken[3]
        trial.train(trial.make(), Saver(), resume=state, files=files)
        yield CameTo("killed after batch 1 of epoch 1, and gone on with from there", {}, files_here())


class _CrashError(Exception):
    """What ends a run in its midst."""


def _otherwise(expected: Files, came: Files) -> str | None:
    """How files differ, in words."""
    for name in [*expected, *(name for name in came if name not in expected)]:
        if name not in came:
            return f"{name!r} is not there"
        if name not in expected:
            return f"there is {name!r}, which a run that never stopped does not leave"
        if came[name] != expected[name]:
            return f"{name!r} {_content(expected[name], came[name])}"
    return None


def _content(expected: bytes, came: bytes) -> str:
    try:
        lines, others = expected.decode().splitlines(), came.decode().splitlines()
    except UnicodeDecodeError:
        lines, others = [], []
    for number, (line, other) in enumerate(itertools.zip_longest(lines, others), 1):
        if line != other:
            here, right = ("not there" if one is None else repr(one[:100]) for one in (other, line))
            return f"has {_many(others)}: line {number} is {here}; it should be {right}, of {_many(lines)}"
    return f"has other content, of {len(came)} bytes; it should have {len(expected)}"


def _many(lines: list[str]) -> str:
    return f"{len(lines)} line{'' if len(lines) == 1 else 's'}"


def _evaluation_leaves_them(trial: Trial) -> str | None:
    before = never_stopped(trial).files
    trial.bench = trial.new_bench()
    for what in ("an evaluation", "a prediction"):
        with trial.folder(before):
            made = trial.around(trial.make())
            done = trial.bench.predict(made) if "pred" in what else trial.bench.evaluate({"loss": 0.25}, made)
        came = files_here()
        found = None if done is None else _otherwise(before, {name: came[name] for name in before if name in came})
        if found is not None:
            return f"{what}, in the folder of a training: {found}"
    return None


def _is_made_in_peace(trial: Trial) -> str | None:
    first = trial.factory()  # what it loads may set something in the environment, once
    with trial.folder() as folder:
        before = held()
        second = trial.factory()
        found = lasting((Counter(held()) - Counter(before)).elements())
        found += [f"{path.name!r} was written" for path in sorted(folder.rglob("*")) if path.is_file()]
    del first, second
    return f"as soon as it was made, {found[0]}" if found else None


FILES: Final = [
    Rule(
        "constructor",
        "docs/write-a-callback.md#hooks",
        "To make one opens, starts and writes nothing.",
        _is_made_in_peace,
    ),
    Rule(
        "resume-files",
        _PAGE,
        "After a resume its files are, byte by byte, as if the run had never stopped.",
        _come_out_the_same,
    ),
    Rule(
        "evaluation-files",
        _PAGE,
        "An evaluation or a prediction alone leaves the files of a training as they were.",
        _evaluation_leaves_them,
    ),
]
