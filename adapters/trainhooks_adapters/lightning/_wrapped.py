"""WrappedTrainer: a Lightning Trainer whose entry points carry callbacks."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

import trainhooks

from ._bridge import imported


class WrappedTrainer(trainhooks.Wrapped):
    """A Trainer whose ``fit``, ``validate``, ``test`` and ``predict`` carry callbacks; all else is the Trainer's own.

    Attributes:
        run: the run of the last of these four; None before the first.
    """

    __slots__ = ()

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        """``trainer.fit`` with the callbacks; what is raised comes out as it is, KeyboardInterrupt too."""
        return self._carry("fit", args, kwargs)

    def validate(self, *args: Any, **kwargs: Any) -> Any:
        """``trainer.validate`` with the callbacks."""
        return self._carry("validate", args, kwargs)

    def test(self, *args: Any, **kwargs: Any) -> Any:
        """``trainer.test`` with the callbacks."""
        return self._carry("test", args, kwargs)

    def predict(self, *args: Any, **kwargs: Any) -> Any:
        """``trainer.predict`` with the callbacks."""
        return self._carry("predict", args, kwargs)

    def save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        """``trainer.save_checkpoint``; the callbacks' states are in it, also when the fit is over."""
        trainer, bridge = self._target, self._bridge
        with contextlib.nullcontext() if bridge.driver is not None else _among(trainer, bridge):
            trainer.save_checkpoint(*args, **kwargs)

    def _carry(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        bridge, call = self._bridge, getattr(self._target, name)
        if bridge.driver is not None:  # from inside a callback: no part of the run around it
            return call(*args, **kwargs)
        with _among(self._target, bridge), _own_interrupts():
            bridge.interrupt = None
            try:
                result = call(*args, **kwargs)
            except BaseException as error:  # raised on
                bridge.over(error)
                if bridge.interrupt is not None:
                    raise bridge.interrupt from None
                raise
            if bridge.interrupt is not None:  # before lightning 2.5 fit returns as if nothing had been
                raise bridge.interrupt
        return result


@contextlib.contextmanager
def _among(trainer: Any, bridge: Any) -> Iterator[None]:
    """The bridge is the last of Lightning's callbacks, but for those that write its checkpoints."""
    native = trainer.callbacks
    for one in native:
        if isinstance(one, trainhooks.Callback):
            raise TypeError(
                f"trainer.callbacks has {one!r}, which is not Lightning's: give it to wrap(trainer, callbacks=[...])"
            )
        if getattr(one, "state_key", None) == bridge.state_key:
            raise TypeError(
                "this Trainer has a bridge among its callbacks already: wrap it without, or fit it without wrap"
            )
    kinds = tuple(module.callbacks.Checkpoint for module in imported())
    place = next((place for place, one in enumerate(native) if isinstance(one, kinds)), len(native))
    native.insert(place, bridge)
    try:
        yield
    finally:
        trainer.callbacks.remove(bridge)  # it may be another list: those of the module's configure_callbacks() joined


@contextlib.contextmanager
def _own_interrupts() -> Iterator[None]:
    """After a KeyboardInterrupt Lightning leaves Ctrl-C without effect: it is as it was before."""
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        is_ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        if (
            is_ignored
            and before not in (None, signal.SIG_IGN)
            and threading.current_thread() is threading.main_thread()
        ):
            signal.signal(signal.SIGINT, before)
