"""Monitor: when its metric is due, and what is said when it is missing."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

from trainhooks import Callback, LoopRun, Run
from trainhooks.callbacks._monitor import Monitor
from trainhooks.callbacks.early_stopping import EarlyStopping
from trainhooks.errors import MetricValueError, MissingMetricError
from trainhooks.testing import Do, StopAt, play

# Missing when it is due


class Watch(Callback):
    """A monitor at work: the values that it read, and None where it was not due."""

    phase = "decide"

    def __init__(self, name: str = "val_loss", *, strict: bool = True) -> None:
        self.monitor = Monitor("Watch", name, "min", strict=strict)
        self.seen: list[float | None] = []

    def on_epoch_end(self, run: Run, logs: Any) -> None:
        self.seen.append(self.monitor.read(run, logs))

    def on_train_end(self, run: Run, logs: Any) -> None:
        self.monitor.finish(run, logs)


def raised(history: list[dict[str, float]], *callbacks: Callback) -> str:
    with pytest.raises(MissingMetricError) as caught:
        play(history, callbacks)
    return str(caught.value)


def warned(history: list[dict[str, float]], *callbacks: Callback) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        play(history, callbacks)
    return [str(one.message) for one in caught]


BOTH = {"loss": 1.0, "val_loss": 2.0}


def test_a_misspelt_monitor_is_an_error_at_the_first_epoch_with_the_nearest_name() -> None:
    assert raised([BOTH] * 3, EarlyStopping(monitor="val_los")) == (
        "EarlyStopping(monitor='val_los'): epoch 0 ended without that metric. There are 'loss', 'val_loss'. "
        "Did you mean 'val_loss'? (strict=False warns instead.)"
    )


def test_a_metric_of_training_is_due_at_every_epoch_that_trained() -> None:
    assert raised([{"f1": 1.0, "loss": 1.0}, {"loss": 1.0}], Watch("f1")) == (
        "Watch(monitor='f1'): epoch 1 ended without that metric. There are 'loss'. (strict=False warns instead.)"
    )


def test_where_there_is_no_metric_at_all_it_says_so() -> None:
    assert raised([{}], Watch("loss")) == (
        "Watch(monitor='loss'): epoch 0 ended without that metric. There are none. (strict=False warns instead.)"
    )


def test_not_strict_warns_and_the_epoch_is_skipped() -> None:
    watch = Watch("loss", strict=False)
    assert warned([{"loss": 3.0}, {"lost": 2.0}, {"loss": 1.0}], watch) == [
        "Watch(monitor='loss'): epoch 1 ended without that metric. There are 'lost'. Did you mean 'lost'?"
    ]
    assert watch.seen == [3.0, None, 1.0]


def test_with_validation_every_n_epochs_it_is_due_when_that_ran() -> None:
    watch = Watch()
    assert warned([BOTH, {"loss": 1.0}, {"loss": 1.0}, BOTH], watch) == []
    assert watch.seen == [2.0, None, None, 2.0]


def test_before_the_first_validation_it_warns_once() -> None:
    watch = Watch()
    assert warned([{"loss": 1.0}, {"loss": 1.0}, BOTH, {"loss": 1.0}], watch) == [
        "Watch(monitor='val_loss'): no validation has run yet, so there is nothing to check."
    ]
    assert watch.seen == [None, None, 2.0, None]


@pytest.mark.filterwarnings("ignore:Watch")
def test_when_no_validation_ever_ran_it_is_an_error_at_the_end_of_training() -> None:
    watch = Watch()
    assert raised([{"loss": 1.0}] * 3, watch) == (
        "Watch(monitor='val_loss'): training ended and no validation ever ran. There are 'loss'. "
        "Did you mean 'loss'? (strict=False warns instead.)"
    )
    assert watch.seen == [None] * 3


def test_when_no_validation_ever_ran_not_strict_warns_at_both_ends() -> None:
    assert warned([{"loss": 1.0}] * 3, Watch(strict=False)) == [
        "Watch(monitor='val_loss'): no validation has run yet, so there is nothing to check.",
        "Watch(monitor='val_loss'): training ended and no validation ever ran. There are 'loss'. Did you mean 'loss'?",
    ]


@pytest.mark.parametrize("kind", ["decision", "fault"])
def test_it_is_not_missed_at_the_end_of_an_epoch_that_a_stop_cut_short(kind: Any) -> None:
    watch = Watch("f1")
    with LoopRun(callbacks=[watch, StopAt(step=3, kind=kind)]) as run:
        for _ in run.epochs(5):
            for _ in run.train(range(2)):
                run.log(loss=1.0)
            if not run.should_stop:
                run.log(f1=2.0)
    assert watch.seen == [2.0, None]


def test_a_stop_before_the_first_validation_is_no_error_at_the_end_of_training() -> None:
    watch = Watch()
    with LoopRun(callbacks=[watch, StopAt(step=1)]) as run:
        for _ in run.epochs(5):
            for _ in run.train(range(2)):
                run.log(loss=1.0)
    assert watch.seen == [None]


def test_nor_is_it_when_the_stop_comes_later_than_the_warning() -> None:
    assert warned([{"loss": 1.0}] * 3, Watch(), StopAt("epoch_end", 1)) == [
        "Watch(monitor='val_loss'): no validation has run yet, so there is nothing to check."
    ]


def test_the_end_of_training_does_not_say_again_what_an_epoch_said() -> None:
    history = [{"loss": 1.0}, {"loss": 1.0, "val_other": 1.0}]
    assert warned(history, Watch("val_f1", strict=False)) == [
        "Watch(monitor='val_f1'): no validation has run yet, so there is nothing to check.",
        "Watch(monitor='val_f1'): epoch 1 ended without that metric. There are 'loss', 'val_other'.",
    ]


def test_where_validations_of_other_names_ran_it_says_what_they_gave() -> None:
    def train(mode: Any) -> None:
        with LoopRun(callbacks=[EarlyStopping("val_gain", mode=mode, strict=False)]) as run:
            for _ in run.epochs(1):
                for _ in run.train(range(1)):
                    run.log(loss=1.0)
                for _ in run.test(range(1), name="valid"):
                    run.log(gain=1.0)

    there = "There are 'loss', 'valid_gain'. Did you mean 'valid_gain'?"
    with pytest.warns(UserWarning, match="EarlyStopping") as caught:
        train("max")
    assert str(caught[0].message).endswith(f"no validation 'val' has run yet, so there is nothing to check. {there}")
    with pytest.raises(ValueError, match="EarlyStopping") as refused:
        train("auto")
    assert str(refused.value).endswith(f"Give mode='min' or mode='max'. {there}")


def test_an_epoch_that_did_not_train_owes_nothing() -> None:
    watch = Watch("loss")
    with LoopRun(callbacks=[watch]) as run:
        for _ in run.epochs(2):
            pass
    assert watch.seen == [None, None]


def validated(watch: Watch, *passes: dict[str, list[str]]) -> list[float | None]:
    """Epochs that train, and then validate under names, each of which logs the metrics given."""
    with LoopRun(callbacks=[watch]) as run:
        for epoch in run.epochs(len(passes)):
            for _ in run.train([0]):
                run.log(loss=1.0)
            for name, metrics in passes[epoch].items():
                for _ in run.test([0], name=name):
                    run.log(dict.fromkeys(metrics, 5.0))
    return watch.seen


def test_a_validation_may_have_a_name_of_its_own() -> None:
    assert validated(Watch("test_loss"), {"test": ["loss"]}, {"val": ["loss"]}, {"test": ["loss"]}) == [5, None, 5]


def test_a_metric_that_its_own_validation_did_not_give_is_missed() -> None:
    with pytest.raises(MissingMetricError) as caught:
        validated(Watch("test_loss"), {"test": ["loss"]}, {"test": ["lost"]})
    assert str(caught.value) == (
        "Watch(monitor='test_loss'): epoch 1 ended without that metric. There are 'loss', 'test_lost'. "
        "Did you mean 'test_lost'? (strict=False warns instead.)"
    )


@pytest.mark.parametrize("name", ["val_new", "val_a_b", "val_x", "val_ood"])
def test_of_two_validations_whose_names_fit_the_longer_one_is_meant(name: str) -> None:
    watch = Watch(f"{name}_loss")
    assert validated(watch, {"val": ["loss"], name: ["loss"]}, {"val": ["loss"]}) == [5, None]


def test_a_validation_inside_a_batch_counts_for_its_epoch() -> None:
    watch = Watch()
    with LoopRun(callbacks=[watch]) as run:
        for _ in run.epochs(1):
            for _ in run.train([0, 1]):
                for _ in run.test([0]):
                    run.log(loss=4.0)
    assert watch.seen == [4.0]


# A new run


def test_what_an_earlier_run_saw_does_not_excuse_the_next() -> None:
    stopping = EarlyStopping(patience=5)
    play([BOTH], [stopping])
    with pytest.warns(UserWarning, match="no validation has run yet"):
        assert "no validation ever ran" in raised([{"loss": 1.0}], stopping)


@pytest.mark.filterwarnings("ignore:.*no validation has run yet")
def test_leaving_the_loop_before_the_metric_came_is_no_error() -> None:
    with LoopRun(callbacks=[EarlyStopping("val_loss"), EarlyStopping("loss")]) as run:
        for _ in run.epochs(3):
            for _ in run.train([0, 1]):
                run.log(loss=1.0)
            if run.epochs_done == 1:
                break
    assert (run.outcome, run.epochs_done) == ("stopped", 2)


def test_an_array_in_the_logs_is_told_of_by_the_watching_callback() -> None:
    def write(run: Run) -> None:
        run.logs["m"] = [1.0, 2.0]

    with pytest.raises(MetricValueError) as error:
        play([{"loss": 1.0}], [Do("epoch_end", write), EarlyStopping("m", mode="min")])
    assert str(error.value) == "EarlyStopping(monitor='m'): [1.0, 2.0] in the logs is not one number"


# A metric that was announced


class Sparse(Callback):
    """Computes ``f1`` at every ``every``-th epoch, as a score over a whole set would be."""

    def __init__(self, values: dict[int, float], *, announce: bool = True) -> None:
        self.values, self.announce = values, announce

    def on_setup(self, run: Run) -> None:
        if self.announce:
            run.announce("f1")

    def on_epoch_end(self, epoch: int, logs: Any) -> None:
        if epoch in self.values:
            logs["f1"] = self.values[epoch]


def test_a_metric_that_was_announced_is_not_missed_in_between() -> None:
    watch = Watch("f1")
    run = play([{"loss": 1.0}] * 6, [Sparse({1: 0.5, 4: 0.75}), watch])
    assert (watch.seen, run.outcome) == ([None, 0.5, None, None, 0.75, None], "completed")
    assert "ended without that metric" in raised([{"loss": 1.0}], Sparse({}, announce=False), Watch("f1"))


def test_one_that_was_announced_and_never_came_is_an_error_in_the_end() -> None:
    assert raised([{"loss": 1.0}] * 2, Sparse({}), EarlyStopping("f1", mode="max")) == (
        "EarlyStopping(monitor='f1'): training ended and it was never computed. There are 'loss'. "
        "(strict=False warns instead.)"
    )
