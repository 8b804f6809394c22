"""``trainhooks doctor``: what is there, what is served, what is refused, and what is wrong."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_plugins import distribution, metadata, trainhooks
from own_plugins import OWN, SERVED, quoted

from trainhooks import Callback, Trainable, callbacks
from trainhooks.commands import doctor, installed, tested
from trainhooks.commands.trainers import trainers
from trainhooks.errors import CapabilityError
from trainhooks.fit import fit
from trainhooks.testing import Constant, batches

TINY = """
import trainhooks

class Timid(trainhooks.Callback):
    '''Ask for much.'''
    requires = {"profile", "lr"}

class TinyTrainable(trainhooks.Trainable):
    framework = "tiny"

    def __init__(self, model):
        self.model = model

    def get_lrs(self):
        return [1.0]

    def set_lrs(self, lrs): ...

    def missing(self, need):
        if need == "mid_epoch":
            return "a Tiny fit begins at an epoch."
        if need == "end_epoch":
            return self.model.reason
        return super().missing(need)

@trainhooks.hookimpl
def trainhooks_callbacks():
    return {"Timid": Timid, "made": lambda: Timid()}

@trainhooks.hookimpl
def trainhooks_adapter(target):
    return None

@trainhooks.hookimpl
def trainhooks_frameworks():
    return {"tiny": "tinyplugin[tiny]"}
