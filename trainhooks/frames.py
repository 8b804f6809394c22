"""Frame: one open scope on the driver's stack, and where each kind may stand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

from .events import SCOPES
from .logs import Logs

if TYPE_CHECKING:
    from .bus import BatchCalls

Kind = Literal["run", "train", "epoch", "pass", "test", "predict"]

PARENTS: Final[dict[str, tuple[str, ...]]] = {
    # a pass stands where its batches stand; what may stand in a batch may stand in the pass that holds it
    name: tuple("pass" if parent == "train_batch" else parent for parent in scope.parents)
    for name, scope in SCOPES.items()
    if not name.endswith("_batch")
} | {"pass": SCOPES["train_batch"].parents}
BATCH_SCOPES: Final = {"pass": "train_batch", "test": "test_batch", "predict": "predict_batch"}
"""The batches that a scope has, by its kind."""


class Frame:
    """One open scope: its kind and logs, the batch in it, and what to bring back when it closes."""

    __slots__ = (
        "batch",
        "before",
        "begun",
        "calls",
        "dropped",
        "in_batch",
        "index",
        "is_nested",
        "is_top",
        "key",
        "kind",
        "kinds",
        "left",
        "loader",
        "loader_state",
        "logged",
        "logs",
        "look",
        "name",
        "outputs",
        "over",
        "random",
        "takes_logs",
        "values",
        "values_of",
    )

    def __init__(
        self, kind: Kind, logs: Logs | None, name: str, before: tuple[Any, ...], calls: BatchCalls | None = None
    ) -> None:
        self.kind, self.logs, self.name, self.before = kind, logs, name, before
        self.calls = calls
        """What the events of its batches call; None where it has no batches."""
        self.batch = -1
        self.look = 0
        """The batch after which ``timings`` is to be asked."""
        self.in_batch = False
        self.dropped = -2
        """The last batch that the trainer is thought never to end: it may still, where it only looked aside in it."""
        self.is_top = False
        """Nothing stands in it."""
        self.left = False
        """Whoever iterated over it has gone, by a break or an exception; which of them is not known yet."""
        self.takes_logs = logs is not None and kind != "predict"
        """Whether metrics can be logged into it just so: it has not been left, and its outputs are none."""
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

    def leave(self) -> None:
        """Whoever iterated over it has gone."""
        self.left, self.takes_logs = True, False
