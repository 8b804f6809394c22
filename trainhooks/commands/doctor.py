"""``trainhooks doctor``: what is installed, which frameworks are served, what is refused and why, and what is wrong."""

from __future__ import annotations

import os
import platform
import warnings
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from .. import pages, plugins
from ..errors import did_you_mean, listing
from ..hookspecs import PROJECT
from ..selection import Selection
from ..version import __version__
from . import callbacks as named
from . import installed, tested
from .console import Mistake, aligned, document, painted, say, title, wrapped
from .plugins import problem_of_selection
from .trainers import Trainer, trainers
from .trial import attached


@dataclass(frozen=True)
class Framework:
    """A framework that a plugin serves, what installs it, and the releases that trainhooks was tested with."""

    name: str
    plugin: str
    distribution: str
    install: str
    version: str | None
    needs: list[installed.Need]
    tested: list[str]


@dataclass(frozen=True)
class Findings:
    """All that was found. ``problems`` are sentences that say what to do."""

    versions: dict[str, str]
    optional: list[dict[str, str | None]]
    frameworks: list[Framework]
    keras: installed.Keras | None
    trainers: list[Trainer]
    problems: list[str]


def run(asked: Namespace) -> int:
    """Look, and tell; 1 where something is wrong."""
    found = look() if asked.name is None else only(look(), asked.name)
    if asked.json:
        document(asdict(found))
    elif asked.name is None:
        _print(found)
    else:
        _print_one(found)
    return 1 if found.problems else 0


def only(found: Findings, name: str) -> Findings:
    """The same, but for all frameworks and trainers other than ``name``.

    Raises:
        Mistake: there is no such framework.
    """
    told = [one for one in found.trainers if one.framework == name]
    frameworks = [one for one in found.frameworks if one.name == name]
    if not (told or frameworks):
        names = sorted({one.framework for one in found.trainers} | {one.name for one in found.frameworks})
        raise Mistake(f"there is no framework {name!r}.{did_you_mean(name, names)} There are {listing(names)}.")
    return replace(found, frameworks=frameworks, trainers=told, keras=found.keras if name == "keras" else None)


def look() -> Findings:
    """Look at everything; the plugins are loaded, the frameworks are not."""
    environment = os.environ.get(plugins.VARIABLE)
    frameworks: list[Framework] = []
    offered: dict[str, Any] = dict(pages.built_ins())
    rows: list[plugins.Row] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # what fails is told below
        if _can_be_read(environment):  # otherwise no plugin is to be had, and what is wrong with it is said below
            frameworks = sorted(_frameworks(), key=lambda one: one.name)
            offered |= {name: one.make for name, one in named.every().items()}
            attached()
            rows = plugins.rows()  # last: with what failed when it was asked
    problems = []
    if strange := problem_of_selection(environment, [one.name for one in rows]):
        problems.append(f"{strange} Correct {plugins.VARIABLE}, or unset it.")
    keras = next((installed.keras(os.environ) for one in frameworks if one.name == "keras" and one.version), None)
    told = trainers((one.name for one in frameworks), offered)
    own = list(installed.own_needs())
    problems += [*_failed(rows), *_unmet(own, "trainhooks"), *_of_frameworks(frameworks)]
    if keras is not None and (wrong := problem_of_backend(keras)):
        problems.append(wrong)
    versions = {"trainhooks": __version__, "python": installed.python(), "platform": platform.platform()}
    versions |= {name: installed.version(name) or "missing" for name in ("numpy", "packaging", "pluggy", "tqdm")}
    optional = [
        {"name": one.name, "version": installed.version(one.name), "use": one.use, "install": one.install}
        for one in installed.OPTIONAL
    ]
    return Findings(versions, optional, frameworks, keras, told, problems)


def _can_be_read(environment: str | None) -> bool:
    try:
        Selection.parse(environment, plugins.VARIABLE)
    except ValueError:
        return False
    return True


def _frameworks() -> Iterator[Framework]:
    seen: set[str] = set()
    releases = tested.releases()
    for plugin, served in plugins.ask("trainhooks_frameworks"):
        for name, install in served.items():
            if name not in seen:
                seen.add(name)
                version, needs = installed.version(name), list(installed.needs(install))
                known = releases.get(name, []) if plugin.distribution == PROJECT else []
                yield Framework(name, plugin.name, plugin.distribution, install, version, needs, known)


def _failed(rows: list[plugins.Row]) -> Iterator[str]:
    for row in rows:
        for error in row.errors:
            yield (
                f"plugin {row.name!r} of {row.distribution} {row.version} failed: {error}. Update or uninstall "
                f"{row.distribution}, or leave the plugin out with {plugins.VARIABLE}=-{row.name}."
            )


def _of_frameworks(frameworks: list[Framework]) -> Iterator[str]:
    for one in frameworks:
        if one.version is not None:
            there = [need for need in one.needs if need.version is not None]  # what is absent was not asked for
            yield from _unmet(there, f"the plugin {one.plugin!r} of {one.distribution}")


