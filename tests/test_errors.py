"""What a user reads who made a mistake: the full text, and that nothing was half done."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from trainhooks import Callback, EventBus, Logs, LoopRun, TrainhooksError, errors, every, fit, wrap
from trainhooks.testing import Constant, Do, Trace, batches

EVENT_HOOK = "(A method named on_... is a hook; give a method that is none another name.)"


def text_of(mistake: Callable[[], object], kind: type[Exception] = errors.RegistrationError) -> str:
    with pytest.raises(kind) as caught:
        mistake()
    assert type(caught.value) is kind
    return str(caught.value)


def callback(name: str, **members: Any) -> Callback:
    made: Callback = type(name, (Callback,), members)()
    return made


def attach(**members: Any) -> Callable[[], object]:
    return lambda: LoopRun(callbacks=[callback("Mine", **members)])


HOOKS: dict[str, tuple[dict[str, Any], str]] = {
    "a misspelt hook": (
        {"on_epoch_ends": lambda self: None},
        f"Mine.on_epoch_ends: there is no such event. Did you mean 'on_epoch_end'? {EVENT_HOOK}",
    ),
    "a hook like no other": (
        {"on_zzz": lambda self: None},
        f"Mine.on_zzz: there is no such event. {EVENT_HOOK}",
    ),
    "a misspelt argument": (
        {"on_epoch_end": lambda self, epochs: None},
        "Mine.on_epoch_end: 'epoch_end' has no argument 'epochs'. Did you mean 'epoch'? "
        "A hook takes any of 'epoch', 'logs', 'run', by name.",
    ),
    "another event's argument": (
        {"on_train_end": lambda self, trainer: None},
        "Mine.on_train_end: 'train_end' has no argument 'trainer'. A hook takes any of 'logs', 'run', by name.",
    ),
    "*args": (
        {"on_epoch_end": lambda self, *args: None},
        "Mine.on_epoch_end: *args would hide a misspelt argument. "
        "Name what the hook uses: any of 'epoch', 'logs', 'run'.",
    ),
    "**kwargs": (
        {"on_epoch_end": lambda self, epoch, **kwargs: None},
        "Mine.on_epoch_end: **kwargs would hide a misspelt argument. "
        "Name what the hook uses: any of 'epoch', 'logs', 'run'.",
    ),
    "a hook that is no function": (
        {"on_epoch_end": "print"},
        "Mine.on_epoch_end: a hook of 'epoch_end' must be callable.",
    ),
    "a hook without a signature": (
        {"on_epoch_end": dict},
        "Mine.on_epoch_end: its arguments cannot be read. "
        "Wrap it in a function that takes any of 'epoch', 'logs', 'run'.",
    ),
    "a misspelt need": (
        {"requires": {"weight"}},
        "Mine.requires: there is no capability 'weight'. Did you mean 'weights'? "
        "There are 'lr', 'read_lr', 'weights', 'snapshot', 'state', 'save', 'optimizer_step', 'gradients', "
        "'average', 'optimizer_average', 'graph', 'embeddings', 'profile', 'end_epoch', 'batch_logs', 'data_wait', "
        "'mid_epoch', 'batches'.",
    ),
    "a need that is no name": (
        {"requires": [7]},
        "Mine.requires: there is no capability 7. "
        "There are 'lr', 'read_lr', 'weights', 'snapshot', 'state', 'save', 'optimizer_step', 'gradients', "
        "'average', 'optimizer_average', 'graph', 'embeddings', 'profile', 'end_epoch', 'batch_logs', 'data_wait', "
        "'mid_epoch', 'batches'.",
    ),
    "a misspelt phase": (
        {"phase": "observer", "on_setup": lambda self: None},
        "Mine.on_setup.phase='observer': it is one of 'observe', 'decide', 'report', 'save'. Did you mean 'observe'?",
    ),
    "an on_error that is none": (
        {"on_error": None, "on_setup": lambda self: None},
        "Mine.on_setup.on_error=None: it is one of 'raise', 'warn', 'disable'.",
    ),
    "ranks that are none": (
        {"ranks": "mian"},
        "Mine.ranks='mian': it is one of 'main', 'all'. Did you mean 'main'?",
    ),
}


@pytest.mark.parametrize("members, text", HOOKS.values(), ids=HOOKS)
def test_a_callback_that_cannot_be_served_says_why_when_it_is_attached(members: dict[str, Any], text: str) -> None:
    assert text_of(attach(**members)) == text


def test_a_hook_that_would_only_be_begun_is_refused() -> None:
    async def on_epoch_end(self: Callback) -> None: ...

    async def streamed(self: Callback) -> Any:
        yield

    def generated(self: Callback) -> Any:
        yield

    class Awaited:
        async def __call__(self) -> None: ...

    awaited = "Mine.on_epoch_end: a hook of 'epoch_end' is called, never awaited. Make it a plain function."
    iterated = (
        "Mine.on_epoch_end: a hook of 'epoch_end' is called, never iterated, so that what holds a yield would not run. "
        "Take it out."
    )
    hooks = [on_epoch_end, streamed, Awaited(), generated]
    assert [text_of(attach(on_epoch_end=hook)) for hook in hooks] == [awaited, awaited, awaited, iterated]


def test_an_event_that_does_not_exist_is_answered_with_the_nearest_or_with_all() -> None:
    bus = EventBus()
    assert text_of(lambda: bus.on("epoch_ends"), errors.UnknownEventError) == (
        "on: there is no event 'epoch_ends'. Did you mean 'epoch_end'?"
    )
    assert text_of(lambda: bus.emit("zzz"), errors.UnknownEventError) == (
        f"emit: there is no event 'zzz'. There are {errors.listing(bus.events)}."
    )
    assert text_of(lambda: bus.listens(len), errors.UnknownEventError) == (  # type: ignore[arg-type]
        f"listens: there is no event {len!r}. There are {errors.listing(bus.events)}."
    )


def test_a_function_in_the_place_of_a_filter_is_told_the_second_pair_of_brackets() -> None:
    show = print
    assert text_of(lambda: EventBus().on("epoch_end", show)) == (  # type: ignore[arg-type]
        "on('epoch_end'): <built-in function print> is no filter. "
        "There are every(...), once(...), between(...), when(...). "
        "A function goes into a second pair of brackets: on(event)(function)."
    )
    assert text_of(lambda: EventBus().on("epoch_end", 10)) == (  # type: ignore[arg-type]
        "on('epoch_end'): 10 is no filter. There are every(...), once(...), between(...), when(...)."
    )


def test_a_class_in_the_place_of_a_callback_is_told_its_brackets() -> None:
    kind = "For a plain function there is on(event)."
    for add in (lambda one: LoopRun(callbacks=[one]), EventBus().add):
        assert text_of(lambda add=add: add(Trace)) == (
            "<class 'trainhooks.testing.trace.Trace'> is not a trainhooks.Callback. "
            f"It is a class: write Trace(). {kind}"
        )
        assert text_of(lambda add=add: add(7)) == f"7 is not a trainhooks.Callback. {kind}"


def test_a_keras_callback_is_told_its_place() -> None:
    pytest.importorskip("keras", reason="keras is not installed")
    program = """
