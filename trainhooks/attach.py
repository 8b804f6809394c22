"""Attach callbacks to a run: what they need is asked here, not at epoch 57."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable

from . import errors
from .bus import EventBus
from .callback import Callback, keyed, needs_of
from .dispatch import Listener
from .events import EVENTS
from .guests import Guest, guest
from .offers import OfferedCallback, OfferedEvent
from .run import Run


def vet(run: Run, callback: Callback) -> None:
    """Refuse a callback that this run cannot have.

    Raises:
        RegistrationError: it is no callback, or has an unknown need or setting.
        CapabilityError: it needs what the trainer lacks.
        LoopError: it is attached to another run that is open.
    """
    if not isinstance(callback, Callback):
        raise errors.not_a_callback(callback)
    callback.check_needs()
    for need in sorted(needs_of(callback)):
        run.need(need, type(callback).__name__)
    if callback.run is not None and callback.run is not run:
        raise errors.already_attached(type(callback).__name__)


def admit(run: Run, listener: Listener) -> None:
    """Refuse a listener whose event or filters the trainer cannot serve.

    Raises:
        CapabilityError: it says what to change.
    """
    for need in sorted(listener.needs - {"run"}):
        run.need(need, listener.who)
    if listener.event.name in EVENTS:
        run.need(listener.event.name, listener.who)


def name_of(bus: EventBus, source: Callback | str | None) -> str | None:
    """What a callback that asks for something is called: the key of its state."""
    if source is None or isinstance(source, str):
        return source
    keys = {id(one.itself): key for key, one in keyed(bus.attached).items()}
    return keys.get(id(source), type(source).__name__)


def declare(bus: EventBus, offered: Iterable[OfferedEvent]) -> None:
    """Declare the events that plugins offer; one that cannot be is reported, and left out."""
    for one in offered:
        try:
            bus.declare(one.event, offered=functools.partial(one.failed, "trainhooks_events"))
        except ValueError as error:
            one.failed("trainhooks_events", error)


def let_in(offered: Iterable[OfferedCallback], add: Callable[[Callback], object]) -> None:
    """Attach the callbacks that plugins offer; one that cannot be attached is reported, and left out."""
    for one in offered:
        try:
            add(guest(one))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever a stranger's callback raises: the run goes on without it
            one.failed("trainhooks_attach", error)


def tell_host(about: object, who: str, error: Exception, then: str) -> bool:
    """Whether it was a guest's: of that its plugin is told, who tells the user, once for all runs."""
    if not isinstance(about, Guest):
        return False
    about.failed(who.removeprefix(f"{about.label}: "), error, then=then)
    return True
