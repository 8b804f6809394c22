"""What is installed: packages, frameworks and Keras's backends; read from their metadata, nothing of it imported."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NamedTuple

from ..hookspecs import PROJECT


class Optional(NamedTuple):
    """A package that is not needed, and what for it is used."""

    name: str
    use: str
    install: str


OPTIONAL: Final = (
    Optional("tensorboardX", "TensorBoard", "trainhooks[tensorboard]"),
    Optional("matplotlib", "History.plot", "trainhooks[plot]"),
    Optional("pandas", "History.to_pandas", "pandas"),
    Optional("ml_dtypes", "weights in bfloat16 and float8 as numpy arrays", "ml_dtypes"),
    Optional("pytest", "trainhooks.testing: check_callback, check_adapter", "pytest"),
    Optional("hypothesis", "trainhooks.testing: strategies", "hypothesis"),
)

_DISTRIBUTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "fabric": ("lightning", "lightning-fabric"),
    "ignite": ("pytorch-ignite",),
    "lightning": ("lightning", "pytorch-lightning"),
    "tensorflow": ("tensorflow", "tensorflow-cpu", "tensorflow-macos", "tf-nightly"),
}
"""What may bring a package or a framework, where that is called otherwise."""

_MODULES: Final[Mapping[str, tuple[str, ...]]] = {
    "fabric": ("lightning", "lightning_fabric"),
    "lightning": ("lightning", "pytorch_lightning"),
}
"""What is imported of a framework, where that is called otherwise."""


def version(package: str) -> str | None:
    """The version that is installed; ``"?"`` where it is there and tells none; None where it is not there."""
    if not package.strip():
        return None  # of which some versions of Python find any distribution
    for name in _DISTRIBUTIONS.get(package, (package,)):
        try:
            return metadata.version(name)
        except (metadata.PackageNotFoundError, ValueError):  # of a name that is none
            continue
    return "?" if any(map(_is_importable, _MODULES.get(package, (package,)))) else None


def _is_importable(package: str) -> bool:
    try:
        return find_spec(package.partition(".")[0]) is not None  # of a name with a dot it would import what is before
    except (ImportError, ValueError):  # it was made impossible to import
        return False


@dataclass(frozen=True)
class Need:
    """A requirement, as ``keras>=3.3``; the version that is installed, or None; and whether that will do."""

    requirement: str
    version: str | None
    met: bool


def needs(install: str) -> Iterator[Need]:
    """What a pip requirement asks for: of ``trainhooks[keras]`` what that extra lists, otherwise itself.

    What cannot be read is left out.
    """
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        asked = Requirement(install)
        listed = metadata.requires(asked.name) or [] if asked.extras else [install]
    except (InvalidRequirement, metadata.PackageNotFoundError):
        return
    for text in listed:
        try:
            one = Requirement(text)
        except InvalidRequirement:
            continue
        wanted = not asked.extras or any(
            one.marker is not None and one.marker.evaluate({"extra": extra}) and not one.marker.evaluate({"extra": ""})
            for extra in asked.extras
        )
        if wanted:
            yield _need(one.name, str(one.specifier))


def own_needs() -> Iterator[Need]:
    """What trainhooks itself cannot do without."""
    from packaging.requirements import Requirement

    try:
        listed = metadata.requires(PROJECT) or []
    except metadata.PackageNotFoundError:  # it runs from its source
        return
    for one in map(Requirement, listed):
        if one.marker is None or one.marker.evaluate({"extra": ""}):
            yield _need(one.name, str(one.specifier))


def _need(name: str, specifier: str) -> Need:
    from packaging.specifiers import SpecifierSet
    from packaging.version import InvalidVersion, Version

    there = version(name)
    try:
        met = there is not None and (there == "?" or SpecifierSet(specifier).contains(Version(there), prereleases=True))
    except InvalidVersion:
        met = True  # one that nobody can compare
    return Need(f"{name}{specifier}", there, met)


BACKENDS_WITHOUT_TRAINING: Final = ("numpy", "openvino")
"""Those of Keras that can only predict."""


@dataclass(frozen=True)
class Keras:
    """Keras's backends: the version of each, the one that would be used, and what says so."""

    backends: Mapping[str, str | None]
    chosen: str
    chosen_by: str


def keras(environment: Mapping[str, str]) -> Keras:
    """What Keras would find when it is imported; it is asked as it asks itself: variable, file, its own default."""
    backends = {name: version(name) for name in ("tensorflow", "jax", "torch")}
    if named := environment.get("KERAS_BACKEND"):
        return Keras(backends, named, "KERAS_BACKEND")
    folder = environment.get("KERAS_HOME") or os.path.join(os.path.expanduser("~"), ".keras")
    file = Path(folder).expanduser() / "keras.json"
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        told = None
    if isinstance(told, dict) and isinstance(told.get("backend"), str):
        return Keras(backends, told["backend"], str(file))
    return Keras(backends, "tensorflow", "Keras's default")


def python() -> str:
    """The version of Python, and where it is."""
    return f"{sys.version.split()[0]} ({sys.executable})"