import keras, trainhooks
theirs = keras.callbacks.TerminateOnNaN()
try:
    trainhooks.LoopRun(callbacks=[theirs])
except trainhooks.TrainhooksError as error:
    print(str(error).replace(repr(theirs), "THEIRS"))
"""
    light = {**os.environ, "KERAS_BACKEND": "numpy"}  # the quickest to import
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=light)
    assert done.stdout.splitlines()[-1] == (
        "THEIRS is not a trainhooks.Callback. It is a Keras callback: give it to fit(callbacks=[...]) beside ours. "
        "For a plain function there is on(event)."
    )


def test_one_object_cannot_be_added_twice() -> None:
    trace, bus = Trace(), EventBus()
    said = "Trace was added twice: the same object is here already. Make a second one to have two."
    assert text_of(lambda: bus.add(trace, trace)) == said
    bus.add(trace)
    assert text_of(lambda: bus.add(trace)) == said
    assert bus.callbacks == (trace,)


def test_a_callback_serves_one_run_at_a_time_and_many_in_turn() -> None:
    trace = Trace()
    said = (
        "Trace is attached to a run that is still open; a callback serves one run at a time.\n"
        "Leave the first run's `with` before the next begins, or make a second callback."
    )
    early = LoopRun(callbacks=[trace])
    with LoopRun(callbacks=[trace]):
        assert text_of(lambda: LoopRun(callbacks=[trace]), errors.LoopError) == said
        assert text_of(early.__enter__, errors.LoopError) == said
    with LoopRun(callbacks=[trace]):
        pass
    assert trace.outline() == "setup teardown setup teardown"


def test_what_a_trainer_lacks_is_refused_when_attached_and_says_what_to_change() -> None:
    said = "Mine needs 'lr', which this trainer lacks: it was given no model. Use trainhooks.wrap(model, ...)."
    assert text_of(attach(requires="lr"), errors.CapabilityError) == said
    assert text_of(attach(requires=["lr"]), errors.CapabilityError) == said
    counting = attach(on_epoch_end=every(optimizer_steps=2)(lambda self: None))
    assert text_of(counting, errors.CapabilityError) == (
        "Mine.on_epoch_end needs 'optimizer_step', which this trainer lacks: "
        "it was given no model. Use trainhooks.wrap(model, ...)."
    )


def test_a_bus_alone_has_no_run_to_give_and_no_counts() -> None:
    bus, remedy = EventBus(), "and this bus has no run. Use trainhooks.LoopRun(callbacks=[...])."

    def show(run: Any) -> None: ...

    def nothing() -> None: ...

    who = "test_a_bus_alone_has_no_run_to_give_and_no_counts.<locals>."
    assert text_of(lambda: bus.on("epoch_end")(show)) == (
        f"{who}show: as a hook of 'epoch_end' it asks for 'run', {remedy}"
    )
    assert text_of(lambda: bus.on("epoch_end", every(steps=10))(nothing)) == (
        f"{who}nothing: as a hook of 'epoch_end' it has every(steps=10), which reads a run's counts, {remedy}"
    )
    assert bus.order("epoch_end") == []


def test_a_missing_metric_is_answered_with_the_nearest() -> None:
    logs = Logs({"loss": 1.0, "val_loss": 2.0})
    assert text_of(lambda: logs["val_los"], errors.MissingMetricError) == (
        "logs: no metric 'val_los'. There are 'loss', 'val_loss'. Did you mean 'val_loss'?"
    )
    assert text_of(lambda: Logs()["loss"], errors.MissingMetricError) == "logs: no metric 'loss'. There are none."
    assert str(errors.missing_metric("EarlyStopping", "f1", ["loss"], "(strict=False warns instead.)")) == (
        "EarlyStopping: no metric 'f1'. There are 'loss'. (strict=False warns instead.)"
    )


def test_weights_that_do_not_fit_are_listed() -> None:
    assert str(errors.weights_mismatch("set_weights", ["w"], ["W", "b"], ["'c': (2,), not (3,)"])) == (
        "set_weights: the weights do not fit (not given: 'w'; unknown: 'W', 'b'; another shape: 'c': (2,), not (3,)). "
        "Nothing was written."
    )
    assert str(errors.weights_mismatch("set_weights", ["layer.weight"], ["layer.weights"], [])) == (
        "set_weights: the weights do not fit (not given: 'layer.weight'; unknown: 'layer.weights'). "
        "Nothing was written. Did you mean 'layer.weight'?"
    )


def test_what_nobody_can_wrap_is_told_the_way_without_a_model() -> None:
    said = text_of(lambda: wrap(object()), errors.NoAdapterError)
    assert said.startswith("wrap(): no adapter takes an object of type builtins.object. There are adapters for ")
    assert said.endswith(". If you own the loop, trainhooks.LoopRun(callbacks=[...]) needs no model.")
    assert str(errors.framework_not_installed("Keras", "keras")) == (
        "Keras is not installed: pip install 'trainhooks[keras]'"
    )


TREE = {
    "TrainhooksError": {"Exception"},
    "RegistrationError": {"TrainhooksError", "TypeError"},
    "CapabilityError": {"RegistrationError"},
    "UnknownEventError": {"TrainhooksError", "ValueError"},
    "MissingMetricError": {"TrainhooksError", "KeyError"},
    "MetricValueError": {"TrainhooksError", "TypeError"},
    "LoopError": {"TrainhooksError", "RuntimeError"},
    "GrammarError": {"LoopError"},
    "WeightsError": {"TrainhooksError", "ValueError"},
    "NoAdapterError": {"TrainhooksError", "TypeError"},
    "FrameworkNotInstalledError": {"TrainhooksError", "ImportError"},
}


def test_each_error_is_ours_and_the_builtin_that_a_user_would_catch() -> None:
    # a module that others may add to: what is there must be in the tree's docstring, and of our base
    found = {
        name: {base.__name__ for base in value.__bases__}
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, Exception)
    }
    assert {name: found[name] for name in TREE} == TREE
    assert all(issubclass(getattr(errors, name), TrainhooksError) for name in found)
    assert [name for name in found if name not in str(errors.__doc__)] == []


class Wrong(Callback):
    def on_epoch_begin(self) -> None: ...

    def on_epoch_end(self, log: Any) -> None: ...


def test_nothing_is_registered_when_the_second_hook_or_callback_is_wrong() -> None:
    good = Do("epoch_begin", print)
    with LoopRun() as run:
        for bad in ([Wrong()], [good, Wrong()], [good, good], [good, 7]):
            with pytest.raises(errors.RegistrationError):
                run.add(*bad)  # type: ignore[arg-type]
        orders = [run.bus.order(event) for event in run.bus.events]
        assert (run.bus.callbacks, [order for order in orders if order], good.run) == ((), [], None)
        run.add(good)  # nor is it taken for attached
        assert run.bus.order("epoch_begin") == ["Do.on_epoch_begin"]


def test_no_event_was_fired_when_attaching_fails() -> None:
    trace = Trace()
    with pytest.raises(errors.RegistrationError):
        fit(Constant(), batches(1), callbacks=[trace, Wrong()])
    assert trace.outline() == ""
