"""Callbacks by name, for configs: ``make``, and ``register`` for those of one's own."""

from __future__ import annotations

import os
import reprlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple, TypeVar, overload

from .. import callbacks, plugins
from ..callback import Callback
from ..configs import call, entry
from ..errors import UnknownCallbackError, listing, unknown_callback
from ..selection import Selection

F = TypeVar("F", bound=Callable[..., Callback])

_NEEDS: Final = (
    "A config names callbacks by 'name', as {'name': 'EarlyStopping', 'patience': 3}; a class of your own is "
    "registered with trainhooks.callbacks.register."
)
_registered: dict[str, Callable[..., Callback]] = {}


class _Offered(NamedTuple):
    make: Callable[..., Callback]
    by: str


@overload
def make(config: str, /, **arguments: Any) -> Callback: ...  # type: ignore[overload-overlap]
@overload
def make(config: Mapping[str, Any], /) -> Callback: ...  # type: ignore[overload-overlap]
@overload
def make(config: Iterable[str | Mapping[str, Any]], /) -> list[Callback]: ...
def make(config: Any, /, **arguments: Any) -> Callback | list[Callback]:
    """Make a callback that is asked for by its name, or a list of them, as a config does::

        make("EarlyStopping", monitor="val_loss", patience=3)
        make({"name": "EarlyStopping", "monitor": "val_loss", "patience": 3})
        make([{"name": "CSVLogger", "filename": "log.csv"}, "History"])

    A name is that of a built-in, one that ``register`` was given, or one that a plugin offers; plugins are asked when
    it is none of the others. Nothing that a config says is imported or evaluated.

    Args:
        config: a name; a mapping that has it as ``"name"``, and the arguments beside it; or several of these. What
            reads TOML, JSON or YAML gives such a thing, and so do OmegaConf and Hydra. It is not changed.
        arguments: the callback's, where ``config`` is a name.

    An argument that is itself called ``name`` can be given beside a name alone, and not in a mapping.

    Raises:
        UnknownCallbackError: nothing is called so.
        TypeError: ``config`` is nothing of that; an argument is not there or not given; or what a factory made is no
            callback.
        ValueError: an entry has no name; or as the callback's constructor does. In a list, errors say of which entry.
    """
    if isinstance(config, str):
        return _made(config, arguments, "")
    if arguments:
        raise TypeError(f"make({reprlib.repr(config)}, {next(iter(arguments))}=...): arguments stand in the config")
    if isinstance(config, Mapping):
        return _from(config, "")
    if isinstance(config, Iterable) and not isinstance(config, (bytes, bytearray)):
        return [_from(one, f"callbacks[{at}]: ") for at, one in enumerate(config)]
    raise TypeError(f"make({reprlib.repr(config)}): a name, a mapping, or a list of them. {_NEEDS}")


@overload
def register(name: str, factory: F) -> F: ...
@overload
def register(name: str) -> Callable[[F], F]: ...
@overload
def register(name: F) -> F: ...
def register(name: Any, factory: Any = None) -> Any:
    """Have ``make`` know a callback of one's own, for as long as this process lives::

        @register  # or @register("another name")
        class LossSpike(Callback): ...


        register("PatientStopping", functools.partial(EarlyStopping, patience=100))

    A plugin does the same for all who install it.

    Args:
        name: what configs call it; or the class or function itself, which goes by its own name.
        factory: a class, or a function that makes a callback. Without it this is a decorator. Its arguments are given
            by name; one that is called ``name`` is out of a config's reach, for there that names the callback.

    Raises:
        TypeError: it is no such thing, or has no name.
        ValueError: the name is taken by another one, or by a built-in.
    """
    if isinstance(name, str):
        return (lambda made: _register(name, made)) if factory is None else _register(name, factory)
    own = getattr(name, "__name__", "")
    if factory is not None or not own.isidentifier():  # a lambda has none
        raise TypeError(f"register({reprlib.repr(name)}): it has no name of its own. Write register('name', factory).")
    return _register(own, name)


