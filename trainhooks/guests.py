"""Guests: callbacks that a plugin attached. Nobody asked for them, and so they can end nobody's training."""

from __future__ import annotations

import itertools
import reprlib
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np

from .callback import Callback
from .dispatch import Listener
from .events import EVENTS, Event

if TYPE_CHECKING:
    from .offers import OfferedCallback
    from .run import Run

T = TypeVar("T")
_DEEPEST: Final = 50
"""Of what a state nests."""
_MOST: Final = 100_000


class Guest(Callback):
    """Stands for a callback that a plugin offers: hands on all but ``resume_from``, and keeps what it raises to itself.

    An exception in one of its hooks disables it for the rest of the run. Its class is called as the callback's is, for
    messages.
    """

    def __init__(self, offered: OfferedCallback) -> None:
        self.inner, self.label, self.failed = offered.callback, offered.label, offered.failed
        self.plugin = offered.plugin
        self._run: Run | None = None
        self.requires, self.phase, self.ranks = self.inner.requires, self.inner.phase, self.inner.ranks
        self.on_error = "warn" if self.inner.on_error == "warn" else "disable"

    if not TYPE_CHECKING:

        @property
        def run(self):  # its own, so that one that another run has too is no mistake of this run's user
            return self._run

        @run.setter
        def run(self, value):
            self._run = value
            self._guarded("run", lambda: setattr(self.inner, "run", value), None)

    @property
    def itself(self) -> Callback:
        return self.inner

    def _state_key(self) -> str:
        return f"{self.plugin}: {type(self).__name__}"

    def listeners(self, events: Mapping[str, Event] = EVENTS) -> Iterator[Listener]:
        for one in self.inner.listeners(events):
            on_error = "disable" if one.on_error == "raise" else one.on_error
            yield one.owned_by(self, f"{self.label}: {one.who}", on_error)

    def check_needs(self) -> None:
        if self.inner.run is not None and self._run is None:
            raise RuntimeError(f"{type(self).__name__} is attached to a run that is still open: make one for each run")
        self.inner.check_needs()

    def reset(self) -> None:
        self._guarded("reset", self.inner.reset, None)

    def state_dict(self) -> dict[str, Any]:
        return self._guarded("state_dict", lambda: _mapping(self.inner.state_dict()), {})

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._guarded("load_state_dict", lambda: self.inner.load_state_dict(state), None)

    def settings_dict(self) -> dict[str, Any]:
        return self._guarded("settings_dict", lambda: _plain(self.inner.settings_dict()), {})

    def resume_from(self, run: Run) -> Mapping[str, Any] | None:
        """Nothing: a state that does not fit would end the training, and where that goes on from is its user's word."""
        return None

    def _guarded(self, verb: str, call: Callable[[], T], instead: T) -> T:
        try:
            return call()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever a stranger's callback raises: it must not end anybody's training
            if self._run is not None and error is self._run.bus.escaped:
                raise  # of another's hook, in an event that this one fired
            self.failed(f"{type(self).__name__}.{verb}", error)
            return instead


class _Saver(Guest):
    """One that writes checkpoints."""

    def save(self, run: Run) -> None:
        self._guarded("save", lambda: self.inner.save(run), None)


def guest(offered: OfferedCallback) -> Guest:
    """The guest that stands for a callback, under the name of its class."""
    kind = type(offered.callback)
    base = Guest if kind.save is Callback.save else _Saver
    made: Guest = type(kind.__name__, (base,), {"__doc__": kind.__doc__})(offered)
    return made


def _plain(settings: object) -> dict[str, Any]:
    """The settings that can be compared and stored."""
    return {name: one for name, one in _mapping(settings).items() if isinstance(one, (bool, int, float, str))}


def _mapping(state: object) -> dict[str, Any]:
    """A state as it may stand in a checkpoint beside the others; what could not be written would be their end too."""
    if not isinstance(state, Mapping):
        raise TypeError(f"it gave {reprlib.repr(state)}, which is no mapping")
    parts = itertools.count()
    return {str(name): _storable(value, str(name), 0, parts) for name, value in state.items()}


def _storable(value: Any, where: str, depth: int, parts: Iterator[int]) -> Any:
    if next(parts) > _MOST:  # of one whose parts stand in it many times over
        raise TypeError(f"it has more than {_MOST} parts; a state of so many goes into an array")
    if value is None or isinstance(value, (bool, int, float, str, np.generic)):
        return value
    if depth < _DEEPEST:
        if isinstance(value, Mapping) and all(isinstance(key, (str, int, float)) for key in value):
            return {key: _storable(one, f"{where}/{key}", depth + 1, parts) for key, one in value.items()}
        if isinstance(value, (list, tuple)):
            return [_storable(one, f"{where}/{number}", depth + 1, parts) for number, one in enumerate(value)]
        if hasattr(value, "__array__") and not isinstance(value, type):
            from .store.dtype_text import code_of, describe  # here: `import trainhooks` need not load it

            array = np.array(value)  # a copy, which is all that is kept of it
            if code_of(array.dtype) is None:
                describe(array.dtype)  # raises where no file can hold it
            return array
    raise TypeError(f"its {where} is {reprlib.repr(value)}; a state holds JSON-able values and arrays")
