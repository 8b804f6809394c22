"""What every built-in must keep under every trainer: its state, its independence, its constructor, its way out.

A test file gives a subclass of ``Conformance`` the trainer to try them under.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import signal
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainhooks import Callback, Run, callbacks
from trainhooks.errors import CapabilityError
from trainhooks.events import EVENTS
from trainhooks.store import load_arrays, load_checkpoint, save_arrays, save_checkpoint
from trainhooks.testing import Do, RaiseAt, StopAt, Trace


def still() -> float:
    """A clock that stands, so that what is measured is the same in each run."""
    return 0.0


def score(model: object) -> float:
    return 1.0


MADE: dict[str, Callable[[], Callback]] = {
    "BackupAndRestore": lambda: callbacks.BackupAndRestore("backup"),
    "CSVLogger": lambda: callbacks.CSVLogger("log.csv"),
    "EMA": lambda: callbacks.EMA(0.5),
    "EarlyStopping": lambda: callbacks.EarlyStopping(patience=1, restore_best_weights=True),
    "EpochScoring": lambda: callbacks.EpochScoring(score, every=2),
    "GracefulStop": lambda: callbacks.GracefulStop(),
    "GradientClipping": lambda: callbacks.GradientClipping(norm=0.1),
    "History": lambda: callbacks.History(),
    "JSONLogger": lambda: callbacks.JSONLogger("log.jsonl", save_freq=1),
    "LambdaCallback": lambda: callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: None),
    "LearningRateMonitor": lambda: callbacks.LearningRateMonitor("step"),
    "LearningRateScheduler": lambda: callbacks.LearningRateScheduler(lambda epoch, lr: lr / 2),
    "ModelCheckpoint": lambda: callbacks.ModelCheckpoint("w.safetensors", save_best_only=True),
    "NaNGuard": lambda: callbacks.NaNGuard(),
    "ProgbarLogger": lambda: callbacks.ProgbarLogger(),
    "ReduceLROnPlateau": lambda: callbacks.ReduceLROnPlateau(patience=1, factor=0.5),
    "RemoteMonitor": lambda: callbacks.RemoteMonitor("http://127.0.0.1:1"),  # where nobody answers
    "StopFile": lambda: callbacks.StopFile("STOP"),
    "SwapEMAWeights": lambda: callbacks.SwapEMAWeights(swap_on_epoch=True),
    "TensorBoard": lambda: callbacks.TensorBoard("logs", histogram_freq=1, update_freq=1),
    "TerminateOnNaN": lambda: callbacks.TerminateOnNaN(),
    "Throughput": lambda: callbacks.Throughput(clock=still),
    "Timer": lambda: callbacks.Timer(3600, clock=still),
}
"""One of each, with settings under which it has something to decide and to keep."""

NEEDS: dict[str, tuple[str, ...]] = {"TensorBoard": ("tensorboardX",)}
"""The packages beside trainhooks's own that it needs."""

BESIDE: dict[str, Callable[[], Callback]] = {"SwapEMAWeights": lambda: callbacks.EMA(0.5)}
"""What it needs in its run."""

KEPT: dict[str, set[str]] = {"ModelCheckpoint": {"best", "last_path"}, "TensorBoard": {"run_id"}}
"""What a new run does not forget, since the file is still there, or has in its state a name of its own."""

EVENTS_OF_A_FIT = [name for name in EVENTS if "predict" not in name and name != "optimizer_step"]


class Trainer:
    """What a callback is tried under.

    Attributes:
        refuses: the callbacks that cannot be had under it, by the whole sentence that says so.
    """

    refuses: dict[str, str] = {}

    def train(self, *made: Callback, epochs: int = 3, resume: Any = None) -> Any:
        """Train a model that gets worse, two batches and a validation an epoch; returns its run."""
        raise NotImplementedError

    def evaluate(self, *made: Callback) -> Any:
        """Evaluate the model that was trained last; returns that run."""
        raise NotImplementedError

    def left(self) -> list[Any]:
        """What callbacks have left on the model or the optimizer that was trained last."""
        raise NotImplementedError


