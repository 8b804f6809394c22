"""``wrap()`` and the plugins it asks."""

from __future__ import annotations

import copy
import re
import subprocess
import sys

import pytest
from own_plugins import SERVED, quoted

import trainhooks
from trainhooks import WrapOptions, errors
from trainhooks.testing import Trace
from trainhooks.testing.play import Dial


def test_a_trainable_comes_back_as_a_loop_run() -> None:
    trace = Trace()
    with trainhooks.wrap(Dial(), callbacks=[trace]) as run:
        for _ in run.epochs(1):
            for _ in run.train([0]):
                run.log(loss=1.0)
    assert trace.outline() == "setup train[ epoch0[ batch0[] ] ] teardown"


def test_an_object_of_nobody_is_an_error_that_lists_the_adapters_and_the_way_out() -> None:
    with pytest.raises(errors.NoAdapterError) as caught:
        trainhooks.wrap({"a": 1})
    assert str(caught.value) == (
        "wrap(): no adapter takes an object of type builtins.dict. "
        f"There are adapters for {quoted(*SERVED)}. "
        "If you own the loop, trainhooks.LoopRun(callbacks=[...]) needs no model."
    )


def test_an_unknown_argument_is_an_error_with_the_nearest() -> None:
    with pytest.raises(TypeError) as caught:
        trainhooks.wrap(Dial(), min_epoch=3)
    assert str(caught.value) == (
        "wrap(Dial): there is no argument 'min_epoch'. Did you mean 'min_epochs'? "
        "There are 'callbacks', 'optimizer', 'min_epochs', 'resume', 'resume_stopped', 'plugins'."
    )


def test_asking_the_adapters_loads_no_framework() -> None:
    script = """
import sys, trainhooks
try:
    trainhooks.wrap(object())
except TypeError:
    print(sorted({"torch", "keras", "tensorflow", "jax"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout == "[]\n", done.stderr


class Trainer:
    """One that owns its loop."""

    epochs = 3

    def fit(self, epochs: int) -> str:
        return f"{epochs} epochs"


class Carried(trainhooks.Wrapped):
    __slots__ = ()

    def fit(self, epochs: int) -> str:
        return f"carried: {self._target.fit(epochs)}"


class Carrier:
    run = None


def test_a_wrapped_trainer_is_the_trainer_but_for_its_entry_points() -> None:
    trainer = Trainer()
    wrapped = Carried(trainer, Carrier())
    assert (wrapped.fit(2), wrapped.epochs, wrapped.run) == ("carried: 2 epochs", 3, None)
    wrapped.epochs = 5
    assert trainer.epochs == 5
    del wrapped.epochs
    assert wrapped.epochs == trainer.epochs == 3
    assert {"fit", "epochs", "run"} <= set(dir(wrapped))
    assert repr(wrapped) == f"<trainhooks around {trainer!r}>"
    assert copy.copy(wrapped)._target is trainer
    with pytest.raises(AttributeError, match="nothing"):
        wrapped.nothing  # noqa: B018


def test_a_trainer_is_wrapped_once() -> None:
    with pytest.raises(TypeError, match=r"it carries callbacks already\. Wrap the trainer once, with all of them"):
        trainhooks.wrap(Carried(Trainer(), Carrier()))


def test_options_are_given_on_by_name_and_what_has_no_place_is_refused() -> None:
    stop = trainhooks.callbacks.EarlyStopping()
    options = WrapOptions([stop], "Adam", 2, extra={"names": {}})
    given = {"callbacks": (stop,), "min_epochs": 2, "resume": None, "resume_stopped": False, "plugins": None}
    assert options.settings("a Trainer", ["names"]) == {**given, "names": {}, "optimizer": "Adam"}
    with pytest.raises(TypeError, match=re.escape("wrap(a Trainer, optimizer=...): it has one")):
        options.settings("a Trainer", ["names"], optimizer="it has one")
    with pytest.raises(TypeError, match=re.escape("wrap(a Trainer): there is no argument 'names'.")):
        options.settings("a Trainer")
    assert WrapOptions([stop]).settings("a Trainer", optimizer="it has one") == {**given, "min_epochs": 0}


def test_what_is_no_callback_is_refused_before_there_is_a_trainer() -> None:
    assert WrapOptions([Trace()]).check().callbacks
    with pytest.raises(errors.RegistrationError, match="Trainer"):
        WrapOptions([Trainer()]).check()  # type: ignore[list-item]


def test_an_absent_framework_is_told_of_with_what_installs_it_and_what_it_lacks_itself_by_its_own_error() -> None:
    told = pytest.raises(errors.FrameworkNotInstalledError, match=re.escape("pip install 'trainhooks[loopy]'"))
    with told, errors.importing("loopy_trainer", "loopy"):
        import loopy_trainer
    with pytest.raises(ModuleNotFoundError) as caught, errors.importing("json", "json"):
        import loopy_trainer  # noqa: F401
    assert not isinstance(caught.value, errors.FrameworkNotInstalledError)