def unregister(name: str) -> None:
    """Let a name go that ``register`` was given; one that is not there is left alone."""
    _registered.pop(name, None)


def names() -> dict[str, str]:
    """All that ``make`` knows, from A to z, and who offers it.

    Returns:
        By name ``"trainhooks"``, ``"registered"``, or the plugin, as ``"plugin 'slack' of trainhooks-slack 1.2"``.
    """
    known = {name: one.by for name, one in _offered().items()}
    known |= dict.fromkeys(_registered, "registered") | dict.fromkeys(callbacks.__all__, "trainhooks")
    return dict(sorted(known.items()))


def _from(one: Any, where: str) -> Callback:
    if isinstance(one, str):
        return _made(one, {}, where)
    if not isinstance(one, Mapping):
        raise TypeError(f"{where}{reprlib.repr(one)} is neither a name nor a mapping. {_NEEDS}")
    needs = _NEEDS
    if one and all(isinstance(value, Mapping) and "name" in value for value in one.values()):
        needs += " Of several that go by keys: make(config.values())."
    return _made(*entry(one, where or "make(): ", needs), where)


def _made(name: str, arguments: Mapping[str, Any], where: str) -> Callback:
    made = call(_factory(name, where), name, arguments, where)
    if not isinstance(made, Callback):
        raise TypeError(f"{where}{name}(...): it made {reprlib.repr(made)}, which is no trainhooks.Callback")
    return made


def _factory(name: str, where: str) -> Callable[..., Any]:
    if name in callbacks.__all__:
        return getattr(callbacks, name)  # type: ignore[no-any-return]
    if name in _registered:
        return _registered[name]
    offered = _offered()
    if name in offered:
        return offered[name].make
    failed = [
        f"{one.name!r} of {one.distribution} {one.version}".rstrip()
        for one in plugins.failures
        if one.what in ("import", "trainhooks_callbacks")
    ]
    known = [*callbacks.__all__, *_registered, *(one for one in offered if one not in _registered)]
    raise UnknownCallbackError(f"{unknown_callback(where or 'make(): ', name, known, failed)}{left_out()}")


def left_out() -> str:
    """The plugins that the environment leaves out, as a sentence with its leading space; or an empty string."""
    selection = Selection.parse(os.environ.get(plugins.VARIABLE), plugins.VARIABLE)
    names = [one.name for one in plugins.found() if not selection.allows(one.name, own=one.own)]
    return f" Left out by {plugins.VARIABLE}: {listing(names)}." if names else ""


def _offered() -> dict[str, _Offered]:
    """What plugins offer; of two with one name the first has it, and the other is told of."""
    offered: dict[str, _Offered] = {}
    for plugin, answer in plugins.ask("trainhooks_callbacks"):
        taken = []
        for name, factory in answer.items():
            if name in callbacks.__all__:
                taken.append(f"{name!r}, which trainhooks has")
            elif name in offered:
                taken.append(f"{name!r}, which the {offered[name].by} has")
            else:
                offered[name] = _Offered(factory, plugin.label)
        if taken:
            plugins.report(plugin, "trainhooks_callbacks", f"it offers names that are taken: {'; '.join(taken)}")
    return offered


def _register(name: str, factory: Any) -> Any:
    who = f"register({name!r}, {reprlib.repr(factory)})"
    if not callable(factory):
        hint = f" It is a callback: give its class, {type(factory).__name__}." if isinstance(factory, Callback) else ""
        raise TypeError(f"{who}: a class, or a function that makes a callback.{hint}")
    if isinstance(factory, type) and not issubclass(factory, Callback):
        raise TypeError(f"{who}: a class of callbacks derives from trainhooks.Callback")
    if not name:
        raise ValueError(f"{who}: a name has at least one letter")
    if name in callbacks.__all__:
        raise ValueError(f"{who}: the name is taken by a built-in. Give yours another.")
    if (there := _registered.setdefault(name, factory)) is not factory:
        raise ValueError(
            f"{who}: the name is taken by {reprlib.repr(there)}. Give yours another, or let that one go: "
            f"callbacks.unregister({name!r})."
        )
    return factory