"""


def install_tiny(folder: Path, there: str) -> None:
    extra = ("tiny>=1.5 ; extra == 'tiny'", "tiny-speedups ; extra == 'tiny'")
    distribution(folder, "tinyplugin", "2.0", TINY, (*extra, "unheard-of>=1", "unheard-of>=2 ; python_version >= '3'"))
    metadata(folder, "tiny", there)


def told(folder: Path, **more: str) -> tuple[int, dict[str, Any]]:
    """The exit code, and what it says to a program. Keras has its home in the folder."""
    done = trainhooks(folder, "doctor", "--json", KERAS_HOME=str(folder), **more)
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


def test_all_is_well_where_nothing_is_wrong(tmp_path: Path) -> None:
    install_tiny(tmp_path, "1.5")
    code, found = told(tmp_path, KERAS_BACKEND="torch")
    assert (code, found["problems"]) == (0, [])
    by_name = {one["name"]: one for one in found["frameworks"]}
    assert list(by_name) == sorted([*SERVED, "tiny"])
    assert by_name["tiny"] == {
        "name": "tiny",
        "plugin": "tinyplugin",
        "distribution": "tinyplugin",
        "install": "tinyplugin[tiny]",
        "version": "1.5",
        "needs": [
            {"requirement": "tiny>=1.5", "version": "1.5", "met": True},
            {"requirement": "tiny-speedups", "version": None, "met": False},
        ],
        "tested": [],
    }
    assert by_name["torch"]["tested"] == tested.releases()["torch"]
    assert found["versions"]["numpy"] == np.__version__
    assert found["versions"]["python"] == f"{sys.version.split()[0]} ({sys.executable})"


@pytest.mark.skipif(find_spec("keras") is None, reason="keras is not installed")
def test_each_problem_is_a_line_that_says_what_to_do(tmp_path: Path) -> None:
    install_tiny(tmp_path, "1.4")
    distribution(tmp_path, "broken", "0.1", "import nothing_of_that_name")
    distribution(tmp_path, "stuck", "1", "", ("trainhooks<0.0.1",))
    (tmp_path / "keras.json").write_text('{"backend": "theano"}')
    done = trainhooks(tmp_path, "doctor", KERAS_HOME=str(tmp_path), TRAINHOOKS_PLUGINS="-slak")
    assert done.returncode == 1
    assert done.stdout.partition("\n\nTRAINHOOKS_PLUGINS")[2].replace(str(tmp_path), "HOME").split("- ")[0] == (
        "=-slak is set.\n\n5 problems:\n"
    )
    code, found = told(tmp_path, TRAINHOOKS_PLUGINS="-slak")
    assert (code, found["problems"]) == (
        1,
        [
            "TRAINHOOKS_PLUGINS='-slak': there is no plugin 'slak'. There are "
            f"{quoted(*OWN, 'broken', 'stuck', 'tinyplugin')}. Correct TRAINHOOKS_PLUGINS, or unset it.",
            "plugin 'broken' of broken 0.1 failed: ModuleNotFoundError: No module named 'nothing_of_that_name'. Update "
            "or uninstall broken, or leave the plugin out with TRAINHOOKS_PLUGINS=-broken.",
            f"plugin 'stuck' of stuck 1 failed: it needs trainhooks<0.0.1, and this is trainhooks "
            f"{version('trainhooks')}. Update or uninstall stuck, or leave the plugin out with "
            "TRAINHOOKS_PLUGINS=-stuck.",
            "the plugin 'tinyplugin' of tinyplugin needs tiny>=1.5, and there is 1.4: pip install 'tiny>=1.5'",
            f"Keras would use the backend 'theano' ({tmp_path}/keras.json), and there is no such backend. "
            "Set KERAS_BACKEND to one of tensorflow, jax, torch",
        ],
    )


def test_a_variable_that_cannot_be_read_is_a_problem_and_the_rest_is_still_looked_at(tmp_path: Path) -> None:
    code, found = told(tmp_path, TRAINHOOKS_PLUGINS="none,-x")
    assert (code, found["problems"], found["frameworks"]) == (
        1,
        [
            "TRAINHOOKS_PLUGINS='none,-x': it is 'none', or names as 'name,name', or as '-name' those to leave out. "
            "Correct TRAINHOOKS_PLUGINS, or unset it."
        ],
        [],
    )
    assert [one["framework"] for one in found["trainers"]] == ["numpy"]


def test_no_framework_is_imported(tmp_path: Path) -> None:
    for name in ("torch", "keras", "tensorflow", "jax"):  # found before the real ones
        (tmp_path / f"{name}.py").write_text("raise SystemExit(f'{__name__} was imported')")
    assert told(tmp_path, KERAS_BACKEND="torch")[0] == 0


def test_a_framework_that_is_absent_is_no_problem_and_told_how_to_install(tmp_path: Path) -> None:
    needs = ("tiny>=1.5 ; extra == 'tiny'", "numpy>=99 ; extra == 'tiny'")
    distribution(tmp_path, "tinyplugin", "2.0", TINY, needs)
    done = trainhooks(tmp_path, "doctor", KERAS_HOME=str(tmp_path), KERAS_BACKEND="torch")
    assert (done.returncode, done.stdout.endswith("\nNo problems.\n")) == (0, True)
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("  tiny ") and "served" in line)
    assert line.split("  ")[-1].strip().startswith("served by the plugin 'tinyplugin' of tinyplugin; not installed:")


def test_what_trainhooks_itself_needs_is_looked_at_too(tmp_path: Path) -> None:
    metadata(tmp_path, "trainhooks", "9", ("numpy>=99", "keras>=99 ; extra == 'keras'", "no-such-thing"))
    done = trainhooks(tmp_path, "doctor", KERAS_HOME=str(tmp_path), KERAS_BACKEND="torch")
    assert (done.returncode, done.stdout.partition("\n\n2 problems:\n")[2].splitlines()) == (
        1,
        [
            f"- trainhooks needs numpy>=99, and there is {np.__version__}: pip install 'numpy>=99'",
            "- trainhooks needs no-such-thing, and it is not installed: pip install 'no-such-thing'",
        ],
    )


def test_what_a_plugins_trainer_lacks_is_derived_from_its_verbs(tmp_path: Path) -> None:
    install_tiny(tmp_path, "1.5")
    (tiny,) = (one for one in told(tmp_path, KERAS_BACKEND="torch")[1]["trainers"] if one["framework"] == "tiny")
    assert tiny["lacks"]["mid_epoch"] == "a Tiny fit begins at an epoch."
    assert tiny["lacks"]["gradients"] == "the tiny adapter does not offer it."
    assert {"lr", "read_lr", "end_epoch", "batch_logs"} & set(tiny["lacks"]) == set()  # end_epoch: its model knows
    assert tiny["refused"]["Timid"] == ["profile"]
    assert tiny["refused"]["NaNGuard"] == ["state"]
    assert "ReduceLROnPlateau" not in tiny["refused"]
    assert "made" not in tiny["refused"]


def test_a_framework_is_a_line_and_the_reasons_are_told_of_one_that_is_asked_for(tmp_path: Path) -> None:
    install_tiny(tmp_path, "1.5")
    lines = trainhooks(tmp_path, "doctor", KERAS_BACKEND="torch").stdout.splitlines()
    served, lacks, refused = (line for line in lines if line.startswith("  tiny "))
    assert served.split("1.5")[1].strip() == "served by the plugin 'tinyplugin' of tinyplugin; without tiny-speedups"
    assert lacks.split()[1:4] == ["weights,", "snapshot,", "state,"]
    assert "Timid" in refused
    asked = trainhooks(tmp_path, "doctor", "tiny", KERAS_BACKEND="torch").stdout
    assert re.sub(r"\s+", " ", asked).startswith(
        "tiny 1.5 served by the plugin 'tinyplugin' of tinyplugin; without tiny-speedups What its trainer lacks; a "
        "callback that needs it is refused when it is attached weights the tiny adapter does not offer it."
    )
    assert re.search(r"^  mid_epoch +a Tiny fit begins at an epoch\.$", asked, re.MULTILINE)
    assert re.search(r"^  Timid +needs profile$", asked, re.MULTILINE)
    assert asked.endswith("\nNo problems.\n")


def test_what_is_not_installed_is_in_the_document_and_not_among_the_lines(tmp_path: Path) -> None:
    distribution(tmp_path, "tinyplugin", "2.0", TINY)
    said = trainhooks(tmp_path, "doctor", KERAS_BACKEND="torch").stdout
    assert len([line for line in said.splitlines() if line.startswith("  tiny ")]) == 1  # that it can be installed
    document = json.loads(trainhooks(tmp_path, "doctor", "tiny", "--json", KERAS_BACKEND="torch").stdout)
    assert [one["name"] for one in document["frameworks"]] == ["tiny"]
    assert [(one["framework"], one["refused"]["Timid"]) for one in document["trainers"]] == [("tiny", ["profile"])]


def test_a_framework_that_nobody_serves_is_a_mistake(tmp_path: Path) -> None:
    done = trainhooks(tmp_path, "doctor", "kears", KERAS_BACKEND="torch")
    assert (done.returncode, done.stdout) == (2, "")
    names = quoted("numpy", *SERVED)
    assert done.stderr == (
        f"trainhooks doctor: there is no framework 'kears'. Did you mean 'keras'? There are {names}.\n"
    )


class Lame(Trainable):
    """A trainer that can read weights alone."""

    framework = "lame"

    def get_weights(self) -> dict[str, Any]:
        return {}


class Lamer(Lame):
    """Another, made of the first."""

    framework = "lamer"


class Wants(Callback):
    """One that needs what ``Lame`` lacks."""

    requires = "snapshot"


def test_what_doctor_says_is_refused_is_what_a_run_refuses() -> None:
    offered: dict[str, Any] = {name: getattr(callbacks, name) for name in ("EMA", "GradientClipping", "NaNGuard")}
    offered["Wants"] = Wants
    by_name = {one.framework: one for one in trainers(["lame", "lamer"], offered)}
    told = by_name["lame"]
    assert (
        told.refused
        == by_name["lamer"].refused
        == {
            "EMA": ["average"],
            "GradientClipping": ["gradients"],
            "NaNGuard": ["state"],
            "Wants": ["snapshot"],
        }
    )
    made = [callbacks.EMA(), callbacks.GradientClipping(norm=1.0), callbacks.NaNGuard(), Wants()]
    model = type("LameModel", (Lame, Constant), {})()
    for callback, (name, (need,)) in zip(made, told.refused.items(), strict=True):
        with pytest.raises(CapabilityError) as caught:
            fit(model, batches(1), callbacks=[callback])
        assert str(caught.value) == f"{name} needs {need!r}, which this trainer lacks: {told.lacks[need]}"


def test_each_adapter_of_ours_shows_its_trainer_and_refuses_just_this() -> None:
    offered = {name: getattr(callbacks, name) for name in callbacks.__all__}
    doctor.look()  # loads the adapters
    told = {one.framework: one.refused for one in trainers(SERVED, offered)}
    assert list(told) == ["numpy", *SERVED]
    assert {name: told[name] for name in ("numpy", "keras", "torch")} == {
        "numpy": {},
        "keras": {"GradientClipping": ["gradients"]},
        "torch": {},
    }


@pytest.mark.parametrize(
    "environment, config, chosen, by",
    [
        ({}, None, "tensorflow", "Keras's default"),
        ({}, '{"backend": "jax"}', "jax", "HOME/keras.json"),
        ({}, "{", "tensorflow", "Keras's default"),
        ({}, '{"backend": 3}', "tensorflow", "Keras's default"),
        ({"KERAS_BACKEND": "torch"}, '{"backend": "jax"}', "torch", "KERAS_BACKEND"),
        ({"KERAS_BACKEND": ""}, '{"backend": "jax"}', "jax", "HOME/keras.json"),
    ],
)
def test_the_backend_is_chosen_as_keras_chooses_it(
    environment: dict[str, str], config: str | None, chosen: str, by: str, tmp_path: Path
) -> None:
    if config is not None:
        (tmp_path / "keras.json").write_text(config)
    found = installed.keras({"KERAS_HOME": str(tmp_path), **environment})
    assert (found.chosen, found.chosen_by.replace(str(tmp_path), "HOME")) == (chosen, by)


@pytest.mark.parametrize(
    "backends, chosen, said",
    [
        ({"jax": "1", "torch": None}, "jax", None),
        (
            {"jax": None, "torch": "2"},
            "jax",
            "Keras would use the backend 'jax' (KERAS_BACKEND), which is not installed: "
            "pip install 'trainhooks[jax]', or set KERAS_BACKEND=torch",
        ),
        (
            {"jax": None, "torch": None},
            "jax",
            "Keras would use the backend 'jax' (KERAS_BACKEND), which is not installed: pip install 'trainhooks[jax]'",
        ),
        (
            {"jax": None, "torch": "2"},
            "Torch",
            "Keras would use the backend 'Torch' (KERAS_BACKEND), and there is no such backend. Did you mean 'torch'? "
            "Set KERAS_BACKEND to one of torch",
        ),
        (
            {"jax": None, "torch": None},
            "nonsense",
            "Keras would use the backend 'nonsense' (KERAS_BACKEND), and there is no such backend. "
            "Set KERAS_BACKEND to one of jax, torch",
        ),
        (
            {"jax": "1", "torch": "2"},
            "numpy",
            "Keras would use the backend 'numpy' (KERAS_BACKEND), with which it does not train: "
            "set KERAS_BACKEND to one of jax, torch",
        ),
    ],
)
def test_a_backend_that_is_not_there_is_told_with_what_to_do(
    backends: dict[str, str | None], chosen: str, said: str | None
) -> None:
    assert doctor.problem_of_backend(installed.Keras(backends, chosen, "KERAS_BACKEND")) == said


@pytest.mark.parametrize(
    "framework, called",
    [
        ("lightning", "lightning"),
        ("lightning", "pytorch-lightning"),
        ("fabric", "lightning"),
        ("fabric", "lightning-fabric"),
        ("ignite", "pytorch-ignite"),
    ],
)
def test_a_framework_is_found_whatever_its_distribution_is_called(framework: str, called: str, tmp_path: Path) -> None:
    metadata(tmp_path, called, "9.8")
    assert version_seen(framework, tmp_path) == "9.8"


def test_another_distribution_of_that_name_is_not_the_framework(tmp_path: Path) -> None:
    metadata(tmp_path, "fabric", "3.2.2")
    assert version_seen("fabric", tmp_path) == "None"


def test_a_framework_that_runs_from_its_source_is_there(tmp_path: Path) -> None:
    (tmp_path / "pytorch_lightning.py").write_text("")
    assert version_seen("lightning", tmp_path) == "?"


def version_seen(framework: str, folder: Path) -> str:
    """What is seen where nothing but the folder can be imported from."""
    script = "import sys; from trainhooks.commands import installed; sys.path[:] = sys.argv[1:2]; "
    command = [sys.executable, "-c", script + "print(installed.version(sys.argv[2]))", str(folder), framework]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_a_requirement_is_looked_up_in_what_is_installed() -> None:
    numpy = version("numpy")
    assert list(installed.needs("numpy>=1")) == [installed.Need("numpy>=1", numpy, True)]
    assert list(installed.needs("numpy>=99")) == [installed.Need("numpy>=99", numpy, False)]
    assert list(installed.needs("no-such-thing>=1")) == [installed.Need("no-such-thing>=1", None, False)]
    assert list(installed.needs("no-such-thing[x]")) == []
    assert list(installed.needs("this is no requirement")) == []
