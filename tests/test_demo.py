"""``trainhooks demo``: as a user runs it, in a process of its own."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from cli_plugins import distribution

from trainhooks import demo, store


def trainhooks(*arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "trainhooks", *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
        check=False,
    )


def test_the_demo_stops_by_itself_and_says_where_why_how_good_and_where_the_files_are(tmp_path: Path) -> None:
    done = trainhooks("demo", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    said = re.fullmatch(
        r"numpy: stopped after epoch (\d+)\. EarlyStopping: val_loss has not improved on (\S+) of epoch (\d+) for 6 "
        r"checks\.\nBest epoch: (\d+), with a validation accuracy of (0\.\d{4})\. The learning rate ended at \S+\.\n"
        r"Files:\n  (\S+best\.safetensors)\n  (\S+log\.csv)\n"
        r"(?:  (\S+history\.png)\n)?",
        done.stdout,
    )
    assert said is not None, done.stdout
    epochs, _, best, best_again, accuracy, weights, log, picture = said.groups()
    assert (picture is None) == (find_spec("matplotlib") is None)
    if picture is not None:
        assert (tmp_path / picture).read_bytes().startswith(b"\x89PNG")
    assert int(epochs) < demo.MAX_EPOCHS
    assert (int(epochs) - int(best), best) == (6, best_again)
    assert float(accuracy) > 0.95
    assert sorted(store.load_arrays(tmp_path / weights)) == [
        "layer0/bias",
        "layer0/kernel",
        "layer1/bias",
        "layer1/kernel",
    ]
    with open(tmp_path / log, newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == int(epochs)
    assert f"{float(rows[int(best) - 1]['val_accuracy']):.4f}" == accuracy
    assert f"Epoch {epochs}/{demo.MAX_EPOCHS} - loss: " in done.stderr


def test_the_same_seed_gives_the_same_training(tmp_path: Path) -> None:
    first, second = (trainhooks("demo", "--json", "--out", name, folder=tmp_path) for name in ("a", "b"))
    assert {**json.loads(first.stdout), "files": []} == {**json.loads(second.stdout), "files": []}
    assert first.stderr == ""


def test_all_shows_every_installed_framework_side_by_side(tmp_path: Path) -> None:
    for needed in ("torch", "keras", "tensorflow", "jax"):
        if find_spec(needed) is None:
            pytest.skip(f"{needed} is not installed")
    done = trainhooks("demo", "--framework", "all", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    head, _, *rows = [re.split(r"  +", line) for line in done.stdout.splitlines()]
    assert head == ["framework", "outcome", "epochs", "best epoch", "val_accuracy", "val_loss", "last lr"]
    assert [row[0] for row in rows] == ["numpy", "torch", "keras-tensorflow", "keras-jax", "keras-torch"]
    assert {row[1] for row in rows} == {"stopped by EarlyStopping"}
    assert min(float(row[4]) for row in rows) > 0.95


def test_all_is_one_json_document_whatever_a_framework_prints(tmp_path: Path) -> None:
    distribution(
        tmp_path,
        "quick",
        "1.0",
        """
        import trainhooks

        print("Hello!")

        def train(training, validation, callbacks, epochs, seed):
            print("Welcome!")
            model = trainhooks.MLP((64, 4, 10), seed=seed)
            return trainhooks.fit(model, training, validation, 1, 512, seed=seed, callbacks=callbacks)

        @trainhooks.hookimpl
        def trainhooks_demos():
            return {"quick": train, "again": train}
        """,
    )
    done = trainhooks(
        *("demo", "--framework", "all", "--json", "--seed", "3"),
        folder=tmp_path,
        PYTHONPATH=str(tmp_path),
        TRAINHOOKS_PLUGINS="-demos",
    )
    assert (done.returncode, done.stderr) == (0, "Hello!\ntraining with quick ...\ntraining with again ...\n")
    told = json.loads(done.stdout)
    assert [(one["framework"], one["outcome"], one["epochs"]) for one in told] == [
        ("quick", "completed", 1),
        ("again", "completed", 1),
    ]
    alone = trainhooks(
        *("demo", "--framework", "quick", "--json", "--seed", "3"), folder=tmp_path, PYTHONPATH=str(tmp_path)
    )
    assert json.loads(alone.stdout) == told[0]
    assert alone.stderr == "Hello!\nWelcome!\n"


def test_a_report_that_cannot_be_read_is_a_failure_that_says_what_stands_in_it(tmp_path: Path) -> None:
    distribution(
        tmp_path,
        "loud",
        "1.0",
        """
        import os, trainhooks

        def train(training, validation, callbacks, epochs, seed):
            os.write(1, b"Welcome!")
            os._exit(0)

        @trainhooks.hookimpl
        def trainhooks_demos():
            return {"loud": train}
        """,
    )
    done = trainhooks(
        *("demo", "--framework", "all"), folder=tmp_path, PYTHONPATH=str(tmp_path), TRAINHOOKS_PLUGINS="-demos"
    )
    assert (done.returncode, done.stdout, done.stderr) == (
        1,
        "",
        "training with loud ...\ntrainhooks demo: loud: its report cannot be read, for this stands in it:\nWelcome!\n",
    )


def test_an_adapter_that_is_left_out_is_told_of_in_a_sentence(tmp_path: Path) -> None:
    source = """
        import trainhooks

        def train(training, validation, callbacks, epochs, seed):
            raise trainhooks.errors.NoAdapterError("nobody takes it.")

        @trainhooks.hookimpl
        def trainhooks_demos():
            return {"lone": train}
        """
    distribution(tmp_path, "lone", "1.0", source)
    done = trainhooks(
        *("demo", "--framework", "lone", "--json"),
        folder=tmp_path,
        PYTHONPATH=str(tmp_path),
        TRAINHOOKS_PLUGINS="-torch,-demos",
    )
    assert (done.returncode, done.stdout, done.stderr) == (
        1,
        "",
        "trainhooks demo: nobody takes it. Left out by TRAINHOOKS_PLUGINS: 'demos', 'torch'.\n",
    )


def test_keras_means_the_backend_that_the_environment_names(monkeypatch: pytest.MonkeyPatch) -> None:
    for needed in ("keras", "jax"):
        if find_spec(needed) is None:
            pytest.skip(f"{needed} is not installed")
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert demo.resolve("keras") == "keras-jax"


def test_an_unknown_framework_is_an_error_that_lists_what_there_is(tmp_path: Path) -> None:
    done = trainhooks("demo", "--framework", "nunpy", folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("trainhooks demo: --framework nunpy: there are 'numpy'")
    assert done.stderr.endswith("Did you mean 'numpy'?\n")
    assert not list(tmp_path.iterdir())


def test_a_framework_that_is_not_installed_names_the_extra() -> None:
    script = """
import sys
sys.modules["torch"] = None  # what makes an import fail, in Python's own words
from trainhooks_adapters.torch import wrap
try:
    wrap(object())
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout == "torch is not installed: pip install 'trainhooks[torch]'\n", done.stderr


def test_the_version_and_the_help_are_told(tmp_path: Path) -> None:
    assert re.fullmatch(r"trainhooks \d+\.\d+\.\d+\n", trainhooks("--version", folder=tmp_path).stdout)
    assert trainhooks(folder=tmp_path).returncode == 2
