"""Listener, and the compiler that turns an event's listeners into one plain function: the hot path.

Here speed may cost beauty, and nowhere else. Registration does the thinking, a call does none: the names that a hook
takes are read once, ``run`` is bound once, and for ``train_batch_end`` with two callbacks, the second with a filter,
this is what runs (``bus.source("train_batch_end")`` shows the real one)::

    def train_batch_end(batch, logs):
        _h0(batch, logs)
        if _progress.step >= _g1_0.next:
            _g1_0.fired(_progress)
            _h1(run)

All names but ``run`` and the event's own begin with ``_``, as no argument of an event does. The source is registered
with ``linecache``, so that tracebacks and debuggers show its lines. A lone hook that takes just the event's arguments,
and may raise, is used as it stands. ``interpret`` is the plain twin of the compiler, and a property test holds the two
together.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import linecache
import weakref
from collections.abc import Callable, Sequence
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from . import errors
from .events import Event
from .filters import MARK, Filter
from .gates import Gate

if TYPE_CHECKING:
    from .callback import Callback
    from .progress import Progress
    from .run import Run
    from .timings import Timings

Phase = Literal["observe", "decide", "report", "save"]
ErrorPolicy = Literal["raise", "warn", "disable"]

PHASES: Final = ("observe", "decide", "report", "save")
ERROR_POLICIES: Final = ("raise", "warn", "disable")

OnError = Callable[["Listener", Exception], None]
Dispatcher = Callable[..., None]

_numbers = itertools.count()
_ODD: Final = (
    inspect.CO_VARARGS
    | inspect.CO_VARKEYWORDS
    | inspect.CO_GENERATOR
    | inspect.CO_COROUTINE
    | inspect.CO_ITERABLE_COROUTINE
    | inspect.CO_ASYNC_GENERATOR
)
"""The flags of a function that cannot be a hook."""


class Form(NamedTuple):
    """What the text of a dispatcher hangs on, of one listener: equal for those of two objects of a class.

    Attributes:
        takes: the names that its hook takes, in order.
        by_keyword: those of them that go by keyword.
        is_guarded: an exception in it does not end the event.
        gates: for each filter the text of its condition, and whether it remembers.
    """

    takes: tuple[str, ...]
    by_keyword: frozenset[str]
    is_guarded: bool
    gates: tuple[tuple[str, bool], ...]


class Listener:
    """One hook registered for one event.

    Args:
        event: what it listens to.
        call: the function; it takes any of the event's arguments, and ``run``, by name.
        who: how messages call it, as ``EarlyStopping.on_epoch_end``.
        filters: all must be due.
        phase: its place in the order of an event.
        on_error: what an exception in it does.
        owner: the callback whose method it is.

    Raises:
        RegistrationError: it cannot be called with what the event offers.
    """

    __slots__ = (
        "by_keyword",
        "call",
        "event",
        "filters",
        "form",
        "gates",
        "on_error",
        "owner",
        "phase",
        "takes",
        "who",
    )

    def __init__(
        self,
        event: Event,
        call: Callable[..., Any],
        who: str,
        *,
        filters: Sequence[Filter] = (),
        phase: Phase = "observe",
        on_error: ErrorPolicy = "raise",
        owner: Callback | None = None,
    ) -> None:
        if phase not in PHASES:
            raise errors.unknown_setting(who, "phase", phase, PHASES)
        if on_error not in ERROR_POLICIES:
            raise errors.unknown_setting(who, "on_error", on_error, ERROR_POLICIES)
        for one in filters:
            if not isinstance(one, Filter):
                raise errors.not_a_filter(who, one)
        self.event, self.call, self.who, self.owner = event, call, who, owner
        self.phase, self.on_error = phase, on_error
        self.filters: tuple[Filter, ...] = (*getattr(call, MARK, ()), *filters)
        self.gates: tuple[Gate, ...] = tuple(one.gate() for one in self.filters)
        self.takes, self.by_keyword = _signature(event, call, who)
        gates = tuple((gate.source, gate.remembers) for gate in self.gates)
        self.form = Form(self.takes, self.by_keyword, on_error != "raise", gates)

    def when_due(self, *filters: Filter) -> Listener:
        """The same hook with these filters as well."""
        return self._again(self.who, self.on_error, self.owner, *filters)

    def owned_by(self, owner: Callback, who: str, on_error: ErrorPolicy) -> Listener:
        """The same hook as another callback's."""
        return self._again(who, on_error, owner)

    def _again(self, who: str, on_error: ErrorPolicy, owner: Callback | None, *filters: Filter) -> Listener:
        own = self.filters[len(getattr(self.call, MARK, ())) :]  # the others are read off the function again
        return Listener(
            self.event, self.call, who, filters=(*own, *filters), phase=self.phase, on_error=on_error, owner=owner
        )

    @property
    def needs(self) -> frozenset[str]:
        """The capabilities that its filters rely on; ``"run"`` stands for a run's own counts."""
        return frozenset().union(*(one.needs for one in self.filters), {"run"} if "run" in self.takes else ())

    @property
    def is_plain(self) -> bool:
        """Whether it can be called with the event's arguments just as they come."""
        return self.takes == self.event.args and not (self.by_keyword or self.gates) and self.on_error == "raise"

    def __repr__(self) -> str:
        return f"<Listener {self.who}>"


