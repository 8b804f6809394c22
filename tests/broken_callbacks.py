"""For each rule of a callback one that breaks it, as small as can be; and one that breaks none."""

from __future__ import annotations

import decimal
import math
import os
import random
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from trainhooks import Callback, Run, every
from trainhooks.dispatch import Listener
from trainhooks.events import EVENTS, Event
from trainhooks.testing.callback_rules import CALLBACK_RULES


class Halve(Callback):
    """Breaks none: halves the learning rate at each epoch without improvement, logs the best, and keeps a diary."""

    requires = {"lr"}
    ranks = "main"
    phase = "decide"

    def __init__(self, monitor: str = "val_loss", diary: str | None = "diary.txt") -> None:
        self.monitor, self.diary = monitor, diary
        self.file: Any = None
        self.reset()

    def reset(self) -> None:
        self.best = math.inf
        self.misses: list[int] = []
        self.weights = np.zeros(2)
        self.size = 0

    def on_train_begin(self) -> None:
        if self.diary is not None:
            self.file = open(self.diary, "ab")  # noqa: SIM115  # it is closed in teardown
            self.file.truncate(min(self.size, self.file.tell()))

    def on_epoch_end(self, run: Run, epoch: int, logs: dict[str, Any]) -> None:
        value = logs.get(self.monitor)
        if value is None:
            return
        if value < self.best:
            self.best = value
        else:
            self.misses.append(epoch)
            run.lr /= 2
        self.weights = np.full(2, value)
        logs["best"] = self.best
        if self.file is not None:
            self.file.write(f"{epoch}\n".encode())
            self.file.flush()
            self.size = self.file.tell()

    def on_teardown(self) -> None:
        if self.file is not None:
            self.file.close()
        self.file = None

    def state_dict(self) -> dict[str, Any]:
        kept = {"best": self.best, "misses": list(self.misses), "size": self.size}
        return {**kept, "weights": self.weights.copy()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.best, self.misses, self.size = state["best"], list(state["misses"]), state["size"]
        self.weights = state["weights"].copy()


# What they are made of


class Counts(Callback):
    """A counter of epochs that keeps every rule."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.count = 0

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.count = state["count"]

    def on_epoch_end(self) -> None:
        self.count += 1


class Lists(Callback):
    """A list of epochs that keeps every rule."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.seen: list[int] = []

    def state_dict(self) -> dict[str, Any]:
        return {"seen": list(self.seen)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.seen = list(state["seen"])

    def on_epoch_end(self, epoch: int) -> None:
        self.seen.append(epoch)


OPENED: list[Any] = []
"""Files that were opened, for a test to close those that were left."""


class Opens(Callback):
    """Opens a file when training begins, and closes it in teardown."""

    ranks = "main"

    def __init__(self) -> None:
        self.files: list[Any] = []

    def on_train_begin(self) -> None:
        self.files.append(open("log.txt", "w"))  # noqa: SIM115
        OPENED.append(self.files[-1])

    def on_teardown(self, run: Run) -> None:
        self.close()

    def close(self) -> None:
        if self.files:
            self.files.pop().close()


# Runs

ONE = Callback()


class Misspelt(Callback):
    def on_epoch_ends(self) -> None: ...


class Embeds(Callback):
    requires = {"embeddings"}


class BeginsAtOnce(Callback):
    def listeners(self, events: Mapping[str, Event] = EVENTS) -> Iterator[Listener]:
        os.environ["BEGUN"] = "1"
        yield from super().listeners(events)

    def on_teardown(self) -> None:
        os.environ.pop("BEGUN", None)


class Hides(Callback):
    on_error = "warn"

    def on_epoch_begin(self, epoch: int) -> None:
        if epoch == 1:
            raise ZeroDivisionError("of its own")


class Fires(Callback):
    def on_train_begin(self, run: Run) -> None:
        run.bus.emit("predict_end", logs={})


class LogsABoolean(Callback):
    def on_epoch_end(self, logs: dict[str, Any]) -> None:
        logs["ready"] = True


class Reads(Callback):
    def on_train_batch_end(self, logs: dict[str, Any]) -> None:
        self.last = logs["loss"]


class SaysNoNeeds(Callback):
    def on_train_begin(self, run: Run) -> None:
        self.first = run.lr


class NeverDue(Callback):
    @every(steps=10)
    def on_train_batch_end(self) -> None:
        self.misspelt.append(1)  # type: ignore[attr-defined]


class StopsAsInKeras(Callback):
    def on_epoch_end(self, logs: dict[str, Any]) -> None:
        if logs.get("loss", 0) > 10:
            self.model.stop_training = True


class WritesEverywhere(Callback):
    def on_setup(self) -> None:
        with open("note.txt", "w") as file:
            file.write("begun")


class KeepsTheRun(Callback):
    def on_train_end(self, run: Run) -> None:
        self.last = run


class Draws(Callback):
    def on_epoch_begin(self) -> None:
        random.random()


class WantsValidation(Callback):
    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.seen = False

    def on_test_end(self, run: Run) -> None:
        self.seen = self.seen or run.max_epochs is not None

    def on_train_end(self, run: Run) -> None:
        if run.epochs_done and not self.seen:
            raise KeyError("val_loss")

    def state_dict(self) -> dict[str, Any]:
        return {"seen": self.seen}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.seen = state["seen"]


class DividesByEpochs(Callback):
    def on_train_begin(self, run: Run) -> None:
        self.share = 1 / (run.max_epochs or 0)


class ComparesDecimals(Callback):
    def on_epoch_end(self, logs: dict[str, Any]) -> None:
        self.high = decimal.Decimal(logs.get("loss", 0)) > 1


class TakesTheSine(Callback):
    def on_epoch_end(self, logs: dict[str, Any]) -> None:
        self.sine = math.sin(logs.get("loss", 0))


class WantsEachValidation(Callback):
    def reset(self) -> None:
        self.seen = False

    def on_epoch_end(self, logs: dict[str, Any]) -> None:
        if getattr(self, "seen", False) and "val_loss" not in logs:
            raise KeyError("val_loss")
        self.seen = "val_loss" in logs


# State


class KeepsANumpyNumber(Counts):
    def state_dict(self) -> dict[str, Any]:
        return {"count": np.int64(self.count)}


class ForgetsItsEnd(Callback):
    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.summary: int | None = None

    def on_train_end(self, run: Run) -> None:
        self.summary = run.epochs_done

    def state_dict(self) -> dict[str, Any]:
        return {"summary": self.summary}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.reset()


class ForgetsItsBatch(Callback):
    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.batch: int | None = None

    def on_train_batch_end(self, batch: int) -> None:
        self.batch = batch

    def on_epoch_end(self) -> None:
        self.batch = None

    def on_teardown(self) -> None:
        self.batch = None

    def state_dict(self) -> dict[str, Any]:
        return {"batch": self.batch}


class Adds(Callback):
    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.losses: dict[str, float] = {}

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        self.losses[str(epoch)] = logs.get("loss", 0.0)

    def state_dict(self) -> dict[str, Any]:
        return {"losses": dict(self.losses)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.losses.update(state["losses"])


class GivesItsOwnList(Lists):
    def state_dict(self) -> dict[str, Any]:
        return {"seen": self.seen}


class TakesTheList(Lists):
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.seen = state["seen"]


class LoadsSettings(Counts):
    def __init__(self, patience: int = 3) -> None:
        self.patience = patience
        super().__init__()

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "patience": self.patience}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self.patience = state["patience"]


class KeepsASetting(Counts):
    def __init__(self, patience: int = 3) -> None:
        self.patience = patience
        super().__init__()

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "patience": self.patience}


class SetsANumpyNumber(Callback):
    def settings_dict(self) -> dict[str, Any]:
        return {"share": np.float32(0.5)}


class ResetsHalf(Callback):
    last: int | None = None

    def on_train_begin(self, run: Run) -> None:
        if not run.resumed:
            self.last = None

    def on_epoch_end(self, epoch: int) -> None:
        self.last = epoch

    def state_dict(self) -> dict[str, Any]:
        return {"last": self.last}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.last = state["last"]


class CountsItsRuns(Callback):
    runs = 0

    def on_train_begin(self) -> None:
        self.runs += 1

    def on_epoch_end(self, logs: dict[str, Any]) -> None:
        logs["run"] = self.runs


class Shares(Lists):
    seen: list[int] = []

    def reset(self) -> None:
        self.seen.clear()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.seen[:] = state["seen"]


class CountsEvaluations(Counts):
    def on_test_end(self) -> None:
        self.count += 1


class CountsPredictions(Counts):
    def on_predict_end(self) -> None:
        self.count += 1


class IsWarmed(Callback):
    requires = {"lr"}
    warm = False

    def on_test_begin(self, run: Run) -> None:
        self.warm = self.warm or run.max_epochs is None

    def on_train_begin(self, run: Run) -> None:
        if self.warm:
            run.lr /= 2


# Going on


class ForgetsBetweenEpochs(Counts):
    def reset(self) -> None:
        super().reset()
        self.inside = False

    def on_epoch_begin(self) -> None:
        self.inside = True

    def on_epoch_end(self, logs: dict[str, Any]) -> None:
        self.count += 1
        self.inside = False
        logs["count"] = self.count

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count} if self.inside else {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.count, self.inside = state.get("count", 0), bool(state)


class ForgetsTheSum(Callback):
    def on_epoch_begin(self) -> None:
        self.sum = 0

    def on_train_batch_end(self, batch: int) -> None:
        self.sum += batch + 1

    def on_epoch_end(self, logs: dict[str, Any]) -> None:
        logs["sum"] = self.sum


class ForgetsTheValidation(Callback):
    def on_test_begin(self, run: Run) -> None:
        self.sum = 0

    def on_test_batch_end(self, batch: int) -> None:
        self.sum += batch + 1

    def on_epoch_end(self, run: Run, logs: dict[str, Any]) -> None:
        if "val" in run.passes:
            logs["sum"] = self.sum


class StaysStopped(Counts):
    stopped = False

    def reset(self) -> None:
        super().reset()
        self.stopped = False

    def on_stop(self) -> None:
        self.stopped = True

    def on_epoch_end(self) -> None:
        self.count += not self.stopped


class WantsItsState(Counts):
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self.first = self.count

    def on_train_begin(self, run: Run) -> None:
        if run.resumed:
            self.begun = self.first


# Files


class WritesAtOnce(Callback):
    def __init__(self) -> None:
        Path("begun.txt").write_text("")


class Appends(Callback):
    ranks = "main"
    mode = "a"

    def on_epoch_end(self, epoch: int) -> None:
        with open("log.txt", self.mode) as file:
            file.write(f"{epoch}\n")


class EmptiesAtSetup(Callback):
    ranks = "main"

    def on_setup(self, run: Run) -> None:
        if not run.resumed:
            Path("summary.txt").write_text("")

    def on_train_end(self) -> None:
        Path("summary.txt").write_text("done")


# Ends


class HasAModel(Callback):
    @property
    def model(self) -> Any:
        return "the last one" if self.run is None else self.run.model


class LeavesOpen(Opens):
    def on_teardown(self, run: Run) -> None: ...


class LeavesATemporary(Callback):
    def on_setup(self) -> None:
        os.close(tempfile.mkstemp()[0])


class LeavesAWatcher(Callback):
    requires = {"optimizer_step"}

    def on_train_begin(self, run: Run) -> None:
        run.trainable.watch_optimizer(lambda: None)


class LeavesAtADecision(Opens):
    def on_teardown(self, run: Run) -> None:
        if not (run.outcome == "stopped" and run.stop_kind == "decision"):
            self.close()


class LeavesAtAFault(Opens):
    def on_teardown(self, run: Run) -> None:
        if not (run.outcome == "stopped" and run.stop_kind == "fault"):
            self.close()


class ClosesAtTrainEnd(Opens):
    def on_train_end(self) -> None:
        self.close()

    def on_exception(self) -> None:
        self.close()

    def on_teardown(self, run: Run) -> None: ...


class LeavesAt(Opens):
    kind: type[BaseException] = RuntimeError

    def on_train_begin(self) -> None:
        super().on_train_begin()
        self.error: BaseException | None = None

    def on_exception(self, exception: BaseException) -> None:
        self.error = exception

    def on_teardown(self, run: Run) -> None:
        if not (self.files and type(self.error) is self.kind):
            self.close()
        self.error = None


class LeavesAtAnInterrupt(LeavesAt):
    kind = KeyboardInterrupt


class Rewords(Callback):
    def on_exception(self, exception: BaseException) -> None:
        exception.args = ("training failed",)


class WantsASetup(Callback):
    def on_setup(self) -> None:
        self.begun = 1

    def on_teardown(self) -> None:
        self.ended = self.begun


class ClosesOnce(Callback):
    file: Any = None
    begun = False

    def on_setup(self) -> None:
        self.begun, self.file = True, open(os.devnull)  # noqa: SIM115

    def on_teardown(self) -> None:
        if self.begun:
            self.file.close()
            self.file = None


class Broken(NamedTuple):
    """One that breaks a rule, and which others it breaks besides."""

    factory: Callable[[], Any]
    also: frozenset[str] = frozenset()


_EVERY = frozenset(rule.name for rule in CALLBACK_RULES)
_BEFORE_A_RUN = frozenset({"made-anew", "constructor", "stops", "plain-settings"})
_SECOND_RUNS = frozenset({"resume-pause", "resume-new", "decision", "fault", "pause", "exception", "interrupt"})
_SECOND_RUNS |= {"no-validation", "no-epoch", "nan", "infinity", "left-epoch"}

BROKEN: dict[str, Broken] = {
    "made-anew": Broken(lambda: ONE),
    "registers": Broken(Misspelt, _EVERY - _BEFORE_A_RUN - {"attaches"}),
    "attaches": Broken(Embeds, _EVERY - _BEFORE_A_RUN - {"registers"}),
    "refused-twice": Broken(BeginsAtOnce),
    "runs": Broken(Hides),
    "grammar": Broken(Fires),
    "plain-logs": Broken(LogsABoolean),
    "reads": Broken(Reads),
    "main-rank": Broken(WritesEverywhere),
    "keeps-nothing": Broken(KeepsTheRun),
    "draws-nothing": Broken(Draws),
    "needs": Broken(SaysNoNeeds),
    "fires": Broken(NeverDue),
    "stops": Broken(StopsAsInKeras, frozenset({"needs"})),
    "no-validation": Broken(WantsValidation),
    "no-epoch": Broken(DividesByEpochs),
    "nan": Broken(ComparesDecimals),
    "infinity": Broken(TakesTheSine),
    "left-epoch": Broken(WantsEachValidation),
    "plain-state": Broken(KeepsANumpyNumber),
    "state-returns": Broken(ForgetsItsEnd),
    "state-in-a-run": Broken(ForgetsItsBatch),
    "state-replaces": Broken(Adds),
    "state-is-a-copy": Broken(GivesItsOwnList),
    "state-is-copied": Broken(TakesTheList),
    "settings-stay": Broken(LoadsSettings, frozenset({"no-settings"})),
    "no-settings": Broken(KeepsASetting),
    "plain-settings": Broken(SetsANumpyNumber),
    "reset": Broken(ResetsHalf),
    "second-run": Broken(CountsItsRuns, _SECOND_RUNS),
    "two-objects": Broken(Shares),
    "evaluation": Broken(CountsEvaluations),
    "prediction": Broken(CountsPredictions),
    "run-after": Broken(IsWarmed),
    "resume-epoch": Broken(ForgetsBetweenEpochs),
    "resume-batch": Broken(ForgetsTheSum, frozenset({"resume-validation", "resume-pause"})),
    "resume-validation": Broken(ForgetsTheValidation),
    "resume-pause": Broken(StaysStopped),
    "resume-new": Broken(WantsItsState),
    "constructor": Broken(WritesAtOnce),
    "resume-files": Broken(Appends),
    "evaluation-files": Broken(EmptiesAtSetup),
    "let-go": Broken(HasAModel),
    "nothing-open": Broken(LeavesOpen),
    "no-temporaries": Broken(LeavesATemporary),
    "model-clean": Broken(LeavesAWatcher),
    "decision": Broken(LeavesAtADecision),
    "fault": Broken(LeavesAtAFault),
    "pause": Broken(ClosesAtTrainEnd),
    "exception": Broken(LeavesAt),
    "interrupt": Broken(LeavesAtAnInterrupt),
    "passes-on": Broken(Rewords),
    "teardown-alone": Broken(WantsASetup),
    "teardown-twice": Broken(ClosesOnce),
}
"""For each rule one that breaks it."""
