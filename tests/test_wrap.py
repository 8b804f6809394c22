"""``wrap()`` and the plugins it asks."""

from __future__ import annotations

import subprocess
import sys

import pytest
from own_plugins import SERVED, quoted

import trainhooks
from trainhooks import errors
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
