"""Progress: where a run is and whether it should stop. Slotted and hot: generated filters and the loop read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

from .checks import count
from .errors import did_you_mean, listing

StopKind = Literal["decision", "fault", "pause"]
Phase = Literal["train", "test", "predict"]

STOP_KINDS: Final = ("decision", "fault", "pause")

_COUNTS: Final = ("epoch", "batch", "step", "optimizer_step", "epochs_done")


class Stop(NamedTuple):
    """A request to stop: its kind, why, and who asked."""

    kind: StopKind
    reason: str
    source: str | None = None


class Progress:
    """The counts and requests of one run.

    Attributes:
        epoch: number of the running or last epoch, from 0.
        batch: number of the batch within its epoch, validation or prediction, from 0.
        step: finished training batches over the whole run.
        optimizer_step: the optimizer's real updates, where they are seen.
        epochs_done: finished epochs.
        phase: what is running; None between passes.
        max_epochs: the total asked for; None when open-ended.
        min_epochs: finished epochs before which a decision to stop is held.
        steps_per_epoch: None when unknown.
        resumed: the run goes on from a saved state.
        stop: the stop in force, of kind decision or fault.
        pause: the pause in force; it is acted on before ``stop``.
        held: decisions that wait for ``min_epochs``, by who asked.
        together: several ranks train: what is asked for waits in ``asked`` until all of them know of it.
        asked: requests to stop that the other ranks do not know of yet.
        left: the loop over the epochs was left before its end.
        halt: no further training batch is to begin in this epoch.
        attention: something was asked for that is to be looked at after the event in progress. Set where ``halt`` is:
            the batch loop reads this alone.
    """

    __slots__ = (
        "announced",
        "asked",
        "attention",
        "batch",
        "epoch",
        "epochs_done",
        "first_step",
        "halt",
        "held",
        "left",
        "max_epochs",
        "min_epochs",
        "optimizer_step",
        "passes",
        "passes_seen",
        "pause",
        "phase",
        "resumed",
        "save_asked",
        "step",
        "steps_per_epoch",
        "stop",
        "together",
        "told",
    )

    def __init__(self, min_epochs: int = 0) -> None:
        self.epoch = self.batch = self.step = self.optimizer_step = self.epochs_done = 0
        self.phase: Phase | None = None
        self.max_epochs: int | None = None
        self.min_epochs = count(min_epochs, f"min_epochs={min_epochs!r}")
        self.steps_per_epoch: int | None = None
        self.resumed = False
        self.stop: Stop | None = None
        self.pause: Stop | None = None
        self.held: dict[str | None, Stop] = {}
        self.told: Stop | None = None
        """What the ``stop`` event told of; it comes once."""
        self.together, self.asked = False, list[Stop]()
        self.left = False
        self.halt = self.attention = self.save_asked = False
        self.first_step = 0
        """The count of steps when this epoch began."""
        self.announced: set[str] = set()
        """Metrics that come at some epochs only."""
        self.passes: set[str] = set()
        """The validations that ran in this epoch, by their prefixes, as ``"val"``."""
        self.passes_seen: set[str] = {"val"}
        """Every validation prefix that this run has seen, and ``"val"``."""

    @property
    def should_stop(self) -> bool:
        """A stop is in force, or a pause."""
        return self.stop is not None or self.pause is not None

    def ask_stop(self, stop: Stop) -> None:
        """Take a request to stop; safe from another thread or a signal handler, since it only writes slots.

        Where several ranks train it waits for ``put_in_force``, which all of them come to.
        """
        if stop.kind not in STOP_KINDS:
            raise ValueError(
                f"stop(kind={stop.kind!r}): a kind is one of {listing(STOP_KINDS)}."
                f"{did_you_mean(str(stop.kind), STOP_KINDS)}"
            )
        if self.together:
            self.asked.append(stop)
        else:
            self.put_in_force(stop)

    def put_in_force(self, stop: Stop) -> None:
        """Act on a request to stop.

        A decision before ``min_epochs`` is held. A fault replaces a decision; otherwise the first one stands.
        """
        if stop.kind == "pause":
            self.pause = self.pause or stop
        elif not self._acts_at_once(stop):
            self.held.setdefault(stop.source, stop)
            return
        elif self.stop is None or (stop.kind == "fault" and self.stop.kind == "decision"):
            self.stop = stop
        self.halt = self.attention = True

    def _acts_at_once(self, stop: Stop) -> bool:
        """Whether it ends training as soon as it is in force."""
        return stop.kind == "fault" or (stop.kind == "decision" and self.epochs_done >= self.min_epochs)

    def release_held(self) -> None:
        """Put the first held decision in force, once enough epochs are finished."""
        if self.held and self.epochs_done >= self.min_epochs:
            held, self.held = list(self.held.values()), {}
            self.put_in_force(held[0])

    def state_dict(self) -> dict[str, Any]:
        """JSON-able; a pause is not kept, since going on is what it is for."""
        stop = self.stop or next((one for one in self.asked if self._acts_at_once(one)), None)
        asked = [[s.kind, s.reason, s.source] for s in (stop, *self.held.values()) if s is not None]
        return {name: getattr(self, name) for name in _COUNTS} | {
            "stops": asked,
            "is_stopped": stop is not None,  # else they are all held
            "stop_told": self.stop is not None and self.told is not None and self.told.kind != "pause",
            "passes_seen": sorted(self.passes_seen),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for name in _COUNTS:
            setattr(self, name, int(state[name]))
        self.stop, self.pause, self.held = None, None, {}
        self.halt = self.attention = False
        for kind, reason, source in state["stops"]:
            self.put_in_force(Stop(kind, reason, source))
        self.told = self.stop if state["stop_told"] else None
        self.passes_seen = set(state["passes_seen"])
        self.resumed = True
