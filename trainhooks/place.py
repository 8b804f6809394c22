"""Place: where a run is inside an epoch, so that another run can begin there.

A state that is taken inside an epoch says which pass of the epoch is running, how many of its batches are done, the
running means, and the random generators as they were when the pass was entered. A run that goes on from it begins the
epoch again, skips the passes that were done, and draws the done batches of the running one from its loader with the
generators of then, so that the order of the data is the same; then the generators are put where they were last.
The user's own lines between the passes run again; what they change in model and optimizer, or log, before the place is
reached is undone there, since it is in the state already.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict

from .errors import LoopError
from .frames import PARENTS, Frame
from .loaders import Loaders, keeps_state
from .randomness import listed, random_states, set_random_states

if TYPE_CHECKING:
    from .progress import Progress
    from .trainable import Trainable

BETWEEN_EPOCHS: Final = ("nothing", "run", "train")
"""The innermost open scope where no epoch is under way."""

_VERBS: Final = {"pass": "train", "test": "test", "predict": "predict"}


class Where(TypedDict):
    """A place in a run: ``at`` in a word; ``inside`` an epoch, in full, or None where no epoch runs or nobody could go
    on; ``random``, the random generators; ``loaders``, what loaders go on from, by the key of their pass."""

    at: str
    inside: Mapping[str, Any] | None
    random: Mapping[str, Any]
    loaders: Mapping[str, Any]


class Place:
    """Where inside an epoch one run is; and, until it has got there, where it is to go on.

    Attributes:
        ahead: what ``inside`` gave when the state was taken, until the run has got there; None otherwise.
    """

    def __init__(self, progress: Progress, trainable: Trainable) -> None:
        self.progress, self.trainable = progress, trainable
        self.ahead: Mapping[str, Any] | None = None
        self._random: Mapping[str, Any] | None = None
        self.loaders = Loaders(trainable)
        self._held: Mapping[str, Any] | None = None
        """The Trainable's state as it was before lines of the user's that had run before."""

    # Where it is

    def at(self, stack: Sequence[Frame], *, unfinished: bool) -> str:
        """The innermost open scope; or, where nobody could go on from, in words why.

        Args:
            stack: the open scopes.
            unfinished: whether an epoch began and did not end.
        """
        at = stack[-1].kind if stack else "nothing"
        if self.ahead is not None:
            return at  # until it has got there, that is where it is
        if any(frame.in_batch for frame in stack):
            return "inside a batch"
        if self.progress.phase in ("test", "predict") and at not in ("test", "predict"):
            return f"in {self.progress.phase}_end"  # its metrics are not the epoch's yet
        if unfinished and at in BETWEEN_EPOCHS:
            return "after an exception"
        if at in ("test", "predict") and not any(frame.kind == "epoch" for frame in stack):
            return "run"  # an evaluation alone begins anew
        return at

    def is_good(self, at: str) -> bool:
        """Whether a state that is taken at that place can be gone on from by a trainer like this one."""
        if at in BETWEEN_EPOCHS or self.ahead is not None:
            return True
        return at in PARENTS and self.trainable.missing("mid_epoch") is None

    def where(self, stack: Sequence[Frame], *, unfinished: bool, ended: bool) -> Where:
        """The place in the run, for a state that is taken now.

        Args:
            stack: the open scopes.
            unfinished: whether an epoch began and did not end.
            ended: whether the running epoch was asked to end.
        """
        at = self.at(stack, unfinished=unfinished)
        inside = self.ahead
        if inside is None and at not in BETWEEN_EPOCHS and self.is_good(at):
            inside = self._inside(stack, next(frame for frame in stack if frame.kind == "epoch"), ended)
        return {"at": at, "inside": inside, "random": self._random_states(), "loaders": self.loaders.states()}

    def _inside(self, stack: Sequence[Frame], epoch: Frame, ended: bool) -> Mapping[str, Any]:
        running = next((frame for frame in stack if frame.index is not None), None)
        progress = self.progress
        return {
            "epoch": progress.epoch,
            "begun": epoch.begun - (running is not None),
            "batch": epoch.batch,
            "first_step": progress.first_step,
            "passes": sorted(progress.passes),
            "ended": ended,
            "logs": {} if epoch.logs is None else epoch.logs.state_dict(),
            "running": None if running is None else self._running(running, epoch),
        }

    def _running(self, frame: Frame, epoch: Frame) -> dict[str, Any]:
        done = frame.batch - epoch.batch if frame.kind == "pass" else frame.batch + 1
        return {
            "kind": frame.kind,
            "name": frame.name,
            "done": done,
            "batch": frame.batch,
            "over": frame.over or frame.left,  # by a break: no more of its batches are to come
            "length": self.progress.steps_per_epoch if frame.kind == "pass" else None,
            "logs": None if frame.kind == "pass" or frame.logs is None else frame.logs.state_dict(),
            "random": None if frame.random is None else listed(frame.random),
            "loader": frame.loader_state if frame.loader is None else self.loaders.state_of(frame.loader, inside=True),
            "now": None if frame.loader is None else self.trainable.random_state(frame.loader),
        }

    def _random_states(self) -> Mapping[str, Any]:
        """As they are now; or, where the run has not got to its place yet, as they will be there."""
        return listed(random_states(self.trainable)) if self._random is None else self._random

    # Getting back

    def go_on(self, where: Where) -> None:
        """Have the run go on from there."""
        self.ahead, self._random = where["inside"], where["random"]
        self.loaders.go_on(where["loaders"])

    def keep(self) -> None:
        """Keep the Trainable's state: what the user's lines do to it from here on is undone by ``undo``."""
        if self.progress.resumed and self.trainable.missing("state") is None:
            self._held = self.trainable.state_dict()

    def undo(self) -> None:
        """Put back what was kept."""
        held, self._held = self._held, None
        if held is not None:
            self.trainable.load_state_dict(held)

    def begin_epoch(self) -> bool:
        """An epoch begins; returns whether it had begun before the state was taken."""
        ahead = self.ahead
        if ahead is None or ahead["epoch"] != self.progress.epoch:
            self.ahead = None
            self._set_random()
            return False
        self.progress.first_step, self.progress.passes = ahead["first_step"], set(ahead["passes"])
        return True

    @property
    def was_ended(self) -> bool:
        """Whether the epoch that it goes on in had been asked to end."""
        return self.ahead is not None and bool(self.ahead["ended"])

    def hold(self, epoch: Frame) -> None:
        """The user's lines of an epoch begin; where they ran before, what they do is undone when it has got there."""
        if self.ahead is None:
            return
        if not self.ahead["begun"] and self.ahead["running"] is None:
            self.arrive(epoch)
        else:
            self.keep()

    def next_pass(
        self, epoch: Frame, kind: Literal["pass", "test", "predict"], name: str
    ) -> Literal["new", "done"] | Mapping[str, Any]:
        """A pass of the epoch is about to begin.

        Returns:
            ``"done"``: it was done before the state was taken; ``"new"``; or what is known of the one that was running.

        Raises:
            LoopError: another one was running when the state was taken.
        """
        index, epoch.begun = epoch.begun, epoch.begun + 1
        number = epoch.kinds[kind, name] = epoch.kinds.get((kind, name), -1) + 1
        epoch.key = f"{kind}/{name}/{number}"
        ahead = self.ahead
        if ahead is None:
            return "new"
        running: Mapping[str, Any] | None = ahead["running"]
        if index < ahead["begun"]:
            if index == ahead["begun"] - 1 and running is None:
                self.arrive(epoch, at_pass=True)  # the lines that follow had not run
            return "done"
        if running is not None and (running["kind"], running["name"]) != (kind, name):
            raise LoopError(
                f"the state was taken in {_called(running['kind'], running['name'])}, number {index + 1} of the loops "
                f"inside epoch {ahead['epoch']}, and here that is {_called(kind, name)}. "
                "Go on with the loop that the state was taken in."
            )
        self.arrive(epoch, at_pass=True)
        if running is None or kind != "predict":
            return "new" if running is None else running
        return {**running, "done": 0, "batch": -1, "over": False}  # it begins anew: of its outputs nothing was kept

    def done_of_next(self, top: Frame) -> int:
        """How many batches of the pass that begins next were done before the state was taken."""
        running = None if self.ahead is None or top.kind != "epoch" else self.ahead["running"]
        return 0 if running is None or top.begun != self.ahead["begun"] else running["done"]  # type: ignore[index]

    def arrive(self, epoch: Frame, *, at_pass: bool = False) -> None:
        """The run is where the state was taken: the means are put back, and the random generators.

        Raises:
            LoopError: the epoch ends, and the pass that was running when the state was taken has not come.
        """
        ahead, self.ahead = self.ahead, None
        self.undo()
        if ahead is None:
            return
        running = ahead["running"]
        if running is not None and not at_pass:
            raise LoopError(
                f"the state was taken in {_called(running['kind'], running['name'])}, number {ahead['begun'] + 1} of "
                f"the loops inside epoch {ahead['epoch']}, and here the epoch ends after {epoch.begun}. "
                "Go on with the loop that the state was taken in."
            )
        if epoch.logs is not None:
            epoch.logs.load_state_dict(ahead["logs"])
        epoch.batch = ahead["batch"]
        self.progress.batch = max(epoch.batch, 0)
        if running is None or not running["done"] or running["kind"] == "predict":
            self._set_random()

    def enter(self, frame: Frame, loader: Any, limit: int | None, running: Mapping[str, Any] | None) -> Iterable[Any]:
        """What a pass is to yield of its loader: all, or what was not done when the state was taken.

        Args:
            frame: of the pass, just opened.
            loader: any iterable.
            limit: at most so many batches in all.
            running: what is known of the pass, where it had begun before the state was taken.

        Raises:
            LoopError: the loader ends before the place is reached.
        """
        if frame.index is None:
            if frame.is_nested:
                self.loaders.begin(f"{frame.kind}/{frame.name}/nested", loader)
            return limited(loader, limit)
        frame.loader = loader
        done: int = 0 if running is None else running["done"]
        if running is None or not done:
            self.loaders.begin(frame.key, loader)
            if running is not None and running["random"] is not None:  # it had been entered, and begins anew
                set_random_states(running["random"], self.trainable, loader)
            frame.random = random_states(self.trainable, loader)
            return limited(loader, limit)
        self.loaders.go_on_inside(frame.key, loader)
        frame.random = running["random"]
        set_random_states(running["random"], self.trainable, loader)
        if keeps_state(loader) and running["loader"] is not None:
            self.trainable.load_loader_state(loader, running["loader"])
            items = iter(limited(loader, None if limit is None else limit - done))
        else:
            items = iter(limited(loader, limit))
            drawn = sum(1 for _ in itertools.islice(items, done))
            if drawn < done:
                raise LoopError(
                    f"{_called(frame.kind, frame.name)}: the state was taken after {done} batches, and the loader has "
                    f"{drawn}. Give it the data that it had."
                )
        length = None if running["length"] is None else self.progress.steps_per_epoch
        if length != running["length"]:
            warnings.warn(
                f"run.train(...): the epoch had {running['length']} batches when the state was taken, and has "
                f"{length}: it goes on after {done} of these.",
                stacklevel=4,
            )
        if running["now"] is not None:
            self.trainable.load_random_state(running["now"], loader)  # what torchdata's draws to find its place is not
        self._set_random()  # what it drew when the pass began
        return items

    def _set_random(self) -> None:
        states, self._random = self._random, None
        if states is not None:
            set_random_states(states, self.trainable)


def limited(loader: Iterable[Any], limit: int | None) -> Iterable[Any]:
    """At most ``limit`` items of ``loader``; no more are drawn."""
    return loader if limit is None else itertools.islice(loader, limit)


def _called(kind: str, name: str) -> str:
    return f"run.test(name={name!r})" if kind == "test" else f"run.{_VERBS[kind]}(...)"
