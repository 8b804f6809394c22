"""JaxTrainable: what a JAX loop trains, behind verbs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from warnings import warn

import numpy as np

import trainhooks

from ._holder import TrainState
from ._leaves import Array, bits, check, import_jax, is_array, kept, like, living, moved, names_of, to_host

_RATE: Final = re.compile(r"(.*/)?hyperparams/learning_rate")
_SCHEDULE: Final = re.compile(r"(.*/)?hyperparams_states/learning_rate(/.*)?")
_LACKS: Final = {
    "optimizer_step": "an update happens inside the compiled step, which tells nobody; where each batch makes one, "
    "listen to train_batch_end, as EMA does by itself.",
    "gradients": "they are inside the compiled step: put optax.clip_by_global_norm(1.0), or optax.clip, before the "
    "optimizer, by optax.chain(...).",
    "optimizer_average": "the optimizer keeps none: add trainhooks.callbacks.EMA(decay) to the callbacks.",
    "graph": "a pytree does not say what is made of what; jax.make_jaxpr(model)(x) shows it.",
}
_ASSIGN: Final = (
    "What the step gives in its place is not in the TrainState: write state.params, state.opt_state, loss = step(...)."
)
_DONATES: Final = (
    "It did not before the snapshot: write TrainState(..., donates=True), or wrap(model, donates=True), and snapshots "
    "are copies. Nothing was written."
)


class JaxTrainable(trainhooks.Trainable):
    """What a ``TrainState`` holds, behind verbs.

    Weights are the leaves of ``params`` by where they are in it, as ``dense/kernel``; where there are ``batch_stats``
    beside them these are weights too, and both have their part's name before their own. They are taken back in any
    dtype that can be cast, and written with the dtype, device and sharding of those that they replace.

    Args:
        state: where the newest state is.
        model, optimizer: what ``run.model`` and ``run.optimizer`` show.

    Raises:
        TypeError: there are no weights in it.
    """

    framework = "jax"
    _state: Any = None

    def __init__(self, state: TrainState, model: Any = None, optimizer: Any = None) -> None:
        self.model, self.optimizer = state if model is None else model, optimizer
        self._state, self._structure = state, None
        if not (self._read() and self._shown):
            raise TypeError(f"TrainState: in {type(state.value).__name__} there is no params, a pytree of arrays")
        self._probes = self._first = self._smallest()
        self._donates = True

    # What there is now

    def _read(self) -> dict[str, Any]:
        """All leaves by name."""
        tree = self._state.value
        leaves, structure = import_jax().tree_util.tree_flatten(tree)
        if self._structure is None or structure != self._structure:
            self._structure, self._names = structure, names_of(tree)
            arrays = [name for name, leaf in zip(self._names, leaves, strict=True) if is_array(leaf)]
            weights = [name for name in arrays if name.partition("/")[0] in ("params", "batch_stats")]
            is_bare = all(name.startswith("params/") for name in weights)
            self._shown = {name.removeprefix("params/") if is_bare else name: name for name in weights}
            self._rates = [name for name in arrays if _RATE.fullmatch(name)]
            self._is_scheduled = any(_SCHEDULE.fullmatch(name) for name in arrays)
        return dict(zip(self._names, leaves, strict=True))

    def _arrays(self, who: str) -> dict[str, Any]:
        """The leaves that are arrays or numbers."""
        return living({name: leaf for name, leaf in self._read().items() if is_array(leaf)}, who, _ASSIGN)

    def _weights(self, who: str) -> dict[str, Any]:
        own = self._read()
        return living({shown: own[name] for shown, name in self._shown.items()}, who, _ASSIGN)

    def _write(self, leaves: Mapping[str, Any]) -> None:
        """Put these in the place of the leaves of those names."""
        leaves = {**self._read(), **leaves}
        self._state.value = import_jax().tree_util.tree_unflatten(self._structure, leaves.values())
        self._probes = self._smallest()  # these were put there by no step

    def _smallest(self) -> list[Any]:
        """The smallest array among the weights and among the rest: by what becomes of them a donation is seen."""
        own, weights = self._read(), {*self._shown.values()}
        arrays = [(name in weights, leaf) for name, leaf in own.items() if isinstance(leaf, import_jax().Array)]
        parts = [[leaf for inside, leaf in arrays if inside == part] for part in (True, False)]
        return [min(part, key=lambda leaf: leaf.size) for part in parts if part]

    def _copies(self) -> bool:
        """Whether what is kept must be a copy: the step donates its arguments, or there was none yet to tell by."""
        if self._state.donates is not None:
            return bool(self._state.donates)
        before, self._probes = self._probes, self._smallest()
        if replaced := [one for one, now in zip(before, self._probes, strict=False) if one is not now]:
            self._donates = any(one.is_deleted() for one in replaced)
        return self._donates

    def look(self, run: trainhooks.Run) -> None:
        """Warn where an epoch of training has changed nothing here: the loop keeps what it trains elsewhere."""
        same = [one is now for one, now in zip(self._first, self._smallest(), strict=False)]
        if "train" in run.passes and same and all(same):
            warn(f"an epoch was trained, and nothing that callbacks see has changed. {_ASSIGN}", stacklevel=2)
        self._first = []

    # What it can do

    def missing(self, need: str) -> str | None:
        if need in _LACKS:
            return _LACKS[need]
        if need in ("lr", "read_lr") and self._state is not None and self._state.lr is None:
            self._read()
            if not self._rates:
                return (
                    "no learning rate is in the optimizer's state: make the optimizer by "
                    "optax.inject_hyperparams(optax.adam)(learning_rate=1e-3), or have the step take the rate as an "
                    "argument and write TrainState(..., lr=1e-3)."
                )
            if need == "lr" and self._is_scheduled:
                return "a schedule in optax.inject_hyperparams overwrites what is set: give it a number."
        return super().missing(need)

    def get_lrs(self) -> list[float]:
        if self.missing("read_lr"):
            raise self._lacks("read_lr")
        if self._state.lr is not None:
            return [float(self._state.lr)]
        own = self._arrays("run.lr")
        return [float(own[name]) for name in self._rates]

    def set_lrs(self, lrs: Sequence[float]) -> None:
        if self.missing("lr"):
            raise self._lacks("lr")
        groups = 1 if self._state.lr is not None else len(self._rates)
        if len(lrs) != groups:
            raise ValueError(f"run.lrs = {list(lrs)!r}: the parameter groups are {groups}, the values {len(lrs)}")
        if self._state.lr is not None:
            self._state.lr = lrs[0]
        else:
            own = self._read()
            self._write({name: like(own[name], np.asarray(lr)) for name, lr in zip(self._rates, lrs, strict=True)})

    def get_weights(self) -> dict[str, Array]:
        return {name: to_host(leaf) for name, leaf in self._weights("run.get_weights()").items()}

    def set_weights(self, weights: Mapping[str, Array]) -> None:
        own, given = self._read(), {name: np.asarray(value) for name, value in weights.items()}
        check("run.set_weights()", {shown: own[name] for shown, name in self._shown.items()}, given)
        self._write({name: like(own[name], given[shown]) for shown, name in self._shown.items()})

    def snapshot(self) -> Any:
        leaves, copies = self._weights("run.snapshot()"), self._copies()
        return {name: kept(leaf, copies=copies) for name, leaf in leaves.items()}

    def restore(self, snapshot: Any) -> None:
        own = self._read()
        check("run.restore()", {shown: own[name] for shown, name in self._shown.items()}, snapshot)
        living(snapshot, "run.restore()", _DONATES)
        copies = self._copies()
        leaves = {name: kept(_cast(snapshot[shown], own[name]), copies=copies) for shown, name in self._shown.items()}
        self._write(leaves)

    def update_average(self, average: Any, decay: float) -> Any:
        if average is None:
            return self.snapshot()
        weights = self._weights("EMA")
        made = moved(average, weights, decay)
        copies = len(made) < len(weights) and self._copies()
        return {name: made[name] if name in made else kept(leaf, copies=copies) for name, leaf in weights.items()}

    def state_dict(self) -> dict[str, Any]:
        return self._state_of(_plain)

    def state_snapshot(self) -> dict[str, Any]:
        copies = self._copies()

        def late(leaf: Any) -> Any:
            if not isinstance(leaf, import_jax().Array):
                return _plain(leaf)
            one = kept(bits(leaf), copies=copies)
            return trainhooks.OnDevice(lambda: to_host(one), one.shape, np.dtype(one.dtype))

        return self._state_of(late)

    def _state_of(self, leaf_of: Callable[[Any], Any]) -> dict[str, Any]:
        leaves = {name: leaf_of(leaf) for name, leaf in self._arrays("run.state_dict()").items()}
        return {"leaves": leaves, "lr": None if self._state.lr is None else float(self._state.lr)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        own, given, lr = self._arrays("load_state_dict()"), state["leaves"], state["lr"]
        rates = ({} if one is None else {"lr": float(one)} for one in (self._state.lr, lr))
        check("load_state_dict()", own | next(rates), given | next(rates))
        self._write({name: like(own[name], np.asarray(given[name])) for name in own})
        if lr is not None:
            self._state.lr = lr

    def random_state(self, loader: Any = None) -> dict[str, Any]:
        return {} if self._state is None or self._state.rng is None else {"rng": to_host(self._state.rng)}

    def load_random_state(self, state: Mapping[str, Any], loader: Any = None, *, new_only: bool = False) -> None:
        if self._state.rng is not None and "rng" in state and not new_only:
            self._state.rng = like(self._state.rng, np.asarray(state["rng"]))

    def embeddings(self) -> dict[str, Array]:
        """The tables that are called ``embedding``, as those of flax's ``Embed`` are."""
        named = {name.rpartition("/"): leaf for name, leaf in self._weights("embeddings()").items()}
        tables = {of or last: leaf for (of, _, last), leaf in named.items() if last == "embedding" and leaf.ndim == 2}
        return {name: to_host(table) for name, table in tables.items()}

    def profile(self, folder: Path) -> Callable[[], None]:
        profiler = import_jax().profiler
        profiler.start_trace(str(folder))
        return profiler.stop_trace  # type: ignore[no-any-return]


def _cast(value: Any, own: Any) -> Any:
    """``value`` in the dtype of ``own``, on its device: an average of half precision is of float32."""
    if not hasattr(own, "dtype"):
        return like(own, to_host(value))
    return value if value.dtype == own.dtype else value.astype(own.dtype)


def _plain(leaf: Any) -> Any:
    return leaf if isinstance(leaf, (bool, int, float)) else to_host(leaf)
