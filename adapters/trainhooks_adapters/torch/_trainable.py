"""TorchTrainable: a PyTorch module and its optimizers, behind verbs."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from warnings import warn

import trainhooks
from trainhooks import errors

from ._averaging import update_average
from ._clipping import clip_before_updates
from ._given import class_hint, optimizers_in, scalers_in, schedulers_in
from ._gradients import spend
from ._graph import embeddings_of, graph_of
from ._profiling import profile
from ._random import Generators
from ._saving import FORMATS, save
from ._state import Parts, load_state, state_of
from ._tree import pack, unpack
from ._weights import Array, check, import_torch, plain_names, tensors_of, to_numpy, to_torch
from ._world import is_sharded

if TYPE_CHECKING:
    import torch


class TorchTrainable(trainhooks.Trainable):
    """A module and its optimizers, behind verbs; for the arguments see ``wrap``.

    Weights of a dtype that numpy lacks (bfloat16, float8) are arrays of ``ml_dtypes`` where that is installed, and of
    float32, which holds their values exactly, where it is not. They are taken back from any dtype that can be cast;
    an integer, as BatchNorm's count of batches, takes whole numbers alone. Entries of the state that are no tensors,
    and a module's ``_extra_state``, are no weights; a snapshot has them.
    """

    framework = "torch"
    formats = FORMATS
    needs_all_weights = frozenset({"weights", "snapshot", "state", "save", "average", "embeddings"})
    """What cannot be had of a model of which each process has a part."""

    def __init__(
        self, model: torch.nn.Module, optimizer: Any = None, *, lr_scheduler: Any = None, scaler: Any = None
    ) -> None:
        nn = import_torch().nn
        if not isinstance(model, nn.Module):
            raise TypeError(f"wrap({model!r}): a torch.nn.Module is needed.{class_hint(model)}")
        self.model, self.optimizer = model, optimizer
        self._module = model
        """What the verbs work on; a subclass may set ``model`` to what its framework has around it."""
        self._optimizers = optimizers_in(optimizer)
        self._parts = Parts(model, self._optimizers, schedulers_in(lr_scheduler, self._optimizers), scalers_in(scaler))
        self._generators = Generators()
        self._warned = False
        self._gives_states = False
        """A state was taken: from then on each step tells which gradients it has used, so that none of them is kept."""

    def missing(self, need: str) -> str | None:
        if need in ("lr", "read_lr", "optimizer_step", "gradients") and not self._optimizers:
            return "it was given no optimizer. Use trainhooks.wrap(model, optimizer=optimizer)."
        if need in ("lr", "read_lr") and not all("lr" in group for group in self._groups()):
            return "its optimizer has a parameter group without 'lr'."
        if need == "optimizer_average":
            return "PyTorch's optimizers keep none: add trainhooks.callbacks.EMA(decay) to the callbacks."
        if need in self.needs_all_weights and is_sharded(self.model):
            return (
                "the model is sharded, so that no process has all weights. Save it by torch.distributed.checkpoint, "
                "with RunState(run) in it."
            )
        return super().missing(need)

    def _need(self, need: str) -> None:
        if self.missing(need):
            raise self._lacks(need)

    def _groups(self) -> list[dict[str, Any]]:
        """The parameter groups as they are now: an optimizer's ``load_state_dict`` replaces them."""
        return [group for optimizer in self._optimizers for group in optimizer.param_groups]

    def get_lrs(self) -> list[float]:
        self._need("lr")
        return [float(lr.item() if hasattr(lr := group["lr"], "item") else lr) for group in self._groups()]

    def set_lrs(self, lrs: Sequence[float]) -> None:
        self._need("lr")
        groups = self._groups()
        if len(lrs) != len(groups):
            raise ValueError(f"run.lrs = {list(lrs)!r}: the parameter groups are {len(groups)}, the values {len(lrs)}")
        if not self._warned and (self._parts.schedulers or any("initial_lr" in group for group in groups)):
            self._warned = True
            warn(_SCHEDULED, stacklevel=4)  # where a hook says run.lr = ...
        for group, lr in zip(groups, lrs, strict=True):
            if hasattr(group["lr"], "fill_"):  # a tensor stays the same one: a compiled step has it inside
                group["lr"].detach().fill_(lr)
            else:
                group["lr"] = float(lr)

    def get_weights(self) -> dict[str, Array]:
        state = self._state("run.get_weights()")
        return {name: to_numpy(state[key]) for name, key in plain_names(state).items()}

    def set_weights(self, weights: Mapping[str, Array]) -> None:
        state, who = self._state("run.set_weights()"), "run.set_weights()"
        keys = plain_names(state)
        given = {name: to_torch(who, name, value) for name, value in weights.items()}
        check(who, {name: state[key] for name, key in keys.items()}, given)
        for name, key in keys.items():
            state[key] = given[name]
        self._module.load_state_dict(state)  # copies in place, by way of the module's own hooks

    def snapshot(self) -> Any:
        """The whole ``state_dict()``: tensors cloned where they are, whatever else is in it deep-copied."""
        state = self._state("run.snapshot()")
        tensors = tensors_of(state)
        for key, value in state.items():
            state[key] = tensors[key].detach().clone() if key in tensors else copy.deepcopy(value)
        return state

    def restore(self, snapshot: Any) -> None:
        state, tensors = self._state("run.restore()"), tensors_of(snapshot)
        check("run.restore()", tensors_of(state), tensors)
        for key, value in snapshot.items():  # a module may keep its extra state as it is given: it gets a copy
            state[key] = value if key in tensors else copy.deepcopy(value)
        self._module.load_state_dict(state)

    def state_dict(self) -> dict[str, Any]:
        self._gives_states = True
        return state_of(self._parts, self._state("run.state_dict()"))

    def state_snapshot(self) -> dict[str, Any]:
        self._gives_states = True
        return state_of(self._parts, self._state("run.state_dict()"), later=True)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._gives_states = True  # as in the run that it was taken in
        load_state(self._parts, self._state("load_state_dict()"), state)

    def random_state(self, loader: Any = None) -> dict[str, Any]:
        return self._generators.state(loader)

    def load_random_state(self, state: Mapping[str, Any], loader: Any = None, *, new_only: bool = False) -> None:
        self._generators.load(state, loader, new_only)

    def draws_by_itself(self, loader: Any) -> bool:
        return self._generators.are_in(loader)

    def loader_state(self, loader: Any, *, inside: bool) -> Any:
        if not inside and isinstance(loader, import_torch().utils.data.DataLoader):
            return None  # torchdata's: a state of its own would have the next pass go on in the last one
        return pack(loader.state_dict(), f"the {type(loader).__name__}", to_numpy)

    def load_loader_state(self, loader: Any, state: Any) -> None:
        loader.load_state_dict(unpack(state, f"state of the {type(loader).__name__}"))

    def _state(self, who: str) -> dict[str, Any]:
        state: dict[str, Any] = self._module.state_dict()
        is_lazy = import_torch().nn.parameter.is_lazy
        if empty := [key for key, tensor in tensors_of(state).items() if is_lazy(tensor) or tensor.is_meta]:
            raise errors.NoWeightsError(
                f"{who}: {errors.listing(empty)} have no values yet (lazy, or on the meta device). "
                "Send one batch through the model, or load its weights, first."
            )
        return state

    def watch_optimizer(self, call: Callable[[], None]) -> Callable[[], None]:
        self._need("optimizer_step")

        def stepped(optimizer: Any, args: object, kwargs: object) -> None:
            if self._gives_states:
                spend(optimizer)
            found_inf = vars(optimizer).get("found_inf")  # GradScaler sets it for the length of a fused step
            if found_inf is None or not found_inf.item():
                call()

        handles = [_post_hook(optimizer, stepped) for optimizer in self._optimizers]

        def stop() -> None:
            for handle in handles:
                handle.remove()

        return stop

    def clip_gradients(
        self, *, norm: float | None, value: float | None, report: Callable[[Any], None]
    ) -> Callable[[], None]:
        self._need("gradients")
        return clip_before_updates(self._optimizers, norm, value, report)

    def update_average(self, average: Any, decay: float) -> Any:
        if average is None:
            return self.snapshot()
        update_average(average, self._state("EMA"), decay)
        return average

    def save(self, path: Path) -> None:
        self._state(f"saving {path}")  # refuses weights that have no values yet
        save(self._module, path)

    def graph(self) -> list[tuple[str, str, Sequence[str]]]:
        return graph_of(self._module)

    def embeddings(self) -> dict[str, Array]:
        return embeddings_of(self._module)

    def profile(self, folder: Path) -> Callable[[], None]:
        return profile(folder)


_SCHEDULED = (
    "run.lr was set, and a torch.optim.lr_scheduler also sets it: its next step() may overwrite the value. "
    "Let one of the two own the learning rate: leave out the scheduler, or the callback."
)


def _post_hook(optimizer: Any, hook: Callable[..., None]) -> Any:
    try:
        return optimizer.register_step_post_hook(hook)
    except AttributeError:  # a wrapper that never ran Optimizer.__init__, as accelerate's: the one inside does the step
        return _post_hook(optimizer.optimizer, hook)
