"""Timer, StopFile, Throughput and EpochScoring under a real fit. Run by test_more_callbacks_keras.py."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from trainhooks_adapters.keras import bridge

import trainhooks
from trainhooks import Callback, Run
from trainhooks.callbacks.early_stopping import EarlyStopping
from trainhooks.callbacks.epoch_scoring import EpochScoring
from trainhooks.callbacks.stop_file import StopFile
from trainhooks.callbacks.throughput import Throughput
from trainhooks.callbacks.timer import Timer
from trainhooks.testing import Do, Trace

X = np.linspace(-1, 1, 12, dtype="float32").reshape(6, 2)
Y = X.sum(axis=1, keepdims=True) + 1
MODEL = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
MODEL.compile(keras.optimizers.SGD(0.1), loss="mse")
EPOCH0 = "epoch0[ batch0[] batch1[] batch2[] test[ batch0[] batch1[] batch2[] ] ]"


class Clock:
    """Tells the time that it was set to."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Passes(keras.callbacks.Callback):
    """Stands before ours: so many seconds pass in each training and each validation batch."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        super().__init__()
        self.clock, self.seconds = clock, seconds

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.clock.now += self.seconds

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        self.clock.now += self.seconds


@pytest.fixture(autouse=True)
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    MODEL.set_weights([np.zeros((2, 1)), np.zeros(1)])


def fitted(*callbacks: Callback, clock: Clock | None = None, epochs: int = 3, **options: Any) -> tuple[Run, str]:
    """The run of a fit of three batches an epoch and a validation of as many, and what it told."""
    trace = Trace()
    wrapped = trainhooks.wrap(MODEL, callbacks=[*callbacks, trace])
    natives = [] if clock is None else [Passes(clock, 1.0)]
    given = {"batch_size": 2, "verbose": 0, "shuffle": False, "validation_data": (X, Y)} | options
    wrapped.fit(X, Y, epochs=epochs, callbacks=natives, **given)
    trace.check_grammar()
    assert wrapped.run is not None
    return wrapped.run, trace.outline()


def test_a_timer_decides_in_the_midst_of_an_epoch_whose_validation_follows() -> None:
    clock = Clock()
    timer = Timer(8, clock=clock)
    run, told = fitted(timer, clock=clock)
    assert told == (
        f"setup train[ {EPOCH0} epoch1[ batch0[] batch1[] stop test[ batch0[] batch1[] batch2[] ] ] ] teardown"
    )
    assert (run.outcome, run.stop_reason) == ("stopped", "the time limit of 0:00:08 is reached")
    assert (timer.time_elapsed("train"), timer.time_elapsed("validate")) == (5.0, 6.0)


def test_a_timer_pauses_between_two_validation_batches() -> None:
    clock = Clock()
    run, told = fitted(Timer(5, kind="pause", clock=clock), clock=clock)
    assert (told, run.outcome) == (
        "setup train[ epoch0[ batch0[] batch1[] batch2[] test[ batch0[] batch1[] stop teardown",
        "paused",
    )


def test_a_run_that_a_timer_paused_at_an_epochs_end_has_what_is_left_when_it_is_resumed() -> None:
    clock, states = Clock(), []
    keep = Do("epoch_end", lambda run: states.append(run.state_dict()), nth=None)
    keep.phase = "save"
    fitted(Timer(3, kind="pause", interval="epoch", clock=clock), keep, clock=clock)
    timer = Timer(9, clock=clock)
    wrapped = trainhooks.wrap(MODEL, callbacks=[timer], resume=states[-1])
    with pytest.warns(UserWarning, match="saved with duration=3"):
        wrapped.fit(X, Y, batch_size=2, epochs=5, verbose=0, callbacks=[Passes(clock, 1.0)])
    assert wrapped.run is not None
    assert (wrapped.run.epochs_done, wrapped.run.step, timer.elapsed) == (2, 6, 9.0)


def test_a_stop_file_is_obeyed_and_deleted() -> None:
    put = Do("train_batch_begin", lambda run: Path("STOP").write_text("seen enough\n"), nth=4)
    run, told = fitted(put, StopFile(seconds=0))
    assert told == (
        f"setup train[ {EPOCH0} epoch1[ batch0[] batch1[] stop test[ batch0[] batch1[] batch2[] ] ] ] teardown"
    )
    assert (run.stop_reason, run.stop_source, Path("STOP").exists()) == ("seen enough", "StopFile", False)


@pytest.mark.parametrize("size, samples", [(None, None), (2, 2.0)])
def test_throughput_counts_steps_and_no_waiting_and_samples_by_the_batch_size(size: Any, samples: Any) -> None:
    clock = Clock()
    throughput = Throughput(size, clock=clock)
    run, _ = fitted(throughput, clock=clock, epochs=2)
    assert [one.logs["steps_per_second"] for one in run.history] == [1.0, 1.0]
    assert [one.logs.get("samples_per_second") for one in run.history] == [samples, samples]
    assert throughput.data_wait is None and "data_wait" not in run.history[-1].logs


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="torch runs one step at a time")
def test_throughput_counts_the_steps_that_are_run_in_one_go() -> None:
    clock = Clock()
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", steps_per_execution=2)
    wrapped = trainhooks.wrap(model, callbacks=[Throughput(clock=clock)])
    wrapped.fit(X, Y, batch_size=1, epochs=1, verbose=0, callbacks=[Passes(clock, 1.0)])
    assert wrapped.run is not None
    assert wrapped.run.history[0].logs["steps_per_second"] == 2.0


def test_throughput_reaches_keras_own_callbacks_and_its_history() -> None:
    clock = Clock()
    done = MODEL.fit(
        X, Y, batch_size=2, epochs=2, verbose=0, callbacks=[Passes(clock, 1.0), bridge([Throughput(clock=clock)])]
    )
    assert done.history["steps_per_second"] == [1.0, 1.0]


def worst(model: Any, x: Any, y: Any) -> Any:
    """No mean over batches."""
    return abs(model.predict(x, verbose=0) - y).max()


def test_a_score_of_the_whole_set_is_decided_on_and_is_of_the_weights_as_they_are() -> None:
    after: list[float] = []
    look = Do("epoch_end", lambda run: after.append(float(worst(run.model, X, Y))), nth=None)
    stop = EarlyStopping("worst", mode="max", patience=2)  # it falls: none is better than the first
    run, _ = fitted(stop, EpochScoring(worst, (X, Y)), look, epochs=9)
    assert [one.logs["worst"] for one in run.history] == after == sorted(after, reverse=True)
    assert (run.outcome, run.epochs_done, stop.best) == ("stopped", 3, after[0])


def test_a_score_comes_every_so_many_epochs_and_a_monitor_waits_for_it() -> None:
    stop = EarlyStopping("worst", mode="max", patience=1)
    run, _ = fitted(stop, EpochScoring(worst, (X, Y), every=2), epochs=9)
    assert [one.epoch for one in run.history if "worst" in one.logs] == [1, 3]


def test_a_score_by_evaluate_leaves_the_epochs_own_metrics_alone() -> None:
    def on_the_rest(model: Any, x: Any, y: Any) -> dict[str, float]:
        return {"loss": model.evaluate(x, y, verbose=0)}

    plain, _ = fitted(epochs=2)
    MODEL.set_weights([np.zeros((2, 1)), np.zeros(1)])
    scored, _ = fitted(EpochScoring(on_the_rest, (X[:2], Y[:2]), name="rest"), epochs=2)
    assert [{**one.logs, "rest_loss": None} for one in scored.history] == [
        {**one.logs, "rest_loss": None} for one in plain.history
    ]
    assert all(one.logs["rest_loss"] > 0 for one in scored.history)


def stream() -> Iterator[tuple[Any, Any]]:
    """Data of unknown length: on some backends Keras begins a batch in vain."""
    for at in range(0, 6, 2):
        yield X[at : at + 2], Y[at : at + 2]


def test_all_of_them_over_data_that_runs_out() -> None:
    clock = Clock()
    callbacks = [Timer(100, clock=clock), StopFile(), Throughput(2, clock=clock), EpochScoring(worst, (X, Y))]
    wrapped = trainhooks.wrap(MODEL, callbacks=callbacks)
    wrapped.fit(stream(), epochs=1, verbose=0, callbacks=[Passes(clock, 1.0)])
    assert wrapped.run is not None
    logs = wrapped.run.history[0].logs
    assert {name: logs[name] for name in logs if "second" in name} == {
        "steps_per_second": 1.0,
        "samples_per_second": 2.0,
    }
    assert {"loss", "worst"} < set(logs) and wrapped.run.outcome == "completed"
