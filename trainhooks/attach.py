"""Attach callbacks to a run: what they need is asked here, not at epoch 57."""

from __future__ import annotations

from collections.abc import Sequence

from . import errors
from .bus import EventBus, Handle
from .callback import Callback, keyed
from .dispatch import Listener
from .events import EVENTS
from .run import Run


def attach(bus: EventBus, run: Run, callbacks: Sequence[Callback], *, running: bool) -> Handle:
    """Register callbacks with a run's bus, all or none; they see the run from its beginning, or now if it is running.

    Raises:
        RegistrationError: one is no callback, or has an unknown hook, argument, need or setting.
        CapabilityError: one needs what the trainer lacks.
        LoopError: one is attached to another run that is open.
    """
    for callback in callbacks:
        if not isinstance(callback, Callback):
            raise errors.not_a_callback(callback)
        callback.check_needs()
        for need in {callback.requires} if isinstance(callback.requires, str) else callback.requires:
            run.need(need, type(callback).__name__)
        if callback.run is not None and callback.run is not run:
            raise errors.already_attached(type(callback).__name__)
    here = [one for one in callbacks if one.ranks == "all" or run.world.is_main]
    handle = bus.add(*here)
    if running:
        for callback in here:
            callback.run = run
    return handle


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
    keys = {id(callback): key for key, callback in keyed(bus.callbacks).items()}
    return keys.get(id(source), type(source).__name__)
