"""GradientClipping: bound the gradients before each update, and report their norm."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..checks import is_number
from ..logs import Mean
from ._attached import Attached

if TYPE_CHECKING:
    from ..logs import Logs
    from ..run import Run


class GradientClipping(Attached):
    """Clip the gradients just before each real update of the optimizer, and log their norm as ``grad_norm``.

    It takes the place of the line before ``optimizer.step()``, with the same numbers to the bit::

        GradientClipping(norm=1.0)     # torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        GradientClipping(value=0.5)    # torch.nn.utils.clip_grad_value_(model.parameters(), 0.5)

    It works where the loop exposes gradients: PyTorch and the numpy model. Keras clips inside its optimizers, and says
    so. Gradients that are accumulated over several batches are clipped once, at their update. Each of several
    optimizers has its own parameters' gradients clipped by themselves. With a ``GradScaler`` what is clipped are the
    unscaled gradients, those of a fused optimizer too, and a step that the scaler skips is left alone. Gradients that a
    closure computes inside of ``optimizer.step(closure)`` are clipped each time it is called (for LBFGS several times
    an update).

    A norm that is NaN or infinite scales nothing: such gradients are left as they are (``clip_grad_norm_`` would spread
    the NaN to all of them), since what to do then is ``TerminateOnNaN``'s business.

    Args:
        norm: the largest L2 norm of all gradients together, above 0; infinity only measures it.
        value: the largest absolute value of each element, above 0; applied before ``norm``.

    ``grad_norm`` in the logs of an epoch is the mean, over its updates, of the norm before any clipping. It stays on
    its device until it is read.

    Raises:
        ValueError: neither is given, or one is no number above 0.
    """

    requires = {"gradients"}

    def __init__(self, norm: float | None = None, value: float | None = None) -> None:
        if norm is None and value is None:
            raise ValueError("GradientClipping(): give norm=, the largest norm of all gradients together, or value=")
        self.norm, self.value = _bound("norm", norm), _bound("value", value)
        self.reset()

    def attached(self, run: Run) -> Callable[[], None]:
        return run.trainable.clip_gradients(norm=self.norm, value=self.value, report=self._report)

    @property
    def last_norm(self) -> float | None:
        """The L2 norm of the last update's gradients before they were clipped; None before the first."""
        return self._last.value() if isinstance(self._last, Mean) else self._last

    def reset(self) -> None:
        self._last: float | Mean | None = None
        self._mean, self._epoch = Mean(), -1

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        if epoch == self._epoch:
            logs["grad_norm"] = self._mean

    def state_dict(self) -> dict[str, Any]:
        return {"last_norm": self.last_norm, "epoch": self._epoch, "mean": self._mean.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.reset()
        self._last, self._epoch = state["last_norm"], state["epoch"]
        self._mean = Mean.from_state(state["mean"])

    def _report(self, norm: Any) -> None:
        assert self.run is not None
        if self.run.epoch != self._epoch:
            self._mean, self._epoch = Mean(), self.run.epoch
        self._last = self._mean.add(norm)


def _bound(name: str, value: Any) -> float | None:
    if value is None:
        return None
    bound = float(value) if is_number(value) else math.nan
    if not bound > 0:  # put this way round, NaN is refused too
        raise ValueError(f"GradientClipping({name}={value!r}): a number above 0")
    return bound
