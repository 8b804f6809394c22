"""Frame: one open scope on the driver's stack, and where each kind may stand."""

from __future__ import annotations

from typing import Any, Final, Literal

from .events import SCOPES
from .logs import Logs

Kind = Literal["run", "train", "epoch", "pass", "test", "predict"]

PARENTS: Final[dict[str, tuple[str, ...]]] = {
    # a pass stands where its batches stand; what may stand in a batch may stand in the pass that holds it
    name: tuple("pass" if parent == "train_batch" else parent for parent in scope.parents)
    for name, scope in SCOPES.items()
    if not name.endswith("_batch")
} | {"pass": SCOPES["train_batch"].parents}
BATCH_EVENTS: Final = {
    kind: (f"{name}_begin", f"{name}_end")
    for kind, name in {"pass": "train_batch", "test": "test_batch", "predict": "predict_batch"}.items()
}


class Frame:
    """One open scope: its kind and logs, the batch in it, and what to bring back when it closes."""

    __slots__ = (
        "batch",
        "before",
        "begun",
        "in_batch",
        "index",
        "is_nested",
        "key",
        "kind",
        "kinds",
        "left",
        "loader",
        "loader_state",
        "logged",
        "logs",
        "name",
        "outputs",
        "over",
        "random",
        "values",
        "values_of",
    )

    def __init__(self, kind: Kind, logs: Logs | None, name: str, before: tuple[Any, ...]) -> None:
        self.kind, self.logs, self.name, self.before = kind, logs, name, before
        self.batch = -1
        self.in_batch = False
        self.left = False
        """Whoever iterated over it has gone, by a break or an exception; which of them is not known yet."""
        self.logged = -1
        """The batch in which something was last logged, or an optimizer step seen."""
        self.values: dict[str, Any] = {}
        self.values_of = -1
        """The batch that ``values`` belong to."""
        self.outputs: Any = None
        """Of the running prediction batch."""
        self.begun = 0
        """Of an epoch: how many of its passes, validations and predictions have begun."""
        self.key = ""
        """What it is called among its epoch's: its kind, its name, and how many of these came before. Of an epoch: that
        of the pass that began last."""
        self.kinds: dict[tuple[str, str], int] = {}
        """Of an epoch: how many passes of each kind and name have begun."""
        self.index: int | None = None
        """Which of its epoch's it is, from 0; None for one that stands in no epoch, or inside a batch."""
        self.over = False
        """Its loader has no more; a loader that keeps its place may be at its beginning again."""
        self.is_nested = False
        """It stands inside a training batch."""
        self.loader: Any = None
        self.loader_state: Any = None
        """What its loader is to go on from, until it has begun to."""
        self.random: dict[str, Any] | None = None
        """The random generators as they were when its loader was asked for the first batch."""
