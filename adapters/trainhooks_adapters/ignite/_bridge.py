"""Bridge: callbacks on an engine, and WrappedEngine: an engine whose ``run`` carries them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import trainhooks
from trainhooks import errors
from trainhooks_adapters.torch import RunState

from ._translation import Translation


class Bridge(Translation):
    """Callbacks for an engine: ``attach`` puts them on, ``remove`` takes them off; good for many runs.

    Attributes:
        run: the run of the last or running training; None before the first.
    """

    _engine: Any = None
    _started_handle: Any = None

    def attach(self, engine: Any) -> Bridge:
        """Have the callbacks hear of every run of ``engine``; returns itself.

        Raises:
            LoopError: it is on an engine already.
        """
        from ignite.engine import Events

        if self._started_handle is not None:
            raise errors.LoopError("this bridge is on an engine already: remove() it there, or make another one")
        self._engine = engine
        self._started_handle = engine.add_event_handler(Events.STARTED, self._started)
        return self

    def remove(self) -> None:
        """Take it off its engine; a run that is open there ends."""
        handle, self._started_handle = self._started_handle, None
        if handle is not None:
            handle.remove()
        self.bury()

    def __enter__(self) -> Bridge:
        return self

    def __exit__(self, *raised: object) -> None:
        self.remove()

    def state_dict(self) -> dict[str, Any]:
        """What Ignite's ``Checkpoint({..., "callbacks": bridge})`` keeps: the run, without model and optimizer.

        Made while EPOCH_COMPLETED is handled, the epoch ends here, for what the callbacks decide to be in it; of a
        validation that comes later in the same event they do not hear. Name it first: what callbacks write into the
        model at an epoch's end is then in the model's state as well.
        """
        from ignite.engine import Events

        if self.driver is not None and not self._acting and self._engine.last_event_name == Events.EPOCH_COMPLETED:
            if self._testing is not None:
                self._test_completed(self._testing)
            self._epoch_completed(self._engine)
        kept: Any = _Kept(self)
        return {} if self.run is None else RunState(kept).state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Have the next run go on from what ``state_dict`` gave, at the epoch that the engine's own state says."""
        kept: Any = _Kept(self)
        if state:
            RunState(kept).load_state_dict(state)


class _Kept:
    """A bridge's run, as Ignite's checkpoint keeps it and has it go on."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    def state_dict(self) -> dict[str, Any]:
        trainable, run = self._bridge.trainable, self._bridge.run
        assert run is not None
        trainable.without_state = True
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of a state inside an epoch: the engine goes on there by itself
                state = {**run.state_dict(), "at": "train", "inside": None, "epoch_start": None}
            # the optimizer's own state may have been taken before the epoch ended here
            return {**state, "lrs": run.lrs if run.can("read_lr") else None}
        finally:
            trainable.without_state = False

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._bridge.resume = state


class WrappedEngine(trainhooks.Wrapped):
    """An engine whose ``run`` carries callbacks; all else is the engine's own.

    Attributes:
        callbacks: what ``Checkpoint({"trainer": engine, "callbacks": wrapped.callbacks, ...})`` keeps.
        last_run: the ``trainhooks.Run`` of the last ``run`` or ``evaluate``; None before the first.
    """

    __slots__ = ()

    @property
    def callbacks(self) -> Bridge:
        return self._bridge  # type: ignore[no-any-return]

    @property
    def last_run(self) -> trainhooks.Run | None:
        return self._bridge.run  # type: ignore[no-any-return]

    def run(self, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]  # the engine's own name
        """``engine.run`` with the callbacks, which gives the engine's state; exception and teardown are certain."""
        bridge, engine = self._bridge, self._target
        if not bridge.interrupted:
            bridge.attach(engine)
        before, bridge.interrupted = bridge.run, False
        try:
            state = engine.run(*args, **kwargs)
            if state is None and bridge.run is before:
                # ignite 0.5: the first run() after one that raised does nothing, and gives None
                state = engine.run(*args, **kwargs)
        except BaseException as error:  # raised on
            bridge.over(error)
            raise
        finally:
            if not bridge.interrupted:
                bridge.remove()
        return state

    def evaluate(self, *args: Any, name: str = "val", **kwargs: Any) -> Any:
        """``evaluator.run`` with the callbacks, as a run of its own; inside another run it is no part of that.

        Args:
            args, kwargs: of ``evaluator.run``.
            name: which of the evaluators, where several were given.

        Raises:
            LoopError: there is none of that name, or a run of these callbacks is open.
        """
        bridge = self._bridge
        if name not in bridge.evaluators:
            raise errors.LoopError(
                f"evaluate(name={name!r}): wrap(engine, evaluator=...) was given {errors.listing(bridge.evaluators)}"
            )
        if bridge.driver is not None:
            raise errors.LoopError("evaluate(): a run of these callbacks is open: evaluate by evaluator.run() in it")
        evaluator = bridge.evaluators[name]
        try:
            bridge.begin().setup(ask=False)
            bridge.listen_to(evaluator, name)
            state = evaluator.run(*args, **kwargs)
        except BaseException as error:  # raised on
            bridge.over(error)
            raise
        bridge.over()
        return state
