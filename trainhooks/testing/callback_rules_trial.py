"""Trial: one callback as the kit trains it, again and again, and what can be told of such a run."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np

from ..callback import Callback, keyed
from ..loop import LoopRun
from ..run import Run
from ..store import load_checkpoint, save_checkpoint
from ..trainable import Trainable
from ..world import World
from .bench import BATCHES, Bench, Epoch
from .doubles import Do
from .reference import ReferenceBench
from .trace import Trace

T = TypeVar("T")

HISTORY: Final[Sequence[Mapping[str, float]]] = [
    {"loss": 0.9, "accuracy": 0.5, "val_loss": 1.0, "val_accuracy": 0.5},
    {"loss": 0.6, "accuracy": 0.7, "val_loss": 0.6, "val_accuracy": 0.7},
    {"loss": 80.0, "accuracy": 0.3, "val_loss": 0.8, "val_accuracy": 0.6},
    {"loss": 0.4, "accuracy": 0.9, "val_loss": 0.9, "val_accuracy": 0.4},
]
"""What callbacks are tried on: a model that is best in its second epoch, so that patience has something to decide, and
whose loss is far off in the third, for those that guard against it."""

Files = Mapping[str, bytes]
"""What is in a folder: the content of each file by its path."""

_RAISED: Final = re.compile(
    r"^(?P<who>\S+) raised .* \((training goes on|it is disabled for the rest of the run)\)$", re.S
)
"""What a run says of a hook whose exception does not end it."""


@dataclass
class Trial:
    """One callback that is tried, and what the kit is told of it; see ``check_callback``.

    Attributes:
        said: the warnings of the last training.
        bench: what the last training was under.
        known: what has been found of new objects, which is the same for each rule.
    """

    who: str
    factory: Callable[[], Callback]
    new_bench: Callable[[], Bench]
    beside: Sequence[Callable[[], Callback]] = ()
    keeps: Sequence[str] = ()
    reads: Sequence[str] = ()
    refused: str | None = None
    said: list[warnings.WarningMessage] = field(default_factory=list)
    bench: Bench = field(default_factory=Bench)
    root: str | None = None
    known: dict[str, Any] = field(default_factory=dict)

    def make(self) -> Callback:
        """A new one."""
        made = self.factory()
        if not isinstance(made, Callback):
            raise TypeError(f"the factory gave {made!r}, which is no trainhooks.Callback")
        return made

    def around(self, made: Callback | None, *others: Callback) -> list[Callback]:
        """It, what it needs beside it, and others."""
        return [*([] if made is None else [made]), *(make() for make in self.beside), *others]

    @contextlib.contextmanager
    def folder(self, files: Files | None = None) -> Iterator[Path]:
        """A working directory of its own, and one for temporary files: what a run left would be seen by the next.

        Args:
            files: what is there already.
        """
        self.root = self.root or os.getcwd()
        before, self.said = tempfile.tempdir, []
        made = Path(tempfile.mkdtemp(dir=self.root))
        (made / "temporary").mkdir()
        (made / "here").mkdir()
        for name, content in (files or {}).items():
            (made / "here" / name).parent.mkdir(parents=True, exist_ok=True)
            (made / "here" / name).write_bytes(content)
        os.chdir(made / "here")
        tempfile.tempdir = str(made / "temporary")
        try:
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                try:
                    yield made
                finally:
                    self.said = list(said)
        finally:
            tempfile.tempdir = before

    def train(
        self,
        made: Callback | None,
        *others: Callback,
        history: Sequence[Epoch] = HISTORY,
        resume: Any = None,
        bench: Bench | None = None,
        files: Files | None = None,
    ) -> Run:
        """Train a new model, or that of ``bench``, in a folder of its own with these ``files``; it stays the working
        directory."""
        self.bench = self.new_bench() if bench is None else bench
        with self.folder(files):
            return self.bench.train(history, self.around(made, *others), resume=resume)

    def loop(
        self,
        trainable: Trainable | None,
        callbacks: Sequence[Callback],
        value: Callable[[str, float], Any] = lambda name, value: value,
        world: World | None = None,
    ) -> Run:
        """A training in a loop of the kit's own, which logs what ``value`` makes of each metric."""
        with self.folder(), LoopRun(trainable, callbacks, plugins="none", world=world) as run:
            for epoch in run.epochs(len(HISTORY)):
                metrics = HISTORY[epoch]
                for _ in run.train(range(BATCHES)):
                    run.log({name: value(name, one) for name, one in metrics.items() if not name.startswith("val_")})
                validated = {name[4:]: one for name, one in metrics.items() if name.startswith("val_")}
                for _ in run.test(range(BATCHES)):
                    run.log({name: value(name, one) for name, one in validated.items()})
        return run.run

    def trainable(self) -> Trainable:
        """A trained model, for a loop of the kit's own: the reference's where the trainer has its own loop."""
        self.bench = self.new_bench()
        if not self.bench.owns_loop:
            self.bench = ReferenceBench()
        return self.train(None, history=HISTORY[:1], bench=self.bench).trainable

    def story(self, made: Callback) -> dict[str, Any]:
        """What a run with it looks like, and the state that it leaves."""
        trace = Trace()
        run = self.train(made, trace)
        outline = trace.outline()
        if self.keeps:  # what it still knows of earlier files decides what it writes
            outline = re.sub(r" checkpoint\([^)]*\)", "", outline)
        return {"events": outline, "state_dict()": self.told(made), **told_of(run)}

    def once(self, what: str, find: Callable[[], T]) -> T:
        """What ``find`` gives, or gave to another rule."""
        if what not in self.known:
            self.known[what] = find()
        return self.known[what]  # type: ignore[no-any-return]

    def story_of_a_new_one(self) -> dict[str, Any]:
        """What a run with a new one looks like."""
        return self.once("story", lambda: self.story(self.make()))

    def told(self, made: Callback) -> Any:
        """Its state, but for what a new run does not forget."""
        return plain({name: one for name, one in made.state_dict().items() if name not in self.keeps})

    def raised_in_hooks(self) -> list[str]:
        """What the last run said of hooks of this callback that raised."""
        said = [str(one.message) for one in self.said if issubclass(one.category, RuntimeWarning)]
        return [text for text in said if (found := _RAISED.fullmatch(text)) and found[1].startswith(f"{self.who}.")]


