"""What every built-in must keep, whatever it does: its state, its independence, its constructor, its way out."""

from __future__ import annotations

import inspect
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainhooks import MLP, Callback, callbacks, fit
from trainhooks.events import EVENTS
from trainhooks.testing import Do, RaiseAt, StopAt, Trace

MADE: dict[str, Callable[[], Callback]] = {
    "CSVLogger": lambda: callbacks.CSVLogger("log.csv"),
    "EarlyStopping": lambda: callbacks.EarlyStopping(patience=1, restore_best_weights=True),
    "History": lambda: callbacks.History(),
    "LambdaCallback": lambda: callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: None),
    "LearningRateScheduler": lambda: callbacks.LearningRateScheduler(lambda epoch, lr: lr / 2),
    "ModelCheckpoint": lambda: callbacks.ModelCheckpoint("w.safetensors", save_best_only=True),
    "ProgbarLogger": lambda: callbacks.ProgbarLogger(),
    "ReduceLROnPlateau": lambda: callbacks.ReduceLROnPlateau(patience=1, factor=0.5),
    "TerminateOnNaN": lambda: callbacks.TerminateOnNaN(),
}
"""One of each, with settings under which it has something to decide and to keep."""

KEPT: dict[str, set[str]] = {"ModelCheckpoint": {"best", "last_path"}}
"""What a new run does not forget: the file is still there."""

every_callback = pytest.mark.parametrize("name", callbacks.__all__)

X, Y = np.arange(12.0, dtype=np.float32).reshape(6, 2), np.array([0, 1, 0, 1, 0, 1])


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def train(*made: Callback, epochs: int = 3, lr: float = 1.0, resume: Any = None) -> Any:
    """A model that gets worse, so that everything has something to decide."""
    model = MLP((2, 2), lr=lr)
    return fit(model, (X, Y), (X, Y), epochs=epochs, batch_size=3, seed=0, callbacks=made, resume=resume)


def plain(state: Any) -> Any:
    """A state that can be compared: arrays as lists."""
    if isinstance(state, dict):
        return {name: plain(value) for name, value in state.items()}
    return state.tolist() if isinstance(state, np.ndarray) else state


def through_json(state: Any) -> Any:
    """A state as a file would give it back: what is no array goes through JSON."""
    if isinstance(state, dict) and any(isinstance(value, (dict, np.ndarray)) for value in state.values()):
        return {name: through_json(value) for name, value in state.items()}
    return state if isinstance(state, np.ndarray) else json.loads(json.dumps(state))


def test_each_of_the_built_ins_is_looked_at_here() -> None:
    assert sorted(MADE) == sorted(callbacks.__all__)


@every_callback
def test_the_class_has_the_name_that_it_is_exported_by_and_says_what_it_does(name: str) -> None:
    made = getattr(callbacks, name)
    assert issubclass(made, Callback)
    assert (made.__name__, type(MADE[name]())) == (name, made)
    assert (inspect.getdoc(made) or "").strip()


@every_callback
def test_the_state_goes_through_json_and_comes_back(name: str) -> None:
    first, second = MADE[name](), MADE[name]()
    train(first)
    state = through_json(first.state_dict())
    second.load_state_dict(state)
    assert plain(second.state_dict()) == plain(state) == plain(first.state_dict())


@every_callback
def test_in_the_midst_of_a_run_too(name: str) -> None:
    first, second, states = MADE[name](), MADE[name](), []
    last = Do("epoch_end", lambda run: states.append(first.state_dict()), nth=None)
    last.phase = "save"
    train(first, last)
    for state in states:
        second.load_state_dict(through_json(state))
        assert plain(second.state_dict()) == plain(state)


@every_callback
def test_a_run_is_resumed_with_its_state(name: str) -> None:
    first, second, states = MADE[name](), MADE[name](), []
    last = Do("epoch_end", lambda run: states.append(run.state_dict()))
    last.phase = "save"  # after what was decided in the epoch
    train(first, last)
    run = train(second, Do("setup", id), resume=states[0])
    assert plain(second.state_dict()) == plain(first.state_dict())
    assert run.resumed


