"""A flax.nnx module and its optimizer, as a ``TrainState``."""

from __future__ import annotations

from typing import Any

from ._holder import TrainState


def state_of(model: Any, optimizer: Any, donates: bool | None) -> TrainState:
    """All variables of the module and of its optimizer, if there is one: their values, and none of themselves.

    Raises:
        TypeError: ``optimizer`` is no ``flax.nnx.Optimizer``.
    """
    from flax import nnx

    if optimizer is not None and not isinstance(optimizer, nnx.Optimizer):
        raise TypeError(
            f"wrap(optimizer={optimizer!r}): a flax.nnx.Optimizer is needed, as nnx.Optimizer(model, optax.adam(1e-3), "
            "wrt=nnx.Param). For optax by itself there is trainhooks_adapters.jax.TrainState(params, opt_state)."
        )
    weights = nnx.Not(nnx.Any(nnx.RngState, nnx.Intermediate))  # an intermediate is there for one step

    def get() -> dict[str, Any]:
        parts = {"params": nnx.state(model, weights), "rngs": nnx.state(model, nnx.RngState)}
        return parts if optimizer is None else {**parts, "opt_state": nnx.state(optimizer, nnx.optimizer.OptState)}

    def put(parts: dict[str, Any]) -> None:
        for name, part in parts.items():
            nnx.update(optimizer if name == "opt_state" else model, part)

    return TrainState(get=get, set=put, donates=donates)