def _signature(event: Event, call: Callable[..., Any], who: str) -> tuple[tuple[str, ...], frozenset[str]]:
    """The names that ``call`` takes, in order, and those of them that go by keyword."""
    if not callable(call):
        raise errors.not_callable(who, event.name)
    function = getattr(call, "__func__", None)
    if type(function) is FunctionType and function.__dict__.keys() <= {MARK}:  # a plain method: read off its code
        own, first = function.__code__, function.__code__.co_argcount
        takes = own.co_varnames[1 : first + own.co_kwonlyargcount]
        if first and not own.co_flags & _ODD and set(takes) <= set(event.offers):  # what is odd is told of below
            return takes, frozenset(own.co_varnames[first : first + own.co_kwonlyargcount])
    for code in (call, getattr(call, "__call__", None)):  # noqa: B004  # an object's own is what would be called
        if inspect.iscoroutinefunction(code) or inspect.isasyncgenfunction(code):
            raise errors.coroutine_hook(who, event.name)
        if inspect.isgeneratorfunction(code):
            raise errors.generator_hook(who, event.name)
    try:
        parameters = inspect.signature(call).parameters.values()
    except (ValueError, TypeError):
        raise errors.no_signature(who, event.name, event.offers) from None
    bound = call.keywords if isinstance(call, functools.partial) else {}
    taken, by_keyword = [], set()
    for parameter in parameters:
        if parameter.name in bound:
            continue
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            stars = "*" if parameter.kind is parameter.VAR_POSITIONAL else "**"
            raise errors.starred_argument(who, event.name, stars + parameter.name, event.offers)
        if parameter.name not in event.offers:
            raise errors.unknown_argument(who, event.name, parameter.name, event.offers)
        taken.append(parameter.name)
        if parameter.kind is parameter.KEYWORD_ONLY:
            by_keyword.add(parameter.name)
    return tuple(taken), frozenset(by_keyword)


def source(event: Event, forms: Sequence[Form], *, timed: bool = False) -> str:
    """The text of the dispatcher for listeners of these forms, in this order.

    Args:
        event: that they listen to.
        forms: of each listener.
        timed: whether it adds up what each of them takes.
    """
    lines = [f"def {event.name}({', '.join(event.args)}):"]
    if timed:
        lines.append("    _then = _clock()")
    for number, form in enumerate(forms):
        pad = "    "
        if form.is_guarded:
            lines.append(f"{pad}try:")
            pad += "    "
        for which, (text, _) in enumerate(form.gates):
            lines.append(f"{pad}if {text.format(g=f'_g{number}_{which}')}:")
            pad += "    "
        for which, (_, remembers) in enumerate(form.gates):
            if remembers:
                lines.append(f"{pad}_g{number}_{which}.fired(_progress)")
        passed = ", ".join(f"{name}={name}" if name in form.by_keyword else name for name in form.takes)
        lines.append(f"{pad}_h{number}({passed})")
        if form.is_guarded:
            lines += ["    except _Exception as _error:", f"        _on_error(_l{number}, _error)"]
        if timed:
            lines += ["    _now = _clock()", f"    _s{number}.seconds += _now - _then", f"    _s{number}.times += 1"]
            lines += ["    _then = _now"]
    return "\n".join(lines) + "\n"


def compile_listeners(
    event: Event,
    listeners: Sequence[Listener],
    run: Run | None,
    progress: Progress | None,
    on_error: OnError,
    timings: Timings | None = None,
) -> Dispatcher | None:
    """One function of the event's arguments that calls all of ``listeners``; None when there are none.

    Args:
        event: that they listen to.
        listeners: in the order in which they are called.
        run, progress: bound in it.
        on_error: told of the exceptions that are not to be raised.
        timings: adds up what each of them takes; None where that is not asked for.
    """
    if not listeners:
        return None
    if len(listeners) == 1 and listeners[0].is_plain and timings is None:
        return listeners[0].call
    code = _code(event, tuple(listener.form for listener in listeners), timings is not None)
    names: dict[str, Any] = {"run": run, "_progress": progress, "_on_error": on_error, "_Exception": Exception}
    for number, listener in enumerate(listeners):
        names[f"_h{number}"] = listener.call
        names[f"_l{number}"] = listener
        for which, gate in enumerate(listener.gates):
            names[f"_g{number}_{which}"] = gate
    if timings is not None:
        names["_clock"] = timings.clock
        names |= {f"_s{number}": timings.of(listener) for number, listener in enumerate(listeners)}
    names["_lines"] = code  # keeps them, see there
    return FunctionType(code.replace(), names)  # a copy: Python keeps with the code what it learns of the names


@functools.lru_cache(maxsize=128)
def _code(event: Event, forms: tuple[Form, ...], timed: bool) -> CodeType:
    """A dispatcher's code, kept since the listeners of one run have the form of the last one's; and its lines with it.

    Without a cycle through its globals a dispatcher goes when its last user goes.
    """
    text = source(event, forms, timed=timed)
    filename = f"<trainhooks {event.name} {next(_numbers)}>"
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    scope: dict[str, Any] = {}
    exec(compile(text, filename, "exec"), scope)  # the text holds names of ours alone, never a user's
    made: FunctionType = scope.pop(event.name)
    weakref.finalize(made.__code__, linecache.cache.pop, filename, None).atexit = False
    return made.__code__


def interpret(
    event: Event, listeners: Sequence[Listener], run: Run | None, progress: Progress | None, on_error: OnError
) -> Dispatcher:
    """What ``compile_listeners`` compiles, written plainly."""

    def dispatch(*args: Any) -> None:
        offered = {**dict(zip(event.args, args, strict=True)), "run": run}
        for listener in listeners:
            try:
                if all(gate.due(progress, run) for gate in listener.gates):  # type: ignore[arg-type]
                    for gate in listener.gates:
                        gate.fired(progress)  # type: ignore[arg-type]
                    positional = [offered[name] for name in listener.takes if name not in listener.by_keyword]
                    listener.call(*positional, **{name: offered[name] for name in listener.by_keyword})
            except Exception as error:
                if listener.on_error == "raise":
                    raise
                on_error(listener, error)

    return dispatch