class Saver(Callback):
    """Keeps the last state that it is asked to."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def save(self, run: Run) -> None:
        save_checkpoint(self.path, run.state_dict())

    def settings_dict(self) -> dict[str, Any]:
        return {}


def plain(state: Any) -> Any:
    """A state that can be compared: arrays as lists."""
    if isinstance(state, dict):
        return {name: plain(value) for name, value in state.items()}
    return state.tolist() if isinstance(state, np.ndarray) else state


def through_files(state: Any, folder: Path) -> Any:
    """A state as a store would give it back: JSON in one file, arrays in another."""
    arrays: dict[str, Any] = {}

    def out(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            arrays[str(len(arrays))] = value
            return {"array": str(len(arrays) - 1)}
        return {name: out(one) for name, one in value.items()} if isinstance(value, dict) else value

    def back(value: Any) -> Any:
        if isinstance(value, dict):
            return read[value["array"]] if value.keys() == {"array"} else {name: back(value[name]) for name in value}
        return value

    (folder / "state.json").write_text(json.dumps(out(state)))
    save_arrays(folder / "state.safetensors", arrays)
    read = load_arrays(folder / "state.safetensors") if arrays else {}
    return back(json.loads((folder / "state.json").read_text()))


def held() -> tuple[list[str], list[str], list[Any]]:
    """What this process holds: the files and sockets that are open, the threads, the handlers of signals."""
    folder, files = Path("/proc/self/fd"), []
    for one in folder.iterdir() if folder.exists() else ():
        with contextlib.suppress(OSError):  # the one that the listing itself has open
            files.append(os.readlink(one))
    threads = [one.name for one in threading.enumerate() if not one.name.startswith("ThreadPoolExecutor")]  # JAX's
    handlers = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    return sorted(files), sorted(threads), handlers


def told(name: str, outline: str, state: Any) -> tuple[str, Any]:
    """A run without what the object may keep of the run before; with it, what it saves depends on that run."""
    kept = KEPT.get(name, set())
    if "best" in kept:
        outline = outline.replace(" checkpoint(w.safetensors)", "")
    return outline, plain({key: value for key, value in state.items() if key not in kept})


def _needed(name: str) -> Any:
    """The mark of what it cannot be tried without."""
    lacking = [package for package in NEEDS.get(name, ()) if find_spec(package) is None]
    return pytest.mark.skipif(bool(lacking), reason=f"{' and '.join(lacking)} is not installed")


class Conformance:
    """The tests; a subclass says under which trainer, and how many of the ways to end it has time for."""

    trainer: Trainer
    root: Path
    kinds: tuple[tuple[str, ...], ...] = (("decision",), ("fault",), ("pause",))
    """The kinds of stop that are tried: at the first event the first of a group, at the next its second."""
    errors: tuple[tuple[type[BaseException], ...], ...] = ((RuntimeError,), (KeyboardInterrupt,))
    """The exceptions, likewise."""

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "name" in metafunc.fixturenames:
            asks_all = "refuses" in metafunc.function.__name__
            names = [name for name in MADE if asks_all or name not in self.trainer.refuses]
            metafunc.parametrize("name", [pytest.param(name, marks=_needed(name)) for name in names])

    @pytest.fixture(autouse=True)
    def own_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        self.root = tmp_path
        monkeypatch.chdir(tmp_path)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*127.0.0.1")  # RemoteMonitor's
            warnings.filterwarnings("ignore", "GracefulStop: no attached callback saves")
            yield

    def run(self, name: str, made: Callback, *others: Callback, train: Any = None, **more: Any) -> Any:
        """A run of one callback, with what it needs beside it.

        It has a folder of its own: of what an earlier run left a backup would be gone on from.
        """
        os.chdir(tempfile.mkdtemp(dir=self.root))
        beside = [BESIDE[name]()] if name in BESIDE else []
        return (train or self.trainer.train)(made, *beside, *others, **more)

    def story(self, name: str, made: Callback) -> tuple[str, Any]:
        """What a run with it looks like, and the state that it leaves."""
        trace = Trace()
        self.run(name, made, trace)
        return told(name, trace.outline(), made.state_dict())

    def ends(self, name: str, made: Callback, meddler: Do, event: str) -> None:
        """One run with ``made`` and something that meddles at ``event``; it must be free afterwards."""
        cause: list[Callback] = [StopAt("epoch_end", 1)] if event == "stop" else []
        if event == "exception":
            cause = [RaiseAt("epoch_begin", 1, ZeroDivisionError("cause"))]
        if event == "checkpoint":
            cause = [Do("epoch_end", lambda run: run.emit("checkpoint", path=Path("x"), logs=run.logs))]
        before = held()
        with warnings.catch_warnings():
            warnings.simplefilter("error", ResourceWarning)
            warnings.simplefilter("ignore", RuntimeWarning)  # of two exceptions the second is told in a warning
            if isinstance(meddler, RaiseAt) or event == "exception":
                error = meddler.error if isinstance(meddler, RaiseAt) else ZeroDivisionError()
                with pytest.raises((type(error), ZeroDivisionError)):
                    self.run(name, made, meddler, *cause)
            else:
                self.run(name, made, meddler, *cause)
        assert meddler.fired, event
        assert (made.run, made.model, held(), self.trainer.left()) == (None, None, before, []), event
        assert [path.name for path in Path().rglob("*.tmp*")] == [], event

    # The tests

    def test_each_of_the_built_ins_is_looked_at_here(self) -> None:
        assert sorted(MADE) == sorted(callbacks.__all__)

    def test_what_a_trainer_cannot_serve_it_refuses_in_a_sentence(self, name: str) -> None:
        if name not in self.trainer.refuses:
            assert self.run(name, MADE[name]()).outcome in ("completed", "stopped")
            return
        with pytest.raises(CapabilityError) as caught:
            self.run(name, MADE[name]())
        assert str(caught.value) == self.trainer.refuses[name]

    def test_the_state_goes_through_files_and_comes_back(self, name: str, tmp_path: Path) -> None:
        first, second = MADE[name](), MADE[name]()
        self.run(name, first)
        state = through_files(first.state_dict(), tmp_path)
        second.load_state_dict(state)
        assert plain(second.state_dict()) == plain(state) == plain(first.state_dict())

    def test_in_the_midst_of_a_run_too(self, name: str, tmp_path: Path) -> None:
        first, second, states = MADE[name](), MADE[name](), []
        last = Do("epoch_end", lambda run: states.append(first.state_dict()), nth=None)
        last.phase = "save"
        self.run(name, first, last)
        assert states
        for state in states:
            second.load_state_dict(through_files(state, tmp_path))
            assert plain(second.state_dict()) == plain(state)

    def test_a_run_is_resumed_with_its_state(self, name: str) -> None:
        first, second, states = MADE[name](), MADE[name](), []
        last = Do("epoch_end", lambda run: states.append(run.state_dict()))
        last.phase = "save"  # after what was decided in the epoch
        self.run(name, first, last)
        run = self.run(name, second, Do("setup", id), resume=states[0])
        assert plain(second.state_dict()) == plain(first.state_dict())
        assert run.resumed

    def test_paused_inside_an_epoch_and_gone_on_with_another_object_it_is_as_if_it_had_not_been(
        self, name: str, tmp_path: Path
    ) -> None:
        whole, path = MADE[name](), tmp_path / "state"
        self.run(name, whole, Saver(path))
        for event, nth in (("train_batch_end", 2), ("test_batch_end", 1), ("test_end", 1)):
            second = MADE[name]()
            assert self.run(name, MADE[name](), Saver(path), StopAt(event, nth, kind="pause")).outcome == "paused"
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "the checkpoint was made inside epoch 1")  # Keras begins it anew
                self.run(name, second, Saver(path), resume=load_checkpoint(path))
            assert told(name, "", second.state_dict()) == told(name, "", whole.state_dict()), event

    def test_reset_makes_it_as_new(self, name: str) -> None:
        used, fresh = MADE[name](), MADE[name]()
        self.run(name, used)
        used.reset()
        assert told(name, "", used.state_dict()) == told(name, "", fresh.state_dict())

    def test_a_second_run_is_as_the_first(self, name: str) -> None:
        used = MADE[name]()
        assert self.story(name, used) == self.story(name, used) == self.story(name, MADE[name]())

    def test_two_of_them_share_no_state(self, name: str) -> None:
        used, idle = MADE[name](), MADE[name]()
        before = plain(idle.state_dict())
        self.run(name, used)
        assert plain(idle.state_dict()) == before

    def test_the_same_object_twice_in_a_run_is_refused(self, name: str) -> None:
        made = MADE[name]()
        with pytest.raises(TypeError, match=name):
            self.run(name, made, made)
        assert made.run is None

    def test_an_evaluation_changes_nothing_in_it(self, name: str) -> None:
        made = MADE[name]()
        run = self.run(name, made)
        before = plain(run.get_weights()), plain(made.state_dict())
        run = self.run(name, made, train=self.trainer.evaluate)
        assert (plain(run.get_weights()), plain(made.state_dict())) == before
        assert (made.run, self.trainer.left()) == (None, [])

    def test_a_run_after_an_evaluation_is_as_one_without(self, name: str) -> None:
        used = MADE[name]()
        self.trainer.train()
        self.run(name, used, train=self.trainer.evaluate)
        assert self.story(name, used) == self.story(name, MADE[name]())

    def test_after_a_stop_at_any_event_it_is_free_and_serves_again(self, name: str) -> None:
        for kinds in self.kinds:
            made = MADE[name]()
            for number, event in enumerate(EVENTS_OF_A_FIT):
                kind: Any = kinds[number % len(kinds)]
                self.ends(name, made, StopAt(event, kind=kind), event)
            assert self.story(name, made) == self.story(name, MADE[name]())

    def test_after_an_exception_at_any_event_it_is_free_and_serves_again(self, name: str) -> None:
        for errors in self.errors:
            made = MADE[name]()
            for number, event in enumerate(EVENTS_OF_A_FIT):
                error = errors[number % len(errors)]("asked for")
                self.ends(name, made, RaiseAt(event, error=error), event)
            assert self.story(name, made) == self.story(name, MADE[name]())


def check_class(name: str) -> None:
    """The class has the name that it is exported by, and says what it does."""
    made = getattr(callbacks, name)
    assert issubclass(made, Callback)
    assert (made.__name__, type(MADE[name]())) == (name, made)
    assert (inspect.getdoc(made) or "").strip()
