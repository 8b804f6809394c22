"""The optimizers of the numpy model: SGD with momentum, and Adam."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float32]]  # numpy.typing takes longer to import than all of trainhooks
Change = Callable[[Mapping[str, Array]], Mapping[str, Array]]
"""What is done to the gradients of a step: it gives those to use in their place."""


def quiet() -> np.errstate:
    """No numpy warnings: a run that diverges shows it in its loss, and need not say it again at every line."""
    return np.errstate(over="ignore", invalid="ignore")


def norm_of(gradients: Mapping[str, Array]) -> float:
    """The L2 norm of all gradients together, summed in float64."""
    return math.sqrt(sum(float(np.square(gradient, dtype=np.float64).sum()) for gradient in gradients.values()))


def clipped(gradients: Mapping[str, Array], norm: float | None, value: float | None) -> Mapping[str, Array]:
    """The gradients with no element beyond ``value``, then scaled down to ``norm``, as PyTorch's functions do it.

    Where their norm is NaN or infinite nothing is scaled.
    """
    if value is not None:
        gradients = {name: np.clip(gradient, -value, value) for name, gradient in gradients.items()}
    if norm is not None:
        total = norm_of(gradients)
        scale = norm / (total + 1e-6)
        if math.isfinite(total) and scale < 1:
            gradients = {name: gradient * np.float32(scale) for name, gradient in gradients.items()}
    return gradients


class Optimizer:
    """What SGD and Adam share: the weights they move, the learning rate, and arrays that remember earlier gradients.

    Args:
        weights: name -> array, changed in place by ``step``.
        lr: learning rate, finite and not negative; ``lr`` may be set at any time.
        slots: names of the memories to keep for each weight; they begin as zeros.

    ``steps`` counts the updates made.
    """

    def __init__(self, weights: dict[str, Array], lr: float, slots: Sequence[str] = ()) -> None:
        self.weights = weights
        self.lr = lr
        self.slots = {f"{slot}/{name}": np.zeros_like(array) for slot in slots for name, array in weights.items()}
        self.steps = 0
        self._watchers: dict[object, Callable[[], None]] = {}
        self._changes: dict[object, Change] = {}

    @property
    def lr(self) -> float:
        return self._lr

    @lr.setter
    def lr(self, lr: float) -> None:
        if not 0 <= lr < math.inf:  # put this way round, NaN is refused too
            raise ValueError(f"{type(self).__name__}: lr={lr!r}; a learning rate is finite and not negative")
        self._lr = float(lr)

    def step(self, gradients: Mapping[str, Array]) -> None:
        """Move the weights once, then tell whoever watches."""
        for change in tuple(self._changes.values()):
            gradients = change(gradients)
        self.steps += 1
        with quiet():
            for name, gradient in gradients.items():
                self.update(name, gradient)
        for call in tuple(self._watchers.values()):
            call()

    def update(self, name: str, gradient: Array) -> None:
        """Move one weight in place: the rule that a subclass gives."""
        raise NotImplementedError

    def watch(self, call: Callable[[], None]) -> Callable[[], None]:
        """Call ``call()`` after each step; the function returned ends that, and may be called twice."""
        return _kept(self._watchers, call)

    def before(self, change: Change) -> Callable[[], None]:
        """Have each step use ``change(gradients)`` in place of its gradients; the function returned ends that."""
        return _kept(self._changes, change)


def _kept(calls: dict[object, Any], call: Any) -> Callable[[], None]:
    """Keep ``call`` until what is returned is called, which may be twice."""
    key = object()  # not the function itself: it may be given twice
    calls[key] = call

    def stop() -> None:
        calls.pop(key, None)

    return stop


class SGD(Optimizer):
    """Gradient descent with torch's momentum: ``v = momentum * v + g; w -= lr * v``.

    Keras folds the learning rate into its velocity instead (``v = momentum * v - lr * g; w += v``): the same path
    while ``lr`` is constant, another after it changes.
    """

    def __init__(self, weights: dict[str, Array], lr: float = 0.01, momentum: float = 0.0) -> None:
        if not 0 <= momentum < 1:
            raise ValueError(f"SGD(momentum={momentum!r}): momentum is inside [0, 1)")
        # without momentum there is no slot: 0 * nan is nan, so one bad gradient would stay for ever
        super().__init__(weights, lr, ["velocity"] if momentum else [])
        self.momentum = momentum

    def update(self, name: str, gradient: Array) -> None:
        if self.momentum:
            velocity = self.slots[f"velocity/{name}"]
            velocity *= self.momentum
            velocity += gradient
            gradient = velocity
        self.weights[name] -= self.lr * gradient


class Adam(Optimizer):
    """Adam (Kingma & Ba 2015) with bias correction: betas 0.9 and 0.999, epsilon 1e-8 (torch's; Keras has 1e-7)."""

    beta1, beta2, epsilon = 0.9, 0.999, 1e-8

    def __init__(self, weights: dict[str, Array], lr: float = 0.001) -> None:
        super().__init__(weights, lr, ["first_moment", "second_moment"])

    def update(self, name: str, gradient: Array) -> None:
        first, second = self.slots[f"first_moment/{name}"], self.slots[f"second_moment/{name}"]
        first *= self.beta1
        first += (1 - self.beta1) * gradient
        second *= self.beta2
        second += (1 - self.beta2) * gradient * gradient
        mean = first / (1 - self.beta1**self.steps)
        spread = np.sqrt(second / (1 - self.beta2**self.steps))
        self.weights[name] -= self.lr * mean / (spread + self.epsilon)
