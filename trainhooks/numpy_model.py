"""MLP: a multilayer perceptron in numpy, the model that is there when no framework is."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .errors import weights_mismatch
from .numpy_optimizers import SGD, Adam, Array, Optimizer, clipped, norm_of, quiet
from .trainable import Trainable

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["MLP"]


class MLP(Trainable):
    """Dense layers with ReLU between them, trained by backpropagation in float32.

    Args:
        sizes: width of each layer, input first: ``(64, 32, 10)`` has one hidden layer of 32.
        loss: "cross_entropy" (softmax over the outputs, integer labels of shape (n,); metrics ``loss`` and
            ``accuracy``) or "mse" (targets of shape (n, sizes[-1]), mean over all values; metric ``loss``).
        optimizer: "sgd" or "adam".
        lr: learning rate, finite and not negative.
        momentum: of SGD, inside [0, 1).
        seed: of the first weights: He-uniform kernels, biases of zero.

    A batch is ``(x, y)``, x of shape (n, sizes[0]). The weights are "layer0/kernel" of shape (sizes[0], sizes[1]),
    "layer0/bias" and so on; ``weights`` holds the live arrays. A NaN flows through to the loss and the weights: it is
    ``TerminateOnNaN``'s business. In ``accuracy`` a row whose outputs hold a NaN counts as wrong.

    Raises:
        ValueError: an argument outside these; a batch of another shape, labels out of range or not integers.
    """

    framework = "numpy"

    def __init__(
        self,
        sizes: Sequence[int],
        *,
        loss: Literal["cross_entropy", "mse"] = "cross_entropy",
        optimizer: Literal["sgd", "adam"] = "sgd",
        lr: float = 0.01,
        momentum: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.model = self
        self.sizes, self.loss = tuple(sizes), loss
        if len(self.sizes) < 2 or min(self.sizes) < 1:
            raise ValueError(f"MLP(sizes={sizes!r}): sizes are two or more positive widths, input first")
        if loss not in ("cross_entropy", "mse"):
            raise ValueError(f"MLP(loss={loss!r}): loss is 'cross_entropy' or 'mse'")
        if optimizer not in ("sgd", "adam"):
            raise ValueError(f"MLP(optimizer={optimizer!r}): optimizer is 'sgd' or 'adam'")
        if optimizer == "adam" and momentum:
            raise ValueError(f"MLP(optimizer='adam', momentum={momentum!r}): momentum is for 'sgd'; Adam has its own")
        rng = np.random.default_rng(seed)
        self.weights: dict[str, Array] = {}
        for layer, (inputs, outputs) in enumerate(pairwise(self.sizes)):
            bound = math.sqrt(6 / inputs)
            self.weights[f"layer{layer}/kernel"] = rng.uniform(-bound, bound, (inputs, outputs)).astype(np.float32)
            self.weights[f"layer{layer}/bias"] = np.zeros(outputs, np.float32)
        self.optimizer: Optimizer = Adam(self.weights, lr) if optimizer == "adam" else SGD(self.weights, lr, momentum)

    def train_step(self, batch: tuple[ArrayLike, ArrayLike]) -> dict[str, float]:
        """Forward, backward, one update; the batch's mean metrics, as they were before the update."""
        metrics, gradients = self.gradients(batch)
        self.optimizer.step(gradients)
        return metrics

    @quiet()
    def test_step(self, batch: tuple[ArrayLike, ArrayLike]) -> dict[str, float]:
        """The batch's mean metrics; nothing is changed."""
        x, y = batch
        return self._loss(self._forward(x)[-1], y)[0]

    @quiet()
    def predict_step(self, batch: ArrayLike | tuple[ArrayLike, ...]) -> Array:
        """Softmax probabilities, or the outputs for "mse", of shape (n, sizes[-1]); the batch is x or (x, ...)."""
        outputs = self._forward(batch[0] if isinstance(batch, tuple) else batch)[-1]
        return np.exp(log_softmax(outputs)) if self.loss == "cross_entropy" else outputs

    @quiet()
    def gradients(self, batch: tuple[ArrayLike, ArrayLike]) -> tuple[dict[str, float], dict[str, Array]]:
        """The batch's mean metrics, and the gradient of its loss by weight name; nothing is changed."""
        x, y = batch
        layers = self._forward(x)
        metrics, slope = self._loss(layers.pop(), y)
        gradients: dict[str, Array] = {}
        for layer, values in reversed(list(enumerate(layers))):
            gradients[f"layer{layer}/kernel"] = values.T @ slope
            gradients[f"layer{layer}/bias"] = slope.sum(axis=0)
            if layer:  # times the mask, not where(mask): a NaN stays a NaN
                slope = (slope @ self.weights[f"layer{layer}/kernel"].T) * (values > 0)
        return metrics, gradients

    def _forward(self, x: ArrayLike) -> list[Array]:
        """The values of each layer: x first, the outputs last."""
        layers = [np.asarray(x, dtype=np.float32)]
        if layers[0].ndim != 2 or layers[0].shape[1] != self.sizes[0]:
            raise ValueError(f"MLP: x has shape {layers[0].shape}; it needs (n, {self.sizes[0]})")
        last = len(self.sizes) - 2
        for layer in range(last + 1):
            values = layers[-1] @ self.weights[f"layer{layer}/kernel"] + self.weights[f"layer{layer}/bias"]
            layers.append(values if layer == last else np.maximum(values, 0))
        return layers

    def _loss(self, outputs: Array, y: ArrayLike) -> tuple[dict[str, float], Array]:
        """The mean metrics, and the gradient of the loss by ``outputs``."""
        count, width = outputs.shape
        if not count:
            raise ValueError("MLP: the batch has no rows; a mean needs one or more")
        if self.loss == "mse":
            targets = np.asarray(y, dtype=np.float32)
            if targets.shape != outputs.shape:  # never broadcast: (n,) against (n, 1) would train on (n, n)
                raise ValueError(f"MLP: y has shape {targets.shape}; 'mse' needs {outputs.shape}")
            error = outputs - targets
            return {"loss": float(np.mean(error * error))}, error * (2 / error.size)
        labels = np.asarray(y)
        if labels.shape != (count,) or labels.dtype.kind not in "iu":
            given = f"shape {labels.shape} and dtype {labels.dtype}"
            raise ValueError(f"MLP: y has {given}; 'cross_entropy' needs integer labels of shape {(count,)}")
        if labels.min() < 0 or labels.max() >= width:
            raise ValueError(f"MLP: y holds labels from {labels.min()} to {labels.max()}; it needs 0 to {width - 1}")
        logs = log_softmax(outputs)
        chosen = (np.arange(count), labels)
        right = (outputs.argmax(axis=1) == labels) & ~np.isnan(outputs).any(axis=1)
        slope = np.exp(logs)
        slope[chosen] -= 1
        slope /= count
        loss = float(np.mean(0 - logs[chosen]))  # 0 - x, so that a loss of nothing is not printed as -0.0
        return {"loss": loss, "accuracy": float(np.mean(right))}, slope

    # The verbs of Trainable

    def missing(self, need: str) -> str | None:
        if need == "optimizer_average":
            return "the numpy model's optimizers keep none: add trainhooks.callbacks.EMA(decay) to the callbacks."
        return super().missing(need)

    def get_lrs(self) -> list[float]:
        return [self.optimizer.lr]

    def set_lrs(self, lrs: Sequence[float]) -> None:
        if len(lrs) != 1:
            raise ValueError(f"MLP.set_lrs({list(lrs)!r}): {len(lrs)} learning rates for one parameter group")
        self.optimizer.lr = lrs[0]

    def get_weights(self) -> dict[str, np.ndarray]:
        return {name: array.copy() for name, array in self.weights.items()}

    def set_weights(self, weights: Mapping[str, np.ndarray]) -> None:
        for name, array in fitting(self.weights, weights, "MLP.set_weights").items():
            self.weights[name][...] = array

    def snapshot(self) -> Any:
        return self.get_weights()

    def restore(self, snapshot: Any) -> None:
        self.set_weights(snapshot)

    def state_dict(self) -> dict[str, Any]:
        """Weights, the optimizer's slots, its lr and count of steps: arrays and numbers under flat names."""
        arrays = {name: array.copy() for name, array in self._arrays().items()}
        return {**arrays, "optimizer/lr": self.optimizer.lr, "optimizer/steps": self.optimizer.steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take what ``state_dict`` of a model built with the same arguments gave; all of it or nothing."""
        values = fitting(self.state_dict(), state, "MLP.load_state_dict")
        self.optimizer.lr = values["optimizer/lr"].item()  # refuses a bad one, before anything else is written
        self.optimizer.steps = values["optimizer/steps"].item()
        for name, array in self._arrays().items():
            array[...] = values[name]

    def _arrays(self) -> dict[str, Array]:
        """Every live array that training changes."""
        weights = {f"weights/{name}": array for name, array in self.weights.items()}
        return weights | {f"optimizer/{name}": array for name, array in self.optimizer.slots.items()}

    def watch_optimizer(self, call: Callable[[], None]) -> Callable[[], None]:
        return self.optimizer.watch(call)

    def clip_gradients(
        self, *, norm: float | None, value: float | None, report: Callable[[Any], None]
    ) -> Callable[[], None]:
        def clip(gradients: Mapping[str, Array]) -> Mapping[str, Array]:
            report(norm_of(gradients))
            return clipped(gradients, norm, value)

        return self.optimizer.before(clip)

    def update_average(self, average: Any, decay: float) -> Any:
        if average is None:
            return self.snapshot()
        with quiet():
            for name, array in self.weights.items():
                average[name] *= decay
                average[name] += (1 - decay) * array
        return average

    def graph(self) -> list[tuple[str, str, Sequence[str]]]:
        nodes: list[tuple[str, str, Sequence[str]]] = [("x", "Input", [])]
        last = len(self.sizes) - 2
        for layer in range(last + 1):
            nodes.append((f"layer{layer}/dense", "Dense", [nodes[-1][0]]))
            if layer < last:
                nodes.append((f"layer{layer}/relu", "ReLU", [nodes[-1][0]]))
        return [*nodes, ("loss", self.loss, [nodes[-1][0]])]


def log_softmax(outputs: Array) -> Array:
    """Logarithm of the softmax of each row; large values do not overflow."""
    shifted: Array = outputs - outputs.max(axis=1, keepdims=True)
    total: Array = np.exp(shifted).sum(axis=1, keepdims=True)
    return shifted - np.log(total)


def fitting(own: Mapping[str, Any], given: Mapping[str, Any], who: str) -> dict[str, np.ndarray]:
    """Copies of the ``given`` values in the dtypes of ``own``, once all names and shapes are seen to be the same."""
    missing, unexpected = [name for name in own if name not in given], [name for name in given if name not in own]
    values = {name: np.array(given[name], np.asarray(own[name]).dtype) for name in own if name in given}
    wrong = [name for name, value in values.items() if value.shape != np.shape(own[name])]
    shapes = [f"{name!r} is {np.shape(own[name])}, given {values[name].shape}" for name in wrong]
    if missing or unexpected or shapes:
        raise weights_mismatch(who, missing, unexpected, shapes)
    return values
