"""What a user is told who writes what is natural in another library."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

import trainhooks
from trainhooks import Callback, LoopRun
from trainhooks.callbacks import EarlyStopping
from trainhooks.testing import Constant, Do, batches, play


def told(action: Callable[[], object], kind: type[Exception]) -> str:
    with pytest.raises(kind) as caught:
        action()
    return str(caught.value)


def in_a_hook(action: Callable[[Any], object], kind: type[Exception]) -> str:
    return told(lambda: play([{"loss": 1.0}], [Do("epoch_end", action)]), kind)


def test_a_list_given_for_the_trainable_is_told_where_callbacks_go() -> None:
    assert told(lambda: LoopRun([EarlyStopping()]), TypeError).endswith(  # type: ignore[arg-type]
        "it takes a trainhooks.Trainable, or none. Callbacks go by name: LoopRun(callbacks=[...])."
    )


def test_a_model_given_for_the_trainable_is_told_of_wrap() -> None:
    assert told(lambda: LoopRun(object()), TypeError).endswith(  # type: ignore[arg-type]
        "it takes a trainhooks.Trainable, or none. For a model of a framework there is trainhooks.wrap(model, ...)."
    )


@pytest.mark.parametrize("take", [lambda one: LoopRun(callbacks=one), lambda one: trainhooks.wrap(None, callbacks=one)])
def test_a_callback_given_for_the_list_of_them_is_told_of_the_brackets(take: Callable[[Any], object]) -> None:
    assert told(lambda: take(EarlyStopping()), TypeError).endswith(": it is a list. Write callbacks=[...].")


@pytest.mark.parametrize("name", ["learning_rate", "epoch", "lrr"])
def test_what_cannot_be_set_on_a_run_is_refused(name: str) -> None:
    wanted = f"run.{name} cannot be set; run.lr and run.lrs can."
    assert in_a_hook(lambda run: setattr(run, name, 1), AttributeError) == wanted
    assert told(lambda: setattr(LoopRun(), name, 1), AttributeError) == wanted


def test_should_stop_is_asked_for_and_not_set() -> None:
    assert in_a_hook(lambda run: setattr(run, "should_stop", True), AttributeError) == (
        "run.should_stop cannot be set; run.lr and run.lrs can. A stop is asked for with run.stop(reason)."
    )


def test_a_callback_that_logs_is_told_how() -> None:
    assert in_a_hook(lambda run: run.log(loss=1.0), AttributeError) == (
        "run.log: this is the run as its callbacks see it, and the loop's verbs are LoopRun's. "
        "In a callback, logs['name'] = value adds to the logs."
    )


def test_a_value_without_a_name_is_told_that_it_needs_one() -> None:
    with LoopRun() as run:
        for _ in run.epochs(1):
            for _ in run.train(batches(1)):
                said = told(lambda: run.log(0.5), trainhooks.errors.MetricValueError)  # type: ignore[arg-type]
    assert said == "run.log(0.5): a value needs its name, as run.log(loss=value)"


@pytest.mark.parametrize(
    "call, steps",
    [
        (lambda model: trainhooks.fit(model, [1]), "'train_step'"),
        (lambda model: trainhooks.fit(model, [1], [1]), "'train_step', 'test_step'"),
        (lambda model: trainhooks.evaluate(model, [1]), "'test_step'"),
        (lambda model: trainhooks.predict(model, [1]), "'predict_step'"),
    ],
)
def test_a_model_without_steps_is_told_of_wrap(call: Callable[[Any], object], steps: str) -> None:
    said = told(lambda: call("a network"), TypeError)
    assert f"('a network'): the model has no {steps}. " in said
    assert said.endswith("a PyTorch or Keras model goes into trainhooks.wrap(model, ...).")


def test_an_iterator_that_is_used_up_is_told_of() -> None:
    with pytest.warns(UserWarning, match="epoch 1 had no batch: data is an iterator, which is used up"):
        run = trainhooks.fit(Constant(), iter([1, 2]), epochs=2)
    assert run.step == 2


def test_a_state_that_is_none_is_refused() -> None:
    assert told(lambda: LoopRun(resume={}), ValueError) == (
        "load_state_dict(): {} is not what run.state_dict() gives: it has no 'at'. Weights alone go into the model "
        "before the run."
    )


def test_a_state_taken_inside_a_batch_says_so_when_it_is_taken() -> None:
    said: list[str] = []

    def take(run: Any) -> None:
        with pytest.warns(UserWarning, match="taken inside a batch") as caught:
            run.state_dict()
        said.append(str(caught[0].message))

    play([{"loss": 1.0}], [Do("train_batch_begin", take)])
    assert said == [
        "run.state_dict(): the state was taken inside a batch of epoch 0, where nobody can go on from. Take it at the "
        "end of a batch or of an epoch, in a callback with phase='save', which comes after those that decide; or ask "
        "for it with run.save(), which waits for such a place."
    ]


def test_a_predicate_that_asks_for_logs_is_told_what_it_gets() -> None:
    assert told(lambda: trainhooks.when(lambda logs: logs["loss"] > 1), TypeError) == (  # type: ignore[index]
        "when(): the predicate is given the run alone, and not 'logs'. Write when(lambda run: run.logs ...)"
    )


class Mine(Callback):
    pass


@pytest.mark.parametrize("name", ["set_model", "set_params", "state_key", "on_init_end", "name"])
def test_a_trainer_asking_a_callback_of_ours_is_told_the_way(name: str) -> None:
    assert told(lambda: getattr(Mine(), name), AttributeError) == (
        f"Mine has no {name!r}. If it is a trainer that asks: a trainhooks callback goes into "
        "trainhooks.wrap(trainer, callbacks=[...]), or into the bridge([...]) of the trainer's adapter."
    )


def test_what_a_callback_of_ours_lacks_is_told_otherwise() -> None:
    assert told(lambda: Mine().params, AttributeError).startswith(  # type: ignore[attr-defined]
        "Mine has no 'params'. A run has max_epochs and steps_per_epoch: self.run.max_epochs. "
    )
    assert told(lambda: Mine().other, AttributeError) == (  # type: ignore[attr-defined]
        "'Mine' object has no attribute 'other'"
    )


class Saves(Callback):
    def save(self, run: Any, path: str) -> None:  # type: ignore[override]
        pass


@dataclass(frozen=True)
class Frozen(Callback):
    patience: int = 3


def test_a_method_that_happens_to_be_called_save_is_refused_when_it_is_attached() -> None:
    assert told(lambda: LoopRun(callbacks=[Saves()]), TypeError) == (
        "Saves.save: a callback's save(run) carries out run.save(). Take run alone, or give the method another name."
    )


def test_a_frozen_callback_is_refused_when_it_is_attached() -> None:
    assert told(lambda: LoopRun(callbacks=[Frozen()]), TypeError) == (
        "Frozen is frozen, and its run could not be set on it. Make it a class that can change."
    )
