"""What a callback sees of a run, and how it steers it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from trainhooks import Callback, Event, LoopRun, Run, fit
from trainhooks.errors import CapabilityError, LoopError
from trainhooks.events import EVENTS
from trainhooks.numpy_model import MLP
from trainhooks.testing import Constant, Do, RaiseAt, StopAt, Trace, batches
from trainhooks.testing.play import Dial

# The learning rate


def test_setting_lr_scales_the_groups_in_their_first_proportions() -> None:
    run = LoopRun(Dial([0.1, 0.2, 0.0]))
    seen = []
    for lr in (0.05, 0.0, 0.4):
        run.lr = lr
        seen.append([run.lr, *run.lrs])
    assert seen == [[0.05, 0.05, 0.1, 0.0], [0.0] * 4, [0.4, 0.4, 0.8, 0.0]]


def test_groups_have_no_proportions_to_a_first_of_zero_and_get_its_value() -> None:
    run = LoopRun(Dial([0.0, 0.2]))
    run.lr = 0.1
    assert run.lrs == [0.1, 0.1]


def test_lrs_sets_each_group() -> None:
    run = LoopRun(Dial([0.1, 0.2]))
    run.lrs = [0.3, 0.4]
    assert (run.lr, run.lrs) == (0.3, [0.3, 0.4])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.1])
def test_a_learning_rate_that_is_none_is_refused_and_nothing_is_set(value: float) -> None:
    run = LoopRun(Dial([0.1, 0.2]))
    with pytest.raises(ValueError) as one:
        run.lr = value
    with pytest.raises(ValueError) as many:
        run.lrs = [0.5, value]
    assert [str(one.value), str(many.value)] == [
        f"run.lr = {value!r}: a learning rate is a finite number, at least 0"
    ] * 2
    assert run.lrs == [0.1, 0.2]


# What a trainer lacks

NO_MODEL = "which this trainer lacks: it was given no model. Use trainhooks.wrap(model, ...)."


@pytest.mark.parametrize(
    "ask, need",
    [
        (lambda run: run.lr, "lr"),
        (lambda run: run.lrs, "lr"),
        (lambda run: run.get_weights(), "weights"),
        (lambda run: run.set_weights({}), "weights"),
        (lambda run: run.snapshot(), "snapshot"),
        (lambda run: run.restore(None), "snapshot"),
    ],
)
def test_a_verb_that_the_trainer_lacks_says_so(ask: Callable[[LoopRun], Any], need: str) -> None:
    with pytest.raises(CapabilityError) as refused:
        ask(LoopRun())
    assert str(refused.value) == f"run needs {need!r}, {NO_MODEL}"


class NeedsLr(Callback):
    requires = {"lr"}


def test_a_callback_whose_needs_are_lacking_is_refused_when_attached() -> None:
    with pytest.raises(CapabilityError) as refused:
        LoopRun(callbacks=[NeedsLr()])
    with LoopRun() as run, pytest.raises(CapabilityError) as later:
        run.add(NeedsLr())
    assert [str(refused.value), str(later.value)] == [f"NeedsLr needs 'lr', {NO_MODEL}"] * 2
    LoopRun(Dial(), callbacks=[NeedsLr()])


def test_without_a_model_there_is_none() -> None:
    run = LoopRun()
    assert (run.model, run.optimizer, run.optimizer_step, run.framework) == (None, None, None, "none")


def test_a_callback_sees_the_model_while_it_is_attached() -> None:
    model, seen = MLP((2, 1)), []
    callback = Do("setup", lambda run: seen.append((run.model, callback.model, run.optimizer)))
    before = callback.model
    with LoopRun(model, [callback]):
        pass
    assert seen == [(model, model, model.optimizer)]
    assert (before, callback.model) == (None, None)


# Metrics


def test_logs_are_running_means_and_batch_logs_the_batchs_own_values() -> None:
    seen = []

    def look(run: Run) -> None:
        seen.append((dict(run.logs), dict(run.batch_logs)))

    looks = [Do(event, look, None) for event in ("train_batch_begin", "train_batch_end", "epoch_end")]
    with LoopRun(callbacks=looks) as run:
        for _epoch in run.epochs(1):
            for loss, n in run.train([(1.0, 1), (5.0, 3)]):
                run.log(loss=loss, n=n)
    assert seen == [
        ({}, {}),
        ({"loss": 1.0}, {"loss": 1.0}),
        ({"loss": 1.0}, {}),
        ({"loss": 4.0}, {"loss": 5.0}),
        ({"loss": 4.0}, {}),
    ]


def test_what_is_logged_twice_in_a_batch_shows_its_last_value_and_counts_twice() -> None:
    with LoopRun() as run:
        for _epoch in run.epochs(1):
            for _batch in run.train(batches(1)):
                run.log({"f1/macro": 1.0})
                run.log({"f1/macro": 0.0}, loss=2.0)
                assert dict(run.batch_logs) == {"f1/macro": 0.0, "loss": 2.0}
    assert run.history == [(0, {"f1/macro": 0.5, "loss": 2.0})]


def test_the_history_has_what_callbacks_wrote_and_nothing_stale() -> None:
    class Writes(Callback):
        def on_epoch_end(self, epoch: int, logs: Any) -> None:
            logs["seen"] = epoch

    with LoopRun(callbacks=[Writes()]) as run:
        for epoch in run.epochs(2):
            if epoch == 0:
                run.log(only_once=1.0)
        assert run.history == [(0, {"only_once": 1.0, "seen": 0}), (1, {"seen": 1})]
        assert [type(record.logs) for record in run.history] == [dict, dict]


def test_the_history_holds_the_epoch_already_while_it_ends() -> None:
    seen = []
    with LoopRun(callbacks=[Do("epoch_end", lambda run: seen.append([*run.history]), None)]) as run:
        for _epoch in run.epochs(2):
            run.log(loss=1.0)
    assert [len(history) for history in seen] == [1, 2]


# Counts


def test_optimizer_steps_are_counted_and_told() -> None:
    trace = Trace(optimizer_steps=True)
    with LoopRun(MLP((2, 1)), [trace]) as run:
        for _epoch in run.epochs(1):
            for batch in run.train(batches(4)):
                if batch % 2:
                    run.model.optimizer.step({})
        assert (run.step, run.optimizer_step) == (4, 2)
    assert trace.outline() == (
        "setup train[ epoch0[ batch0[] batch1[ optimizer_step1 ] batch2[] batch3[ optimizer_step2 ] ] ] teardown"
    )


def test_a_left_batch_counts_if_the_optimizer_moved_in_it() -> None:
    with LoopRun(MLP((2, 1))) as run:
        for _epoch in run.epochs(1):
            for _batch in run.train(batches(4)):
                run.model.optimizer.step({})
                break
    assert (run.step, run.optimizer_step) == (1, 1)


def test_an_optimizer_is_not_watched_after_the_run() -> None:
    model = MLP((2, 1))
    with LoopRun(model) as run:
        pass
    model.optimizer.step({})
    assert run.optimizer_step == 0


@pytest.mark.parametrize("kind", ["decision", "pause"])
def test_a_stop_asked_at_an_optimizer_step_is_told_there(kind: str) -> None:
    trace = Trace(optimizer_steps=True)
    with LoopRun(MLP((2, 1)), [StopAt("optimizer_step", kind=kind), trace]) as run:  # type: ignore[arg-type]
        for _epoch in run.epochs(1):
            for _batch in run.train(batches(4)):
                run.model.optimizer.step({})
    ends = {"decision": " ] ] teardown", "pause": " teardown"}[kind]
    assert trace.outline() == f"setup train[ epoch0[ batch0[ optimizer_step1 stop ]{ends}"


def test_phase_and_batch_say_where_it_is() -> None:
    seen = []

    def look(run: Run) -> None:
        seen.append((run.phase, run.batch))

    events = (
        "epoch_begin",
        "train_batch_end",
        "test_begin",
        "test_batch_end",
        "test_end",
        "epoch_end",
        "predict_begin",
    )
    with LoopRun(callbacks=[Do(event, look, None) for event in events]) as run:
        for _epoch in run.epochs(1):
            for batch in run.train(batches(2)):
                if batch:
                    list(run.test(batches(3)))
                    look(run.run)
        list(run.predict(batches(1)))
    assert seen == [
        (None, 0),
        ("train", 0),
        ("test", 0),
        *[("test", 0), ("test", 1), ("test", 2)],
        ("test", 2),
        ("train", 1),
        ("train", 1),
        (None, 1),
        ("predict", 0),
    ]


# Who listens


def test_callbacks_and_functions_come_and_go_during_a_run() -> None:
    late, seen = Trace(), []
    with LoopRun() as run:
        for epoch in run.epochs(4):
            if epoch == 1:
                run.add(late)
                handle = run.on("epoch_end")(lambda epoch: seen.append(epoch))
            if epoch == 2:
                handle.remove()
                with run.on("epoch_end")(lambda epoch: seen.append(-epoch)):
                    list(run.train(batches(1)))
    assert late.outline() == "] epoch2[ batch0[] ] epoch3[] ] teardown"  # it came in the middle of epoch 1
    assert (seen, late.run) == ([1], None)


@pytest.mark.parametrize("event", [*sorted(set(EVENTS) - {"checkpoint"}), "batch_end"])
def test_only_the_trainer_fires_its_events(event: str) -> None:
    with LoopRun() as run, pytest.raises(LoopError) as refused:
        run.emit(event)
    assert str(refused.value) == f"run.emit({event!r}): only the trainer fires it. Declare an event of your own."


def test_a_declared_event_reaches_its_hooks() -> None:
    seen = []
    with LoopRun() as run:
        run.bus.declare(Event("sample", ("text",), "A sample was drawn."))
        run.on("sample")(lambda run, text: seen.append((run.step, text)))
        run.emit("sample", text="hello")
    assert seen == [(0, "hello")]


def test_no_phase_is_running_at_teardown_even_after_an_exception() -> None:
    seen: list[object] = []
    look = [Do(event, lambda run: seen.append(run.phase)) for event in ("exception", "teardown")]
    with pytest.raises(RuntimeError, match="asked for"):
        fit(Constant(), batches(1), callbacks=[RaiseAt("train_batch_end"), *look])
    assert seen == ["train", None]


def test_a_callback_added_to_the_bus_of_a_run_is_attached_to_the_run() -> None:
    one = Callback()
    with LoopRun() as run:
        run.bus.add(one)
        attached = one.run
    assert (attached, one.run) == (run.run, None)


def test_a_callback_added_to_the_bus_of_a_run_is_asked_for_its_needs() -> None:
    one = Callback()
    one.requires = {"lr"}
    with pytest.raises(CapabilityError):
        LoopRun().bus.add(one)


@pytest.mark.parametrize("value", ["0.5", True, float("nan")])
def test_a_learning_rate_that_is_no_number_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="a learning rate is a finite number"):
        LoopRun(Dial()).lr = value


def test_a_step_in_a_validation_inside_a_batch_is_one_in_that_batch() -> None:
    model = MLP((2, 1), loss="mse")
    data = (np.zeros((1, 2), "float32"), np.zeros((1, 1), "float32"))
    with LoopRun(model) as run:
        for _ in run.epochs(1):
            for _ in run.train(batches(2)):
                for _ in run.test(batches(1)):
                    model.train_step(data)
                break
    assert (run.step, run.optimizer_step) == (1, 1)


def test_a_run_names_the_validation_that_is_running() -> None:
    seen: list[tuple[str, str | None]] = []
    places = ["epoch_begin", "train_batch_end", "test_begin", "test_batch_end", "test_end", "epoch_end", "teardown"]

    def look(place: str) -> Do:
        return Do(place, lambda run: seen.append((place, run.validation)), nth=None)

    with LoopRun(callbacks=[look(place) for place in places]) as run:
        for _ in run.epochs(1):
            for _ in run.train([0]):
                for _ in run.test([0], name="new"):
                    pass
            for _ in run.test([]):
                pass
    within = [("test_begin", "new"), ("test_batch_end", "new"), ("test_end", "new")]
    after = [("test_begin", "val"), ("test_end", "val")]
    ends = [("epoch_end", None), ("teardown", None)]
    assert seen == [("epoch_begin", None), *within, ("train_batch_end", None), *after, *ends]
