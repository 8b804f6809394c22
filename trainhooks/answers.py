"""What a plugin's hook may answer: checked, and made the same for all who ask."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from .bus import Handle
from .callback import Callback
from .events import Event


def _callbacks(answer: object) -> list[Callback]:
    if isinstance(answer, Handle):
        return []  # of run.add: what that added is taken as if it had been answered
    return _several(answer, Callback, "a trainhooks.Callback, several, or None")


def _events(answer: object) -> list[Event]:
    events = _several(answer, Event, "several trainhooks.Event")
    for one in events:
        texts = (
            one.name,
            one.doc,
            *(one.args if isinstance(one.args, tuple) else ()),
        )  # other mistakes are told of later
        if not all(isinstance(text, str) for text in texts):
            raise TypeError(f"it answered {reprlib.repr(one)}: an event's name, arguments and doc are texts")
    return events


def _by_name(answer: object) -> dict[str, Any]:
    if not isinstance(answer, Mapping) or not all(isinstance(name, str) for name in answer):
        raise TypeError(f"it answered {reprlib.repr(answer)}: it is to answer a mapping by name")
    for name, one in answer.items():
        if not callable(one):
            raise TypeError(f"it answered {reprlib.repr(one)} for {name!r}: that is to be a class or a function")
    return dict(answer)


def _requirements(answer: object) -> dict[str, str]:
    if not isinstance(answer, Mapping) or not all(isinstance(text, str) for one in answer.items() for text in one):
        raise TypeError(f"it answered {reprlib.repr(answer)}: it is to answer pip requirements by framework")
    return dict(answer)


def _wrapper(answer: object) -> object:
    if not callable(answer):
        raise TypeError(f"it answered {reprlib.repr(answer)}: it is to answer a function of WrapOptions, or None")
    return answer


def _several(answer: object, kind: type[Any], what: str) -> list[Any]:
    is_one = isinstance(answer, (kind, str, Mapping)) or not isinstance(answer, Iterable)
    answers = [answer] if is_one else list(answer)  # type: ignore[call-overload]
    for one in answers:
        if not isinstance(one, kind):
            hint = f" It is a class: write {one.__name__}()." if isinstance(one, type) else ""
            raise TypeError(f"it answered {reprlib.repr(one)}: it is to answer {what}.{hint}")
    return answers


_CHECKS: Final[dict[str, Callable[[object], Any]]] = {
    "trainhooks_callbacks": _by_name,
    "trainhooks_attach": _callbacks,
    "trainhooks_adapter": _wrapper,
    "trainhooks_frameworks": _requirements,
    "trainhooks_events": _events,
    "trainhooks_demos": _by_name,
}


def checked(hook: str, answer: object) -> Any:
    """The answer, as those who ask take it: lists, dictionaries, a function.

    Raises:
        TypeError: it is something else.
    """
    return _CHECKS[hook](answer)
