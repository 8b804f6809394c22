"""What works under which trainer: the conformance kit asks each adapter, and writes it down for a release.

    python tests/frameworks.py torch keras --write     # what is installed here, into docs/frameworks
    python tests/frameworks.py all --write
    python tests/frameworks.py --table                 # of these files the README's table, and the others

A framework, and each backend of Keras (``keras-jax``), has a process of its own. What is held against the rules is the
``check_adapter`` of ``tests/adapters/test_<name>_conformance.py``, with the rules that it leaves out. An older release
is tested by the same command in an environment that has it.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import frameworks_table as table
import pytest

from trainhooks import plugins
from trainhooks.commands import installed
from trainhooks.commands.trainers import lacks_of
from trainhooks.testing import Survey, survey
from trainhooks.testing.survey import Abilities, abilities

TESTS: Final = Path(__file__).parent
KINDS: Final = {"keras": ("tensorflow", "jax", "torch"), "jax": ("optax", "nnx")}
"""Of one framework what is tested apart: backends, or ways to hold a model."""
BESIDE: Final = ("accelerate", "flax", "jax", "numpy", "optax", "tensorflow", "torch")
"""What a result may depend on beside the framework itself; of these the versions of the loaded ones are kept."""
ALONE: Final = {
    "OMP_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "CUDA_VISIBLE_DEVICES": "",
}
ABSENT: Final = 3
"""The exit code of a process whose framework is not installed, or has no conformance test."""


class AbsentError(Exception):
    """The framework is not installed, or has no conformance test."""


def served() -> list[str]:
    """Each framework that a plugin of ours serves, and numpy; those of several kinds as ``keras-jax``."""
    answers = plugins.ask("trainhooks_frameworks")
    ours = sorted(name for plugin, names in answers if plugin.distribution == "trainhooks" for name in names)
    return [one for name in ["numpy", *ours] for one in variants(name)]


def variants(name: str) -> list[str]:
    """``keras`` as each of its kinds; one that has none as it is."""
    return [f"{name}-{kind}" for kind in KINDS.get(name, ())] or [name]


def name_of(variant: str) -> tuple[str, str | None]:
    """Its framework and kind."""
    name, _, kind = variant.partition("-")
    return name, kind or None


def module_of(variant: str, tests: Path) -> tuple[Path, str]:
    """The module that holds it against the rules, and the name of the test."""
    name, kind = name_of(variant)
    if name == "keras":
        return tests / "adapters" / "keras_cases" / "case_conformance.py", "test_keras"
    tested = "nnx" if kind == "nnx" else name
    return tests / "adapters" / f"test_{tested}_conformance.py", f"test_{tested}"


def conformance(variant: str, tests: Path = TESTS) -> Any:
    """Its test, as ``check_adapter`` gave it: ``factory`` and ``without`` are attributes.

    Raises:
        AbsentError: its framework is not installed, or there is no such test.
    """
    name, kind = name_of(variant)
    if installed.version(name) is None or (name == "keras" and installed.version(kind or "") is None):
        raise AbsentError("not installed")
    path, test = module_of(variant, tests)
    if not path.exists():
        raise AbsentError(f"there is no {path.relative_to(tests.parent)}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except pytest.skip.Exception as skipped:
        raise AbsentError(str(skipped)) from None
    return getattr(module, test)


def entry(variant: str, found: Survey | Abilities, trainable: type) -> dict[str, Any]:
    """What a file holds, but for the rules."""
    name, kind = name_of(variant)
    static = lacks_of(trainable)
    loaded = {one: installed.version(one) for one in BESIDE if one in sys.modules and one != name}
    return {
        "name": name,
        "kind": kind,
        "version": _public(installed.version(name)),
        "python": ".".join(platform.python_version_tuple()[:2]),
        "beside": {one: _public(version) for one, version in loaded.items()},
        "owns_loop": found.owns_loop,
        "capabilities": found.capabilities,
        "conditional": [need for need, why in found.capabilities.items() if why is not None and need not in static],
        "formats": found.formats,
    }


def problems(variant: str, said: Abilities) -> Iterator[str]:
    """Where an adapter contradicts itself."""
    name, _ = name_of(variant)
    if said.framework != name:
        yield f"run.framework is {said.framework!r}, and it is served as {name!r}"
    for need, reason in lacks_of(said.trainable).items():
        if said.capabilities.get(need) is None:
            yield f"{said.trainable.__name__} lacks {need!r} without any object ({reason}), and has it in a run"


def disagreements(variant: str) -> list[str]:
    """How what the adapter says now differs from the file of this release, or of the newest one."""
    said = abilities(conformance(variant).factory)
    now = entry(variant, said, said.trainable)
    releases = table.by_variant(table.load()).get(variant)
    if releases is None:
        return [f"it is in no table: python tests/frameworks.py {variant} --write --table"]
    written = next((one for one in releases if one["version"] == now["version"]), releases[0])
    keys = ("owns_loop", "capabilities", "conditional", "formats")
    told = [f"{key}: {written[key]!r} in {table.file_name(written)}, and now {now[key]!r}" for key in keys]
    return [*problems(variant, said), *(line for line, key in zip(told, keys, strict=True) if written[key] != now[key])]


def look(variant: str, folder: Path | None, tests: Path = TESTS) -> int:
    """Survey one in this process, and write it down if every rule is kept; the exit code."""
    try:
        test = conformance(variant, tests)
    except AbsentError as error:
        print(f"{variant}: {error}")
        return ABSENT
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = survey(test.factory, without=test.without)
        said = abilities(test.factory) if found.framework else None
    wrong = [*found.broken.values(), *(problems(variant, said) if said else ())]
    if wrong or said is None:
        print(f"{variant}: {len(found.held)} rules held; nothing is written:\n", *wrong, sep="\n  ")
        return 1
    document = entry(variant, found, said.trainable) | {"held": found.held, "left_out": found.left_out}
    sometimes = document["conditional"]
    lacking = [need for need, why in found.capabilities.items() if why is not None and need not in sometimes]
    print(f"{variant} {document['version']}: {len(found.held)} rules held, {len(found.left_out)} left out")
    print(f"  lacks {', '.join(lacking) or 'nothing'}; with some models {', '.join(sometimes) or 'nothing'}")
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / table.file_name(document)).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return 0


def _public(version: str | None) -> str | None:
    """A version without what a build adds, as ``+cpu``."""
    return version and version.partition("+")[0]


def _ask_each(names: list[str], folder: Path | None) -> int:
    """Each in a process of its own; 1 where one is not as it should be."""
    asked = served() if names == ["all"] else [one for name in names for one in variants(name)]
    worst = 0
    for variant in asked:
        name, kind = name_of(variant)
        environment = os.environ | ALONE | ({"KERAS_BACKEND": kind} if kind and name == "keras" else {})
        command = [sys.executable, __file__, variant, "--alone", *(["--write", str(folder)] if folder else [])]
        code = subprocess.run(command, env=environment, check=False).returncode
        if code not in (0, ABSENT) or (code == ABSENT and variant in names):
            worst = 1
    return worst


def main() -> int:
    """Survey, or render; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="*", help="numpy, torch, keras (each backend), keras-jax, ..., or all")
    parser.add_argument("--write", nargs="?", type=Path, const=table.FOLDER, metavar="FOLDER", help="docs/frameworks")
    parser.add_argument("--table", action="store_true", help="render the files: README.md, docs/frameworks.md, ...")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if not (asked.name or asked.table):
        parser.error("name what to survey, or --table")
    if asked.alone:
        return look(asked.name[0], asked.write)
    code = _ask_each(asked.name, asked.write and asked.write.resolve())
    if asked.table:
        for path, text in table.rendered().items():
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path.relative_to(TESTS.parent)}")
    return code


if __name__ == "__main__":
    sys.exit(main())
