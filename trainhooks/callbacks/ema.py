"""EMA: an exponential moving average of the weights."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..checks import count, is_number
from ..errors import LoopError
from ._attached import Attached
from ._snapshots import KeptWeights

if TYPE_CHECKING:
    import numpy as np

    from ..run import Run


class EMA(Attached):
    """Keep an exponential moving average of the weights, on their device: ``decay * average + (1 - decay) * weights``.

    The model itself is not touched. To validate, to save and to end with the averages, add ``SwapEMAWeights``::

        callbacks=[EMA(0.999), SwapEMAWeights(swap_on_epoch=True), ModelCheckpoint("w.safetensors")]

    or take them yourself: ``ema.get_weights()``, or ``run.restore(ema.average)``.

    It is updated after each real update of an optimizer where the trainer shows them (PyTorch, numpy), else after each
    training batch (Keras, where with ``steps_per_execution`` one event stands for several batches). The first update
    begins it with the weights as they are then, as does Keras's ``use_ema=True``, whose numbers it gives; the copy that
    an optimizer of Keras keeps is another one, and needs no ``EMA``. All floating-point weights are averaged, the
    running statistics of a BatchNorm among them; a count, as of batches, is taken over as it is. Weights of half
    precision are averaged in float32, since 0.999 of a bfloat16 would not move; a saved state holds their average in
    the weights' own precision.

    Args:
        decay: weight of the past, in [0, 1); 0.999 looks back about 1000 updates.
        every: average only each so many updates (or batches).
        warm_up: begin with a smaller decay, ``min(decay, (1 + n) / (10 + n))`` after ``n`` averaged updates, as
            TensorFlow's ``ExponentialMovingAverage(num_updates=n)``, so that the first weights are soon forgotten.
        start_from_step: updates (or batches) before this one, counted from 1, are not averaged.

    Attributes:
        steps: updates (or batches) seen.
        updates: how often the average was updated, its beginning included.

    Raises:
        ValueError: ``decay`` is outside [0, 1), or a count is none.
    """

    requires = {"average"}

    def __init__(
        self, decay: float = 0.999, *, every: int = 1, warm_up: bool = False, start_from_step: int = 0
    ) -> None:
        self.decay, self.warm_up = _decay(decay), bool(warm_up)
        self.every = count(every, f"EMA(every={every!r})", 1)
        self.start_from_step = count(start_from_step, f"EMA(start_from_step={start_from_step!r})")
        self._kept = KeptWeights()
        self._by_batch = False
        """Whether a batch stands for an update."""
        self.steps = self.updates = 0

    def attached(self, run: Run) -> Callable[[], object] | None:
        self._by_batch = not run.can("optimizer_step")
        if self._by_batch:
            return None
        # not a hook, which Keras, that lacks this event, would refuse
        return run.on("optimizer_step", phase=self.phase, on_error=self.on_error)(self._step).remove

    @property
    def average(self) -> Any:
        """The average as the framework's own snapshot, for ``run.restore``; None before the first update.

        Later updates may change it in place; ``get_weights()`` gives copies.
        """
        return self._kept.snapshot if self.run is None else self._kept.in_form_of(self.run)

    def get_weights(self) -> dict[str, np.ndarray[Any, Any]]:
        """The average as arrays by name, as ``run.get_weights()`` names them; after the run as well.

        Raises:
            LoopError: nothing has been averaged yet, or the trainer shows no weights.
        """
        weights = self._kept.as_arrays(self.run)
        if weights is None:
            why = "the trainer shows no weights" if self._kept else "nothing has been averaged yet"
            raise LoopError(f"EMA.get_weights(): {why}.")
        return {name: array.copy() for name, array in weights.items()}

    def reset(self) -> None:
        self._kept.forget()
        self.steps = self.updates = 0

    def on_train_batch_end(self, run: Run) -> None:
        if self._by_batch:
            self._step(run)

    def on_teardown(self, run: Run) -> None:
        self._kept.settle(run)

    def state_dict(self) -> dict[str, Any]:
        kept = {"steps": self.steps, "updates": self.updates, "settings": self._settings}
        return kept | {"average": self._kept.state_dict(self.run)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        changed = {name: value for name, value in state["settings"].items() if value != self._settings.get(name)}
        if changed:
            then = ", ".join(f"{name}={value!r}" for name, value in changed.items())
            now = ", ".join(f"{name}={self._settings.get(name)!r}" for name in changed)
            warnings.warn(f"EMA: saved with {then}; the constructor's {now} hold.", stacklevel=2)
        self.steps, self.updates = state["steps"], state["updates"]
        self._kept.load_state_dict(state["average"])

    @property
    def _settings(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("decay", "every", "warm_up", "start_from_step")}

    def _step(self, run: Run) -> None:
        self.steps += 1
        if self.steps < self.start_from_step or self.steps % self.every:
            return
        average = self._kept.in_form_of(run)
        if average is None:  # another framework's is of no use here
            self.updates = 0
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates)) if self.warm_up else self.decay
        self._kept.keep(run.trainable.update_average(average, decay), run.framework)
        self.updates += 1


def _decay(value: Any) -> float:
    decay = float(value) if is_number(value) else math.nan
    if not 0 <= decay < 1:  # put this way round, NaN is refused too
        raise ValueError(f"EMA(decay={value!r}): the weight of the past, in [0, 1)")
    return decay
