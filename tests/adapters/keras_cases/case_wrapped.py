"""A wrapped model is the model: everything but fit, evaluate and predict goes through. What wrap and bridge refuse."""

from __future__ import annotations

import copy
import subprocess
import sys
from typing import Any

import keras
import numpy as np
import pytest
from tiny import build, fit, plain, rows
from trainhooks_adapters.keras import bridge, wrap

import trainhooks
from trainhooks.errors import RegistrationError
from trainhooks.testing import Do, Trace

EPOCH = "setup train[ epoch0[] ] teardown"


def wrapped_plain() -> tuple[Any, Any, Trace]:
    model, trace = plain(), Trace(batches=False)
    return model, trainhooks.wrap(model, callbacks=[trace]), trace


def test_wrap_finds_a_keras_model_on_every_backend() -> None:
    model, wrapped, trace = wrapped_plain()
    assert type(wrapped) is type(wrap(model)) and wrapped.run is None
    history = fit(wrapped)
    assert isinstance(history, keras.callbacks.History)
    assert wrapped.run.framework == "keras" and wrapped.run.model is model
    assert trace.outline() == EPOCH


def test_attributes_are_the_models_own_to_read_to_set_and_to_delete() -> None:
    model, wrapped, _ = wrapped_plain()
    assert wrapped.layers == model.layers and wrapped.optimizer is model.optimizer
    wrapped.note = "mine"
    assert model.note == "mine" and "note" in dir(wrapped) and "run" in dir(wrapped)
    del wrapped.note
    assert not hasattr(model, "note") and not hasattr(wrapped, "note")
    wrapped.stop_training = True
    assert model.stop_training is True
    assert repr(wrapped) == f"<trainhooks around {model!r}>"


def test_calling_saving_and_summing_up_are_the_models_own(tmp_path: Any) -> None:
    model, wrapped, _ = wrapped_plain()
    x, _ = rows(1)
    assert np.array_equal(keras.ops.convert_to_numpy(wrapped(x)), keras.ops.convert_to_numpy(model(x)))
    wrapped.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert [one.tolist() for one in again.get_weights()] == [one.tolist() for one in model.get_weights()]
    lines: list[str] = []
    wrapped.summary(print_fn=lambda text, **options: lines.append(text))
    assert "dense" in "".join(lines)
    assert wrapped.evaluate(x, np.zeros((2, 1)), verbose=0) == 0.0


def test_a_copy_of_what_is_wrapped_ends() -> None:
    wrapped = wrapped_plain()[1]
    again = copy.copy(wrapped)
    assert again.optimizer is wrapped.optimizer and again.run is wrapped.run is None


def test_positional_arguments_reach_fit_in_their_places() -> None:
    _, wrapped, trace = wrapped_plain()
    seen: list[int] = []
    native = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(epoch))
    x, y = rows()
    history = wrapped.fit(x, y, 2, 2, 0, [native])
    assert (trace.outline(), seen, history.params["steps"]) == (
        "setup train[ epoch0[] epoch1[] ] teardown",
        [0, 1],
        3,
    )


FORMS = {"alone": lambda one: one, "list": lambda one: [one], "tuple": lambda one: (one,)}


@pytest.mark.parametrize("shape", FORMS.values(), ids=FORMS)
def test_native_callbacks_are_taken_in_any_form_and_their_list_is_left_as_it_was(shape: Any) -> None:
    _, wrapped, trace = wrapped_plain()
    seen: list[Any] = []
    given = shape(keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(epoch)))
    fit(wrapped, callbacks=given)
    wrapped.evaluate(*rows(1), verbose=0, callbacks=given)
    assert (trace.outline(), seen) == (f"{EPOCH} setup test[] teardown", [0])
    assert not isinstance(given, list) or len(given) == 1


def test_a_native_list_is_taken_apart_and_serves_again() -> None:
    model, trace, seen = plain(), Trace(), []
    wrapped = trainhooks.wrap(model, callbacks=[trace])
    native = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(epoch))
    given = keras.callbacks.CallbackList([native], add_history=True, model=model, epochs=1)
    for _ in range(2):
        fit(wrapped, batches=2, callbacks=given)
    trace.check_grammar()
    assert trace.outline() == " ".join(["setup train[ epoch0[ batch0[] batch1[] ] ] teardown"] * 2)
    assert seen == [0, 0] and len(given.callbacks) == 2


