"""``trainhooks demo``: train a small network on the digits."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict

from .. import demo
from ..callbacks._by_name import left_out
from ..errors import TrainhooksError
from .console import Mistake, aside, complain, document, say


def run(asked: Namespace) -> int:
    """Train in one framework or in all; progress is shown on stderr."""
    try:
        names = list(demo.trainers()) if asked.framework == "all" else [demo.resolve(asked.framework)]
    except (TrainhooksError, ValueError) as error:
        raise Mistake(str(error)) from error
    if asked.framework == "all":
        try:
            reports = demo.train_all(asked.out, say=aside, seed=asked.seed)
        except RuntimeError as error:
            complain("trainhooks demo", str(error))
            return 1
        if asked.json:
            document([asdict(one) for one in reports])
        else:
            say(demo.table(reports))
        return 0
    try:
        report = demo.train(names[0], asked.out / names[0], progress=not asked.json, seed=asked.seed)
    except TrainhooksError as error:  # as of an adapter that was left out
        complain("trainhooks demo", f"{error}{left_out()}")
        return 1
    if asked.json:
        document(asdict(report))
    else:
        say(report.text())
    return 0