@every_callback
def test_reset_makes_it_as_new(name: str) -> None:
    used, fresh = MADE[name](), MADE[name]()
    train(used)
    used.reset()
    kept = KEPT.get(name, set())
    states = [{key: value for key, value in one.state_dict().items() if key not in kept} for one in (used, fresh)]
    assert plain(states[0]) == plain(states[1])


@every_callback
def test_two_of_them_share_no_state(name: str) -> None:
    used, idle = MADE[name](), MADE[name]()
    before = plain(idle.state_dict())
    train(used)
    assert plain(idle.state_dict()) == before


@every_callback
def test_a_misspelt_argument_is_a_type_error(name: str) -> None:
    with pytest.raises(TypeError, match="patiense"):
        getattr(callbacks, name)(patiense=3)


@every_callback
def test_the_same_object_twice_in_a_run_is_refused(name: str) -> None:
    made = MADE[name]()
    with pytest.raises(TypeError, match=name):
        train(made, made)
    assert made.run is None


EVENTS_OF_A_FIT = [name for name in EVENTS if "predict" not in name and name != "optimizer_step"]


def ending(name: str, made: Callback, meddler: Callback, event: str) -> None:
    """One run with ``made`` and something that meddles at ``event``."""
    cause = [StopAt("epoch_end", 1)] if event == "stop" else []
    if event == "exception":
        cause = [RaiseAt("epoch_begin", 1, ZeroDivisionError("cause"))]
    if event == "checkpoint":
        cause = [Do("epoch_end", lambda run: run.emit("checkpoint", path=Path("x"), logs=run.logs))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of two exceptions the second is told in a warning
        train(made, meddler, *cause)


def story(name: str, made: Callback) -> tuple[str, Any]:
    """What a run with it looks like, and the state that it leaves."""
    trace = Trace()
    train(made, trace)
    return trace.outline(), plain(made.state_dict())


@every_callback
@pytest.mark.parametrize("event", EVENTS_OF_A_FIT)
@pytest.mark.parametrize("kind", ["decision", "fault", "pause"])
def test_after_a_stop_at_any_event_it_is_free_and_serves_again(name: str, event: str, kind: Any) -> None:
    made = MADE[name]()
    if event == "exception":
        with pytest.raises(ZeroDivisionError):
            ending(name, made, StopAt(event, kind=kind), event)
    else:
        ending(name, made, StopAt(event, kind=kind), event)
    assert (made.run, made.model) == (None, None)
    assert without_kept(name, story(name, made)) == without_kept(name, story(name, MADE[name]()))


@every_callback
@pytest.mark.parametrize("event", EVENTS_OF_A_FIT)
@pytest.mark.parametrize("error", [RuntimeError("asked for"), KeyboardInterrupt()], ids=["error", "interrupt"])
def test_after_an_exception_at_any_event_it_is_free_and_serves_again(
    name: str, event: str, error: BaseException
) -> None:
    made = MADE[name]()
    with pytest.raises((type(error), ZeroDivisionError)):
        ending(name, made, RaiseAt(event, error=error), event)
    assert (made.run, made.model) == (None, None)
    assert without_kept(name, story(name, made)) == without_kept(name, story(name, MADE[name]()))


def without_kept(name: str, told: tuple[str, Any]) -> tuple[str, Any]:
    """A story without what the object may keep of the run before; with it, what it saves depends on that run."""
    kept = KEPT.get(name, set())
    outline, state = told
    if kept:
        outline = outline.replace(" checkpoint(w.safetensors)", "")
    return outline, {key: value for key, value in state.items() if key not in kept}


@every_callback
def test_it_leaves_no_temporary_file(name: str, tmp_path: Path) -> None:
    train(MADE[name]())
    with pytest.raises(RuntimeError, match="asked for"):
        train(MADE[name](), RaiseAt("epoch_end", 1))
    assert [path for path in tmp_path.rglob("*") if ".tmp" in path.name] == []
