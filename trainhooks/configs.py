"""What data from a file asks for, by name: as TOML, JSON and YAML can say it, and as their readers give it."""

from __future__ import annotations

import inspect
import itertools
import reprlib
from collections.abc import Callable, Iterator, Mapping, MutableSequence
from typing import Any, Final

from .errors import did_you_mean, listing

_DEEPEST: Final = 50
"""Of what an entry nests: one that holds itself has no end."""
_MOST: Final = 100_000
"""Values in an entry: one that holds the same lists again and again, as YAML's anchors let it, is as large as all."""


def entry(config: Mapping[str, Any], where: str, needs: str) -> tuple[str, dict[str, Any]]:
    """The name that one entry of a config asks for, and its arguments: copies, in dictionaries and lists.

    Args:
        config: the entry; it is not changed.
        where: where it stands, as messages begin.
        needs: what an entry is, as a sentence.

    Raises:
        TypeError: a key or the name is no string.
        ValueError: it has no name, nests too deep, or holds too much.
    """
    for key in config:
        if not isinstance(key, str):
            raise TypeError(f"{where}the key {reprlib.repr(key)} is no string. {needs}")
    if "name" not in config:
        raise ValueError(f"{where}it has {listing(config)} and no 'name'. {needs}")
    name = config["name"]
    if not isinstance(name, str):
        raise TypeError(f"{where}name={reprlib.repr(name)}: a name is a string. {needs}")
    count = itertools.count()
    return name, {key: _copied(value, f"{where}{key}", 0, count) for key, value in config.items() if key != "name"}


def call(make: Callable[..., Any], name: str, arguments: Mapping[str, Any], where: str) -> Any:
    """Call ``make``, and have its errors say where in the config they come from.

    Args:
        make: a class or a function.
        name: by which it was asked for.
        arguments: for it, by name.
        where: as messages begin; empty where there is but one entry.

    Raises:
        TypeError: an argument is not there, or one that is needed is not given.
        ValueError: as ``make`` does; other errors come as they are.
    """
    _check(make, name, arguments, where)
    try:
        return make(**arguments)
    except (TypeError, ValueError) as error:
        if not where:
            raise
        raise _moved(error, where) from error


def _check(make: Callable[..., Any], name: str, arguments: Mapping[str, Any], where: str) -> None:
    try:
        parameters = inspect.signature(make).parameters.values()
    except (TypeError, ValueError):  # what is written in C may have none
        return
    known = {one.name: one for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)}
    there = f"There are {listing(known)}." if known else "It takes none."
    if not any(one.kind is one.VAR_KEYWORD for one in parameters):
        for given in arguments:
            if given not in known:
                near = did_you_mean(given, known)
                raise TypeError(f"{where}{name}({given}=...): no such argument.{near} {there}")
    if nameless := [one.name for one in parameters if one.kind is one.POSITIONAL_ONLY and one.default is one.empty]:
        raise TypeError(f"{where}{name}(...): it takes {listing(nameless)} by position alone, and arguments go by name")
    if lacking := [one.name for one in known.values() if one.default is one.empty and one.name not in arguments]:
        hint = f" In a mapping 'name' is not this one: make({name!r}, name=...) gives it." if "name" in lacking else ""
        needs = f"it needs {listing(lacking)} too. Its arguments are {listing(known)}."
        raise TypeError(f"{where}{name}(...): {needs}{hint}")


def _moved(error: TypeError | ValueError, where: str) -> TypeError | ValueError:
    """The same error, which says where."""
    text = f"{where}{error}"
    try:
        moved = type(error)(text)
        if str(moved) == text:
            return moved
    except Exception:  # a class of errors that is made of something else than its text
        pass
    return TypeError(text) if isinstance(error, TypeError) else ValueError(text)


def _copied(value: Any, where: str, depth: int, count: Iterator[int]) -> Any:
    """In plain dictionaries and lists, whatever a reader's own containers are; the rest as it is."""
    if depth > _DEEPEST:
        raise ValueError(f"{where}: it nests deeper than {_DEEPEST}, or holds itself")
    if next(count) >= _MOST:
        raise ValueError(f"{where}: it holds more than {_MOST} values, those that stand in it twice counted twice")
    if isinstance(value, Mapping):
        return {key: _copied(one, where, depth + 1, count) for key, one in value.items()}
    if isinstance(value, MutableSequence) and not isinstance(value, bytearray):
        return [_copied(one, where, depth + 1, count) for one in value]
    return value
