"""What the rules do not know of: the trainer's own stop, its own evaluation, and how trainhooks finds the adapter."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tinytrainer
import trainhooks_tinytrainer

import trainhooks
from trainhooks import errors, plugins
from trainhooks.testing import Do, StopAt, Trace

NAME = "tinytrainer-here"
"""Another than the entry point's, so that these tests run with and without the distribution installed."""
X = np.random.default_rng(0).normal(size=(8, 2)).astype(np.float32)
DATA = X, X.sum(axis=1, keepdims=True)


class StopsAt(tinytrainer.Hook):
    """A hook of the trainer's own, that stops it."""

    def __init__(self, what: str) -> None:
        setattr(self, what, self.stop)

    def stop(self, trainer: tinytrainer.Trainer, *arguments: Any) -> None:
        trainer.stop = True


def trainer(*hooks: tinytrainer.Hook) -> tinytrainer.Trainer:
    return tinytrainer.Trainer(tinytrainer.Linear(2), batch_size=4, hooks=list(hooks))


def wrap(target: tinytrainer.Trainer, *callbacks: trainhooks.Callback) -> Any:
    return trainhooks_tinytrainer.wrap(target, callbacks=callbacks, plugins="none")


@pytest.mark.parametrize("what", ["step_ended", "epoch_ended"])
def test_a_stop_of_the_trainers_own_is_told_of(what: str) -> None:
    trace = Trace()
    wrapped = wrap(trainer(StopsAt(what)), trace)
    wrapped.fit(DATA, epochs=3)
    run = wrapped.run
    assert [arguments for name, arguments in trace.events if name == "stop"] == [
        {"reason": "trainer.stop was set", "source": "tinytrainer"}
    ]
    assert (run.outcome, run.epochs_done, run.step) == ("stopped", 1, 1 if what == "step_ended" else 2)
    trace.check_grammar()


def test_an_evaluation_after_a_fit_that_was_stopped_is_no_stopped_run() -> None:
    wrapped = wrap(trainer())
    with_stop = wrap(wrapped.trainer, StopAt("train_batch_end"))
    with_stop.fit(DATA, epochs=3)
    wrapped.evaluate(DATA)
    assert (with_stop.run.outcome, wrapped.run.stop_reason) == ("stopped", None)


def test_a_callback_may_evaluate_with_the_trainer_and_is_not_told_of_it() -> None:
    own = trainer()
    found: list[dict[str, float]] = []
    trace, plain = Trace(), Trace()
    wrap(own, Do("epoch_end", lambda run: found.append(own.evaluate(DATA))), trace).fit(DATA)
    wrap(trainer(), plain).fit(DATA)
    assert (trace.outline(), list(found[0])) == (plain.outline(), ["loss", "mae"])


def state_of(*callbacks: trainhooks.Callback) -> Any:
    """The state at the end of the first epoch of three."""
    states: list[Any] = []
    keep = Do("epoch_end", lambda run: states.append(run.state_dict()))
    keep.phase = "save"
    wrap(trainer(), *callbacks, keep).fit(DATA, epochs=3)
    return states[0]


def test_the_first_fit_goes_on_with_the_learning_rate_that_was_set_and_the_next_begins_anew() -> None:
    state = state_of(Do("epoch_begin", lambda run: setattr(run, "lr", 0.03125)))
    wrapped = trainhooks_tinytrainer.wrap(trainer(), resume=state, plugins="none")
    seen: list[Any] = []
    for _ in range(2):
        wrapped.fit(DATA, epochs=3)
        assert wrapped.run is not None
        seen.append((wrapped.run.resumed, wrapped.run.step, wrapped.run.epochs_done))
    assert (seen, wrapped.trainer.lr) == ([(True, 6, 3), (False, 6, 3)], 0.03125)


def test_a_stopped_run_goes_on_where_that_is_asked_for() -> None:
    state = state_of(StopAt("epoch_end"))
    wrapped = trainhooks_tinytrainer.wrap(trainer(), resume=state, resume_stopped=True, plugins="none")
    wrapped.fit(DATA, epochs=3)
    assert wrapped.run is not None
    assert (wrapped.run.outcome, wrapped.run.epochs_done, wrapped.run.steps_per_epoch) == ("completed", 3, 2)


def test_an_evaluation_goes_on_from_no_state() -> None:
    class Offers(trainhooks.Callback):
        def resume_from(self, run: trainhooks.Run) -> Any:
            return state

    state = state_of()
    wrapped = wrap(trainer(), Offers())
    wrapped.evaluate(DATA)
    resumed = [wrapped.run.resumed]
    wrapped.fit(DATA, epochs=2)
    resumed.append(wrapped.run.resumed)
    assert resumed == [False, True]


def test_what_the_trainer_lacks_is_refused_when_it_is_wrapped() -> None:
    asks = Do("setup", id)
    asks.requires = {"graph"}
    with pytest.raises(errors.CapabilityError, match="the tinytrainer adapter does not offer it"):
        wrap(trainer(), asks)


def test_a_state_that_does_not_fit_is_refused_at_each_fit() -> None:
    other = tinytrainer.Trainer(tinytrainer.Linear(2, outputs=3))
    wrapped = trainhooks_tinytrainer.wrap(other, resume=state_of(), plugins="none")
    for _ in range(2):
        with pytest.raises(errors.WeightsError, match=re.escape("'params/kernel' is (2, 3), given (2, 1)")):
            wrapped.fit(DATA)


def test_the_metrics_that_it_returns_are_those_of_the_run() -> None:
    wrapped = wrap(trainer())
    rows = X[:7], DATA[1][:7]  # the second batch is smaller
    assert wrapped.evaluate(rows) == pytest.approx(dict(wrapped.run.logs))
    assert wrapped.predict(X).shape == (8, 1)


# The plugin


@pytest.fixture
def _registered() -> Iterator[None]:
    plugins.register(trainhooks_tinytrainer.plugin, NAME)
    yield
    plugins.unregister(NAME)


@pytest.mark.usefixtures("_registered")
def test_trainhooks_wraps_a_trainer_and_knows_how_to_install_the_adapter() -> None:
    wrapped = trainhooks.wrap(trainer(), callbacks=[Trace()], plugins=NAME)
    wrapped.fit(DATA, epochs=2)
    assert (wrapped.run.framework, wrapped.run.outcome) == ("tinytrainer", "completed")
    assert plugins.frameworks()["tinytrainer"] == "trainhooks-tinytrainer"


@pytest.mark.usefixtures("_registered")
def test_an_argument_that_it_does_not_have_is_refused() -> None:
    with pytest.raises(TypeError, match=re.escape("optimizer=...): the trainer is its own optimizer")):
        trainhooks.wrap(trainer(), optimizer=object())
    with pytest.raises(TypeError, match=re.escape("no argument 'min_epoch'. Did you mean 'min_epochs'?")):
        trainhooks.wrap(trainer(), min_epoch=3)


def test_to_say_no_it_does_not_load_the_trainer_which_knows_nothing_of_trainhooks() -> None:
    code = (
        "import sys, trainhooks_tinytrainer as adapter\n"
        "answer = adapter.plugin.trainhooks_adapter(object())\n"
        "print(answer, 'tinytrainer' in sys.modules)"
    )
    root = Path(__file__).parent.parent
    said = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True).stdout
    assert said == "None False\n"
    assert not [path for path in (root / "tinytrainer").glob("*.py") if "trainhooks" in path.read_text("utf-8")]
