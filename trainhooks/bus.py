"""EventBus: who listens to what, in which order, and what an exception in one of them does."""

from __future__ import annotations

import keyword
import warnings
import weakref
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from . import errors
from .callback import Callback
from .dispatch import PHASES, Dispatcher, ErrorPolicy, Listener, Phase, compile_listeners, interpret, source
from .events import ALIASES, EVENTS, SCOPES, Event, resolve
from .filters import Filter

if TYPE_CHECKING:
    from .progress import Progress
    from .run import Run
    from .sampler import Spent
    from .timings import Timings

_RESERVED: Final = ("error", *ALIASES)
"""Names that no declared event may have: ``on_error`` is a callback's setting, and an alias is another event's."""

_GUARDED: Final = ("exception", "teardown")
"""Events that reach every listener whatever another raised."""

_TIMED: Final = frozenset(
    f"{name}_{edge}" for name in ("train", "epoch", "test", "predict") for edge in ("begin", "end")
) | {"setup", "stop"}
"""Events whose listeners are timed each time, in a run: they are rare, and stand in no other listener's time."""


class Handle:
    """What ``on`` and ``add`` give back: ``remove()`` takes off what they added, as does leaving its ``with``."""

    def __init__(self, bus: EventBus, listeners: tuple[Listener, ...], callbacks: tuple[Callback, ...] = ()) -> None:
        self._bus = weakref.ref(bus)  # a handle that is kept keeps no run alive
        self._listeners, self._callbacks = listeners, callbacks

    def remove(self) -> None:
        """Take off what was added; a second time does nothing."""
        bus, listeners, callbacks = self._bus(), self._listeners, self._callbacks
        self._listeners, self._callbacks = (), ()
        if bus is not None:
            bus._drop(listeners)
            for callback in callbacks:
                if all(one in listeners for one in bus._of(callback)):  # not where it was added anew since
                    bus.remove(callback)

    def __enter__(self) -> Handle:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()


class BatchCalls:
    """What the two events of one kind of batch call now: slots, which cost less to read than a dictionary's values."""

    __slots__ = ("begin", "end")

    def __init__(self) -> None:
        self.begin: Dispatcher | None = None
        self.end: Dispatcher | None = None


