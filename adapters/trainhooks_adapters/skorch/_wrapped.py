"""WrappedNet: a skorch net whose ``fit`` and ``partial_fit`` carry callbacks."""

from __future__ import annotations

from typing import Any

import trainhooks

from ._carrier import put_on, take_off


class WrappedNet(trainhooks.Wrapped):
    """A skorch net whose ``fit`` and ``partial_fit`` carry callbacks; all else is the net's own.

    Attributes:
        run: the run of the last fit; None before the first.
    """

    __slots__ = ()

    def fit(self, *args: Any, **kwargs: Any) -> WrappedNet:
        """``net.fit`` with the callbacks; returns itself.

        Raises:
            KeyboardInterrupt: the fit was interrupted; skorch's own keeps that to itself.
        """
        return self._carry("fit", args, kwargs)

    def partial_fit(self, *args: Any, **kwargs: Any) -> WrappedNet:
        """``net.partial_fit`` with the callbacks, as ``fit``."""
        return self._carry("partial_fit", args, kwargs)

    def initialize(self) -> WrappedNet:
        """``net.initialize``; returns itself."""
        self._target.initialize()
        return self

    def set_params(self, **params: Any) -> WrappedNet:
        """``net.set_params``; returns itself."""
        self._target.set_params(**params)
        return self

    def __sklearn_clone__(self) -> WrappedNet:
        """A clone of the net, with clones of the callbacks: scikit-learn makes one for each fit of a search."""
        from sklearn.base import clone

        return WrappedNet(clone(self._target), clone(self._bridge))

    def _carry(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> WrappedNet:
        net, bridge = self._target, self._bridge
        for one in net.callbacks or ():
            own = one[1] if isinstance(one, (tuple, list)) else one
            if isinstance(own, trainhooks.Callback):
                raise TypeError(
                    f"{type(net).__name__}(callbacks=[{own!r}]): it is no callback of skorch's; give it to "
                    "wrap(net, callbacks=[...])"
                )
        if bridge.driver_ is not None:  # from inside a callback: no part of the run around it
            getattr(net, name)(*args, **kwargs)
            return self
        bridge.interrupt_ = None
        put_on(net, bridge)
        try:
            getattr(net, name)(*args, **kwargs)
        finally:
            take_off(net, bridge)
        if bridge.interrupt_ is not None:
            raise bridge.interrupt_
        return self