class Own(keras.Sequential):
    """A model with entry points of its own that pass on what they do not know."""

    def fit(self, x: Any, *args: Any, note: str = "", **options: Any) -> Any:
        self.note = note
        return super().fit(x, *args, **options)


def test_a_models_own_fit_gets_the_callbacks_too() -> None:
    trace = Trace(batches=False)
    model = Own([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", loss="mse")
    wrapped = trainhooks.wrap(model, callbacks=[trace])
    x, y = rows()
    wrapped.fit(x, y, 2, verbose=0, note="mine")
    assert (trace.outline(), model.note, wrapped.run.step) == (EPOCH, "mine", 3)


class Calm(keras.Sequential):
    """A model whose fit keeps a KeyboardInterrupt to itself."""

    def fit(self, *args: Any, **options: Any) -> Any:
        try:
            return super().fit(*args, **options)
        except KeyboardInterrupt:
            return None


def test_a_run_that_a_models_own_fit_left_early_is_over_and_the_next_is_told() -> None:
    def interrupt(epoch: int, logs: Any) -> None:
        raise KeyboardInterrupt

    trace = Trace(batches=False)
    model = Calm([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", loss="mse")
    wrapped = trainhooks.wrap(model, callbacks=[trace])
    fit(wrapped, callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=interrupt)])
    fit(wrapped)
    trace.check_grammar()
    assert trace.outline() == f"setup train[ epoch0[ exception(LoopError) teardown {EPOCH}"


def test_the_params_of_each_fit_are_the_runs() -> None:
    seen: list[Any] = []
    look = Do("train_begin", lambda run: seen.append((run.max_epochs, run.steps_per_epoch)), nth=None)
    wrapped = trainhooks.wrap(plain(), callbacks=[look])
    fit(wrapped, epochs=2)
    fit(wrapped, batches=1, epochs=4, initial_epoch=3)
    assert seen == [(2, 3), (4, 1)]


# What is refused


def test_the_optimizer_is_given_to_compile() -> None:
    with pytest.raises(TypeError) as error:
        trainhooks.wrap(plain(), optimizer=keras.optimizers.SGD())
    assert str(error.value) == (
        "wrap(a Keras model, optimizer=...): its optimizer is given to model.compile(optimizer=...)"
    )


def test_an_unknown_argument_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(TypeError) as error:
        trainhooks.wrap(plain(), min_epoch=2)
    assert str(error.value) == (
        "wrap(a Keras model): there is no argument 'min_epoch'. Did you mean 'min_epochs'? "
        "There are 'callbacks', 'optimizer', 'min_epochs', 'resume', 'resume_stopped', 'plugins'."
    )


def test_a_native_callback_among_ours_is_refused_and_a_mistake_in_ours_at_once() -> None:
    native = keras.callbacks.EarlyStopping()
    for make in (bridge, lambda callbacks: trainhooks.wrap(plain(), callbacks=callbacks)):
        with pytest.raises(RegistrationError) as error:
            make([native])
        assert str(error.value) == (
            f"{native!r} is not a trainhooks.Callback. It is a Keras callback: give it to fit(callbacks=[...]) beside "
            "ours. For a plain function there is on(event)."
        )

    class Misspelt(trainhooks.Callback):
        def on_epoch_ended(self) -> None: ...

    class Needy(trainhooks.Callback):
        requires = {"lrs"}

    begin = {Misspelt: "Misspelt.on_epoch_ended: there is no such", Needy: "Needy.requires: there is no"}
    for mistake, text in begin.items():
        for make in (bridge, lambda callbacks: trainhooks.wrap(build(), callbacks=callbacks)):
            with pytest.raises(RegistrationError, match=text):
                make([mistake()])


def test_the_adapter_loads_no_keras_and_names_the_extra_where_there_is_none() -> None:
    code = """
import sys, trainhooks
from trainhooks_adapters.keras import bridge, plugin
assert plugin.trainhooks_adapter(object()) is None
assert "keras" not in sys.modules
sys.modules["keras"] = None  # as where it is not installed
assert plugin.trainhooks_adapter(object()) is None
bridge([])
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.stderr.splitlines()[-1] == (
        "trainhooks.errors.FrameworkNotInstalledError: keras is not installed: pip install 'trainhooks[keras]'"
    )
