"""WrappedModel: a Keras model whose entry points carry callbacks."""

from __future__ import annotations

import inspect
from typing import Any

import trainhooks


class WrappedModel(trainhooks.Wrapped):
    """A Keras model whose ``fit``, ``evaluate`` and ``predict`` carry callbacks; all else is the model's own.

    Attributes:
        run: the run of the last ``fit``, ``evaluate`` or ``predict``; None before the first.
    """

    __slots__ = ()

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        """``model.fit`` with the callbacks; exception and teardown are certain."""
        named = _by_name(self._target, "fit", args, kwargs)
        self._bridge.initial_epoch, self._bridge.data = named.get("initial_epoch"), named.get("x")
        try:
            return self._carry("fit", named)
        finally:
            self._bridge.initial_epoch = self._bridge.data = None

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """``model.evaluate`` with the callbacks."""
        return self._carry("evaluate", _by_name(self._target, "evaluate", args, kwargs))

    def predict(self, *args: Any, **kwargs: Any) -> Any:
        """``model.predict`` with the callbacks."""
        return self._carry("predict", _by_name(self._target, "predict", args, kwargs))

    def _carry(self, name: str, named: dict[str, Any]) -> Any:
        call = getattr(self._target, name)
        if self._bridge.driver is not None:  # from inside a callback: no part of the run around it
            return call(**named)
        named["callbacks"] = _joined(named.get("callbacks"), self._bridge)
        try:
            result = call(**named)
        except BaseException as error:  # raised on
            self._bridge.over(error)
            raise
        self._bridge.bury()  # a fit of the model's own may have kept an exception to itself
        return result

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._target(*args, **kwargs)


def _by_name(model: Any, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a call of ``method``, all by name; a subclass may take some as ``*args`` and pass them on."""
    own = inspect.signature(getattr(model, method))
    own.bind(*args, **kwargs)  # raises what the call itself would
    names = list(own.parameters)
    if "callbacks" not in names:
        import keras

        names = list(inspect.signature(getattr(keras.Model, method)).parameters)[1:]
    return dict(zip(names, args, strict=False)) | kwargs


def _joined(given: Any, bridge: Any) -> list[Any]:
    """Keras's own callbacks, then the bridge; what only looks (History and the progress bar) comes after it.

    A ``CallbackList`` is taken apart: made without the bridge, it would call it from other threads.
    """
    import keras

    given = getattr(given, "callbacks", given)
    if given is None:
        given = ()
    native = list(given) if isinstance(given, (list, tuple)) else [given]
    for one in native:
        if isinstance(one, trainhooks.Callback):
            raise TypeError(
                f"fit(callbacks=[{one!r}]): it is no Keras callback; give it to wrap(model, callbacks=[...])"
            )
    last = (keras.callbacks.History, keras.callbacks.ProgbarLogger)
    return [
        *(one for one in native if not isinstance(one, last)),
        bridge,
        *(one for one in native if isinstance(one, last)),
    ]
