"""``wrap()`` and the plugins it asks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import trainhooks
from trainhooks import errors
from trainhooks.testing import Trace
from trainhooks.testing.play import Dial

BROKEN = """
[trainhooks]
broken = broken_plugin:plugin
"""


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
        "wrap(): no adapter takes an object of type builtins.dict. There are adapters for 'keras', 'torch'. "
        "If you own the loop, trainhooks.LoopRun(callbacks=[...]) needs no model."
    )


def test_an_unknown_argument_is_an_error_with_the_nearest() -> None:
    with pytest.raises(TypeError) as caught:
        trainhooks.wrap(Dial(), min_epoch=3)
    assert str(caught.value) == (
        "wrap(Dial): there is no argument 'min_epoch'. Did you mean 'min_epochs'? "
        "There are 'callbacks', 'optimizer', 'min_epochs', 'resume', 'resume_stopped'."
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


def test_a_plugin_that_fails_to_import_is_reported_and_skipped(tmp_path: Path) -> None:
    (tmp_path / "broken_plugin.py").write_text("import a_module_that_nobody_has\n")
    about = tmp_path / "broken_plugin-1.2.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-plugin\nVersion: 1.2\n")
    (about / "entry_points.txt").write_text(BROKEN)
    script = """
import warnings
from trainhooks import plugins
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    print(sorted(plugins.frameworks()))
print(*[one.message for one in told])
print(plugins.failures)
"""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{script}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines() == [
        "['keras', 'torch']",
        "trainhooks plugin 'broken' of broken-plugin 1.2 is skipped: "
        "ModuleNotFoundError: No module named 'a_module_that_nobody_has'",
        "[Failure(name='broken', distribution='broken-plugin', version='1.2', "
        "error=\"ModuleNotFoundError: No module named 'a_module_that_nobody_has'\")]",
    ], done.stderr