class EventBus:
    """Callbacks and functions on one side, events on the other.

    It is useful alone::

        bus = EventBus()
        bus.on("epoch_end")(lambda epoch, logs: print(epoch, logs["loss"]))
        bus.emit("epoch_end", epoch=0, logs={"loss": 0.5})

    Args:
        run: what hooks receive as ``run``; without one, a hook that asks for it is refused.
        progress: the counts that filters read.
    """

    def __init__(self, run: Run | None = None, progress: Progress | None = None) -> None:
        self.run, self.progress = run, progress
        self.events: dict[str, Event] = dict(EVENTS)
        self.calls: dict[str, Dispatcher | None] = dict.fromkeys(self.events)
        """For each event the function to call with its arguments, in order; None when nobody listens."""
        self.batch_calls: Final = {name: BatchCalls() for name in SCOPES if name.endswith("_batch")}
        """The same for the events of batches, by the name of their scope, as ``"train_batch"``."""
        self._listeners: dict[str, list[Listener]] = {}
        self._owners: dict[int, tuple[Callback, tuple[Listener, ...]]] = {}  # by id: a callback need not be hashable
        self._offered: dict[str, Callable[[str], object]] = {}
        self._warned: dict[int, object] = {}  # by id, with the object, so that no other gets that id
        self.admit: Callable[[Listener], None] = self._admit
        """Asked about each listener before it is registered; raises to refuse it."""
        self.vet: Callable[[Callback], None] = Callback.check_needs
        """Asked about each callback before it is registered; raises to refuse it."""
        self.joined: Callable[[Callback], None] = _nothing
        """Told of each callback after it was registered."""
        self.failed: Callable[[object, str, Exception, str], bool] = lambda *told: False
        """Told of an exception that did not end training, with the callback or listener, how messages call it, and what
        became of it; says whether it has told the user."""
        self.timings: Timings | None = None
        """What times the listeners of a run."""
        self.changes = 0
        """How often the listeners of an event have changed."""
        self._timed: dict[str, tuple[Dispatcher | None, list[Spent]]] = {}
        self.escaped: Exception | None = None
        """What a listener raised, last, out of an event that a callback fired: it is not that callback's own."""

    @property
    def callbacks(self) -> tuple[Callback, ...]:
        """The callbacks, as they were added; those that plugins attached among them."""
        return tuple(callback.itself for callback, _ in self._owners.values())

    @property
    def attached(self) -> tuple[Callback, ...]:
        """The same, but for those that plugins attached what stands for them."""
        return tuple(callback for callback, _ in self._owners.values())

    def declare(self, event: Event, *, offered: Callable[[str], object] | None = None) -> None:
        """Add an event of one's own, validated and dispatched like ours.

        Args:
            event: its name, arguments and meaning.
            offered: by a plugin: told why, where who uses the bus declares one of that name, whose word then holds.

        Raises:
            ValueError: its name or one of its arguments is no name that Python and a hook can use, or the name is
                taken by an event with other arguments.
        """
        if not isinstance(event.args, tuple) or len(set(event.args)) < len(event.args):
            raise ValueError(f"declare({event.name!r}): args={event.args!r} is no tuple of distinct names")
        if refused := [name for name in (event.name, *event.args) if not _is_free(name)] or (
            [event.name] if event.name in _RESERVED else []
        ):
            raise ValueError(
                f"declare({event.name!r}): {errors.listing(refused)} cannot be used. The names of an event and of its "
                "arguments are identifiers, without a leading underscore, and not 'run'; nor is an event called "
                f"{errors.listing(_RESERVED)}."
            )
        reject = self._offered.get(event.name) if offered is None else None
        if reject is not None and self.events[event.name].args != event.args and not self.listens(event.name):
            reject(f"a run declares an event {event.name!r} of its own, with {errors.listing(event.args)}")
            del self.events[event.name], self._offered[event.name]
        known = self.events.setdefault(event.name, event)
        if known.args != event.args:
            raise ValueError(
                f"declare({event.name!r}): there is an event of that name, with the arguments "
                f"{errors.listing(known.args)} and not {errors.listing(event.args)}. Give yours another name."
            )
        self.calls.setdefault(event.name, None)
        if offered is not None:
            self._offered.setdefault(event.name, offered)

    def add(self, *callbacks: Callback) -> Handle:
        """Register callbacks, all of them or none.

        Raises:
            RegistrationError: one is no callback, has an unknown hook or argument, or was added before.
        """
        made: dict[int, tuple[Callback, tuple[Listener, ...]]] = {}
        for callback in callbacks:
            if not isinstance(callback, Callback):
                raise errors.not_a_callback(callback)
            self.vet(callback)
            if id(callback) in self._owners or id(callback) in made:
                raise errors.added_twice(type(callback).__name__)
            listeners = tuple(callback.listeners(self.events))
            for listener in listeners:
                self.admit(listener)
            made[id(callback)] = callback, listeners
        self._owners |= made
        added = tuple(one for _, listeners in made.values() for one in listeners)
        self._insert(added)
        for callback in callbacks:
            self.joined(callback)
        return Handle(self, added, callbacks)

    def remove(self, callback: Callback) -> None:
        """Take a callback off, its ``teardown`` too, and let it go; one that is not here is left alone."""
        callback = next((one for one in self.attached if one.itself is callback), callback)
        if id(callback) in self._owners:
            self._drop(self._of(callback))
            del self._owners[id(callback)]
            if callback.run is not None and callback.run is self.run:
                callback.run = None  # it may serve another run

    def on(
        self, event: str, *filters: Filter, phase: Phase = "observe", on_error: ErrorPolicy = "raise"
    ) -> Callable[[Callable[..., Any]], Handle]:
        """Register a function: ``bus.on("epoch_end", every(epochs=5))(function)``, or as a decorator.

        What it gives back is the handle that takes the function off again.

        Raises:
            UnknownEventError: there is no such event.
            RegistrationError: a filter is none, or the function takes an argument that the event has not.
        """
        found = resolve(event, "on", self.events)
        for one in filters:
            if not isinstance(one, Filter):  # now: on("epoch_end", function) would wait for a second call for ever
                raise errors.not_a_filter(f"on({event!r})", one)

        def register(call: Callable[..., Any]) -> Handle:
            who = getattr(call, "__qualname__", type(call).__qualname__)
            listener = Listener(found, call, who, filters=filters, phase=phase, on_error=on_error)
            self.admit(listener)
            self._insert([listener])
            return Handle(self, (listener,))

        return register

    def emit(self, event: str, /, **arguments: Any) -> None:
        """Call every listener of ``event``, in order, with the arguments that it asks for.

        Raises:
            UnknownEventError: there is no such event.
            TypeError: an argument of the event is not given, or is none of its.
        """
        found = resolve(event, "emit", self.events)
        missing = [name for name in found.args if name not in arguments]
        unknown = [name for name in arguments if name not in found.args]
        if missing or unknown:
            raise errors.emit_arguments(event, missing, unknown, found.args)
        call = self.calls[found.name]
        if call is not None:
            try:
                call(*(arguments[name] for name in found.args))
            except Exception as error:
                self.escaped = error
                raise

    def listens(self, event: str) -> bool:
        """Whether anybody listens to ``event``."""
        return bool(self._listeners.get(resolve(event, "listens", self.events).name))

    def order(self, event: str) -> list[str]:
        """Who is called at ``event``, in that order."""
        return [listener.who for listener in self._ordered(resolve(event, "order", self.events))]

    def source(self, event: str) -> str:
        """The text of the function that ``event`` calls."""
        found = resolve(event, "source", self.events)
        return source(found, [one.form for one in self._ordered(found)], timed=self._is_timed(found))

    def timed(self, event: str) -> tuple[Dispatcher | None, list[Spent]]:
        """The function that calls the listeners of ``event`` and times them, and where their times are added up."""
        found = self._timed.get(event)
        if found is None:
            listeners = self._ordered(self.events[event])
            timings = self.timings
            assert timings is not None
            call = self._compiled(self.events[event], timings)
            found = self._timed[event] = (call, [timings.of(one) for one in listeners])
        return found

    def guarded(
        self, event: str, *arguments: Any, raised: list[tuple[Listener, BaseException]] | None = None
    ) -> list[tuple[Listener, BaseException]]:
        """Call every listener of ``event`` whatever another raised; returns what was raised, and by whom.

        Args:
            event: its name.
            arguments: its arguments, in order.
            raised: the list to put that into, for who must know of it while later listeners are called.
        """
        found = self.events[event]
        raised = [] if raised is None else raised
        for listener in self._ordered(found):
            try:
                interpret(found, [listener], self.run, self.progress, self.report)(*arguments)
            except BaseException as error:  # handed back, Ctrl-C too: the other listeners must still be reached
                raised.append((listener, error))
        return raised

    def gate_states(self, callback: Callback) -> dict[str, list[Any]]:
        """What the filters of a callback's hooks remember, by hook."""
        return {
            one.who.rpartition(".")[2]: [
                [made.kind, gate.state()] for made, gate in zip(one.filters, one.gates, strict=True)
            ]
            for one in self._of(callback)
            if one.gates
        }

    def resume_gates(self) -> None:
        """Have every filter count on from where the run is now, for those whose state was not saved."""
        for listeners in self._listeners.values():
            for one in listeners:
                for gate in one.gates:
                    gate.begin(self.progress)

    def load_gate_states(self, callback: Callback, states: dict[str, list[Any]]) -> None:
        """Take back what ``gate_states`` gave; a hook that is no longer filtered alike starts anew."""
        for one in self._of(callback):
            saved = states.get(one.who.rpartition(".")[2], [])
            if [kind for kind, _ in saved] == [made.kind for made in one.filters]:
                for gate, (_, state) in zip(one.gates, saved, strict=True):
                    gate.load(state)

    def report(self, listener: Listener, error: Exception) -> None:
        """Carry out ``on_error="warn"`` or ``"disable"``: say it once for each callback or function, and go on."""
        about = listener if listener.owner is None else listener.owner
        mine = self._of(listener.owner) if listener.owner is not None else (listener,)
        self._report(about, mine, listener.who, listener.on_error, error)

    def report_of(self, callback: Callback, verb: str, error: Exception) -> None:
        """The same, where a method of a callback that is no hook raised."""
        self._report(callback, self._of(callback), f"{type(callback).__name__}.{verb}", callback.on_error, error)

    def _report(
        self, about: object, mine: Iterable[Listener], who: str, on_error: ErrorPolicy, error: Exception
    ) -> None:
        if error is self.escaped:
            raise error
        if id(about) not in self._warned:
            self._warned[id(about)] = about
            then = "it is disabled for the rest of the run" if on_error == "disable" else "training goes on"
            if not self.failed(about, who, error, then):
                warnings.warn(f"{who} raised {errors.said(error)} ({then})", RuntimeWarning, stacklevel=4)
        if on_error == "disable":
            self._drop([one for one in mine if one.event.name not in _GUARDED])

    def _of(self, callback: Callback) -> tuple[Listener, ...]:
        return self._owners.get(id(callback), (callback, ()))[1]

    def _admit(self, listener: Listener) -> None:
        if self.run is None and "run" in listener.takes:
            raise errors.needs_a_run(listener.who, listener.event.name)
        for one in listener.filters:
            if "run" in one.needs and (self.run is None or self.progress is None):
                raise errors.needs_a_run(listener.who, listener.event.name, f"it has {one}, which reads a run's counts")

    def _ordered(self, event: Event) -> list[Listener]:
        return sorted(self._listeners.get(event.name, ()), key=lambda one: PHASES.index(one.phase))

    def _insert(self, listeners: Iterable[Listener]) -> None:
        for listener in listeners:
            for gate in listener.gates:
                gate.begin(self.progress)
            self._listeners.setdefault(listener.event.name, []).append(listener)
            self._stale(listener.event)

    def _drop(self, listeners: Iterable[Listener]) -> None:
        for listener in listeners:
            here = self._listeners.get(listener.event.name, [])
            if listener in here:
                here.remove(listener)
                self._stale(listener.event)

    def _stale(self, event: Event) -> None:
        """Have the next emit compile anew; one that is under way goes on with the listeners that it began with."""
        self._timed.pop(event.name, None)
        self.changes += 1
        if not self._listeners[event.name]:
            self._call(event, None)
            return

        def compile_first(*arguments: Any) -> None:
            call = self._compiled(event, self.timings if self._is_timed(event) else None)
            self._call(event, call)
            if call is not None:
                call(*arguments)

        self._call(event, compile_first)

    def _compiled(self, event: Event, timings: Timings | None) -> Dispatcher | None:
        return compile_listeners(event, self._ordered(event), self.run, self.progress, self.report, timings)

    def _is_timed(self, event: Event) -> bool:
        return self.timings is not None and event.name in _TIMED

    def _call(self, event: Event, call: Dispatcher | None) -> None:
        self.calls[event.name] = call
        scope, _, edge = event.name.rpartition("_")
        if scope in self.batch_calls:
            setattr(self.batch_calls[scope], edge, call)


def _nothing(*told: object) -> None:
    pass


def _is_free(name: object) -> bool:
    """Whether a hook can take it as an argument, and the dispatcher has no such name of its own."""
    import unicodedata  # here, so that `import trainhooks` stays cheap

    text = name if isinstance(name, str) else ""
    if unicodedata.normalize("NFKC", text) != text:  # Python would write it otherwise in the dispatcher
        return False
    return text.isidentifier() and not (keyword.iskeyword(text) or text.startswith("_") or text == "run")
