"""Carrier: what a net's class is for the length of a fit, so that its loop tells where it is and can be ended.

skorch's callbacks are told of no exception, can end no epoch early, and end a fit by a KeyboardInterrupt alone. So the
net gets a subclass of its own class, which overrides three public methods; it has its own class back when its
``fit_loop`` returns. A copy or a pickle that is made meanwhile is of its own class.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._bridge import Bridge


class NoMoreEpochsError(BaseException):
    """No further epoch is to begin."""


class Carrier:
    """Comes before the net's own class."""

    own: type
    net: weakref.ref[Any]
    bridges: list[Bridge]

    def fit_loop(self, *data: Any, epochs: int | None = None, **rest: Any) -> Any:
        bridges = [
            bridge for bridge in bridges_of(self) if bridge.driver_ is None
        ]  # else it is a fit inside a callback
        fit_loop: Any = super().fit_loop  # type: ignore[misc]
        for bridge in bridges:
            fit_loop = functools.partial(bridge.carry, self, fit_loop)
        try:
            return fit_loop(*data[:2], epochs=data[2] if len(data) > 2 else epochs, **rest)
        finally:
            for bridge in bridges:
                take_off(self, bridge)

    def notify(self, method_name: str, **given: Any) -> None:
        bridges = bridges_of(self)
        if method_name == "on_epoch_begin" and any(bridge.should_stop for bridge in bridges):
            raise NoMoreEpochsError
        super().notify(method_name, **given)  # type: ignore[misc]
        for bridge in bridges:
            bridge.told(self, method_name, given)

    def get_iterator(self, dataset: Any, training: bool = False) -> Any:
        iterator = super().get_iterator(dataset, training=training)  # type: ignore[misc]
        return Ending(iterator, bridges_of(self)) if training else iterator

    def __reduce_ex__(self, protocol: Any) -> Any:
        made = super().__reduce_ex__(protocol)
        # pickle holds copyreg's own function for it to the class that the net has now
        return (object.__new__, (type(self).own,), *made[2:])


class Ending:
    """A net's training batches, which end when no further one is to begin."""

    def __init__(self, loader: Any, bridges: Sequence[Bridge]) -> None:
        self.loader, self.bridges = loader, bridges
        for bridge in bridges:
            bridge.count_batches(loader)

    def __iter__(self) -> Iterator[Any]:
        if any(bridge.ends_epoch for bridge in self.bridges):  # no worker begins, and no random number is drawn
            return
        for batch in self.loader:
            yield batch
            if any(bridge.ends_epoch for bridge in self.bridges):
                return

    def __getattr__(self, name: str) -> Any:
        if name in ("loader", "bridges"):  # copy and pickle ask before there are any
            raise AttributeError(name)
        return getattr(self.loader, name)

    def __len__(self) -> int:
        return len(self.loader)


def bridges_of(net: Any) -> list[Bridge]:
    """What a net carries; a clone that was made meanwhile carries nothing."""
    own = type(net)
    return list(own.bridges) if isinstance(net, Carrier) and own.net() is net else []


def put_on(net: Any, bridge: Bridge) -> None:
    """Have ``net`` carry a bridge as well."""
    if bridge in bridges_of(net):
        return
    own = type(net).own if isinstance(net, Carrier) else type(net)
    body = {"own": own, "net": weakref.ref(net), "bridges": [*bridges_of(net), bridge]}
    net.__class__ = type(own.__name__, (Carrier, own), body | {"__module__": own.__module__, "__doc__": own.__doc__})


def take_off(net: Any, bridge: Bridge) -> None:
    """Have ``net`` carry it no more; with none left it has its own class back."""
    if bridge in bridges_of(net):
        type(net).bridges.remove(bridge)
    if isinstance(net, Carrier) and not bridges_of(net):
        net.__class__ = type(net).own