def _unmet(needs: list[installed.Need], who: str) -> Iterator[str]:
    for one in needs:
        if not one.met:
            there = f"there is {one.version}" if one.version else "it is not installed"
            yield f"{who} needs {one.requirement}, and {there}: pip install '{one.requirement}'"


def problem_of_backend(keras: installed.Keras) -> str | None:
    """What is wrong with the backend that Keras would use, as a sentence; None for nothing."""
    if keras.backends.get(keras.chosen) is not None:
        return None
    there = [name for name, version in keras.backends.items() if version is not None]
    instead = f", or set KERAS_BACKEND={there[0]}" if there else ""
    would = f"Keras would use the backend {keras.chosen!r} ({keras.chosen_by})"
    choose = f"set KERAS_BACKEND to one of {', '.join(there or keras.backends)}"
    if keras.chosen in installed.BACKENDS_WITHOUT_TRAINING:
        return f"{would}, with which it does not train: {choose}"
    if keras.chosen not in keras.backends:
        near = did_you_mean(keras.chosen, keras.backends)
        return f"{would}, and there is no such backend.{near} S{choose[1:]}"
    return f"{would}, which is not installed: pip install 'trainhooks[{keras.chosen}]'{instead}"


def _print(found: Findings) -> None:
    _title("Versions")
    _rows([(name, version) for name, version in found.versions.items()])
    _title("Optional packages")
    _rows([(str(one["name"]), str(one["version"] or "-"), _use(one)) for one in found.optional])
    _title("Frameworks")
    _rows([(one.name, one.version or "-", _served(one)) for one in found.frameworks])
    _print_backend(found)
    there = {"numpy", *(one.name for one in found.frameworks if one.version is not None)}
    shown = [one for one in found.trainers if one.framework in there]
    _title("What a trainer lacks; a callback that needs it is refused when it is attached")
    _rows([(one.framework, ", ".join(one.lacks) or "nothing") for one in shown])
    _title("What is refused therefore, whatever its arguments")
    _rows([(one.framework, ", ".join(one.refused)) for one in shown if one.refused] or [("-", "nothing")])
    say()
    say("  trainhooks doctor NAME: why, and what to do instead.")
    if (value := os.environ.get(plugins.VARIABLE)) is not None:
        say()
        say(f"{plugins.VARIABLE}={value} is set.")
    _print_problems(found)


def _print_one(found: Findings) -> None:
    """Of one framework all that there is."""
    for framework in found.frameworks:
        title(f"{framework.name} {framework.version or ''}".rstrip())
        for line in wrapped(_served(framework), first="  "):
            say(line)
    _print_backend(found)
    for one in found.trainers:
        if not found.frameworks:
            title(one.framework)
        say()
        title("What its trainer lacks; a callback that needs it is refused when it is attached")
        _rows(list(one.lacks.items()) or [("-", "nothing")])
        say()
        title("What is refused therefore, whatever its arguments")
        refused = [(name, f"needs {' and '.join(lacking)}") for name, lacking in one.refused.items()]
        _rows(refused or [("-", "nothing")])
    _print_problems(found)


def _print_backend(found: Findings) -> None:
    if found.keras is not None:
        there = [f"{name} {version}" for name, version in found.keras.backends.items() if version is not None]
        text = f"Keras would use {found.keras.chosen} ({found.keras.chosen_by}); its backends here: "
        for line in wrapped(text + (", ".join(there) or "none"), first="  "):
            say(line)


def _print_problems(found: Findings) -> None:
    say()
    if not found.problems:
        say(painted("No problems.", "good"))
        return
    say(painted(f"{len(found.problems)} problem{'s' if len(found.problems) > 1 else ''}:", "bad"))
    for text in found.problems:
        for line in wrapped(text, first="- ", indent="  "):
            say(line)


def _title(text: str) -> None:
    if text != "Versions":
        say()
    title(text)


def _rows(rows: list[Any]) -> None:
    for line in aligned(rows, indent="  ") if rows else ["  none"]:
        say(line)


def _use(one: dict[str, str | None]) -> str:
    return f"for {one['use']}" + ("" if one["version"] else f": pip install '{one['install']}'")


def _served(one: Framework) -> str:
    """How it stands, in one line: who serves it if it is not trainhooks, and what is not as it could be."""
    parts = [] if one.distribution == PROJECT else [f"served by the plugin {one.plugin!r} of {one.distribution}"]
    if one.version is None:
        parts.append(f"not installed: pip install '{one.install}'")
    parts.append(tested.in_words(one.tested, one.version))
    if one.version is not None and (absent := [need.requirement for need in one.needs if need.version is None]):
        parts.append(f"without {', '.join(absent)}")
    return "; ".join(filter(None, parts))