def files_here() -> dict[str, bytes]:
    """What is in the working directory."""
    return {path.as_posix(): path.read_bytes() for path in sorted(Path().rglob("*")) if path.is_file()}


def kind_of(text: str) -> str:
    """The kind of exception that a hook is said to have raised."""
    return text.partition(" raised ")[2].partition(":")[0]


def told_of(run: Run) -> dict[str, Any]:
    """What a run came to."""
    return {
        "outcome": run.outcome,
        "stop_reason": run.stop_reason,
        "epochs_done": run.epochs_done,
        "step": run.step,
        "history": plain([[record.epoch, dict(record.logs)] for record in run.history]),
        "lrs": run.lrs if run.can("read_lr") else None,
    }


def key_of(callbacks: Sequence[Callback], made: Callback) -> str:
    """What its state is called among these."""
    return next(key for key, one in keyed(callbacks).items() if one is made)


class Saver(Callback):
    """Keeps the last state that it is asked to save, as a file would give it back."""

    phase = "save"
    state: Any = None

    def save(self, run: Run) -> None:
        self.state = through_files(run.state_dict())

    def settings_dict(self) -> dict[str, Any]:
        return {}


def at_the_end_of(event: str, action: Callable[[Run], object]) -> Do:
    """What is done each time that ``event`` fires, after all others."""
    made = Do(event, action, nth=None)
    made.phase = "save"
    return made


# States


def plain(state: Any) -> Any:
    """A state that can be compared and shown: arrays as lists."""
    if isinstance(state, Mapping):
        return {name: plain(value) for name, value in state.items()}
    if isinstance(state, (list, tuple)):
        return [plain(value) for value in state]
    return state.tolist() if isinstance(state, np.ndarray) else state


def through_files(state: Mapping[str, Any]) -> Any:
    """A state as a checkpoint gives it back."""
    with tempfile.TemporaryDirectory() as folder:
        save_checkpoint(Path(folder) / "state", {"state": dict(state)})
        return load_checkpoint(Path(folder) / "state")["state"]


def as_read(state: Any) -> Any:
    """A state as a checkpoint would give it back, without the files: all of it is new."""
    if isinstance(state, Mapping):
        return {name: as_read(value) for name, value in state.items()}
    if isinstance(state, (list, tuple)):
        return [as_read(value) for value in state]
    if isinstance(state, np.generic):
        return state.item()
    return state.copy() if isinstance(state, np.ndarray) else state


def difference(was: Any, now: Any, where: str = "") -> str | None:
    """The first place where two plain values differ, in words; None where they are the same."""
    if isinstance(was, dict) and isinstance(now, dict):
        for name in [*was, *(name for name in now if name not in was)]:
            here = f"{where}[{name!r}]" if where else str(name)
            if name not in now or name not in was:
                there = now if name in now else was
                return f"{here} is {'not there' if name in was else _shown(there[name])}, not {_shown_of(was, name)}"
            found = difference(was[name], now[name], here)
            if found is not None:
                return found
        return None
    if isinstance(was, list) and isinstance(now, list) and len(was) == len(now):
        for at, (one, other) in enumerate(zip(was, now, strict=True)):
            found = difference(one, other, f"{where}[{at}]")
            if found is not None:
                return found
        return None
    same = repr(was) == repr(now) if was != was or type(was) is not type(now) else was == now
    return None if same else f"{where} is {_shown(now)}, not {_shown(was)}"


def _shown_of(values: Mapping[str, Any], name: str) -> str:
    return _shown(values[name]) if name in values else "left out"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."
