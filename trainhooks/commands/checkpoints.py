"""``trainhooks checkpoints``: what is in a folder, what of it is good, and to delete what is too many."""

from __future__ import annotations

from argparse import Namespace

from ..store import table
from .console import Mistake, document, say


def run(asked: Namespace) -> int:
    """Look, and delete if that is asked; 1 where a checkpoint is damaged."""
    try:
        looked = table.look(asked.folder, verify=asked.verify, keep=asked.prune)
    except FileNotFoundError as error:
        raise Mistake(str(error)) from error
    if asked.json:
        document(table.document(looked))
    else:
        say(looked.text())
    return 1 if looked.damaged else 0
