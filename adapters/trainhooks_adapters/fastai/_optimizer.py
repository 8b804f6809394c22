"""A fastai optimizer as one of PyTorch's: what there is for those (rates, states, clipping, steps) serves it too."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Hook = Callable[[Any, Any, Any], object]


def as_torch(native: Any) -> Any:
    """``learn.opt`` as a ``torch.optim.Optimizer``: the one inside an ``OptimWrapper``, or an ``AsTorch``."""
    import torch

    inner = getattr(native, "opt", None)
    if isinstance(inner, torch.optim.Optimizer):
        return inner
    return native if isinstance(native, torch.optim.Optimizer) else _class(_name(native))(native)


def _name(native: Any) -> str:
    """What it does at a step is in its name: a state goes to an optimizer that does the same."""
    steppers = [getattr(one, "func", one) for one in native.cbs]  # some are partial
    return f"{type(native).__name__}({', '.join(getattr(one, '__name__', type(one).__name__) for one in steppers)})"


@functools.cache
def _class(name: str) -> type[Any]:
    import torch

    return type(name, (AsTorch, torch.optim.Optimizer), {})


class AsTorch:
    """A fastai ``Optimizer`` with the groups, the state and the step hooks of PyTorch's; whoever sees it step says so.

    Args:
        native: it has ``param_lists`` and, for each of these, ``hypers``.
    """

    def __init__(self, native: Any) -> None:
        self.native = native
        self._before: list[_Handle] = []
        self._after: list[_Handle] = []

    @property
    def param_groups(self) -> list[_Group]:
        return [_Group(*both) for both in zip(self.native.param_lists, self.native.hypers, strict=True)]

    def register_step_pre_hook(self, hook: Hook) -> _Handle:
        return _Handle(self._before, hook)

    def register_step_post_hook(self, hook: Hook) -> _Handle:
        return _Handle(self._after, hook)

    def will_step(self) -> None:
        for handle in [*self._before]:
            handle.hook(self, (self,), {})

    def has_stepped(self) -> None:
        for handle in [*self._after]:
            handle.hook(self, (self,), {})

    def parameters(self) -> Iterator[tuple[str, Any]]:
        """Each parameter, and its number as the state has it."""
        every = (parameter for group in self.native.param_lists for parameter in group)
        return ((str(number), parameter) for number, parameter in enumerate(every))

    def state_dict(self) -> dict[str, Any]:
        state = self.native.state_dict()
        numbers = iter(number for number, _ in self.parameters())
        groups = [{**group, "params": [next(numbers) for _ in group["params"]]} for group in self.param_groups]
        return {
            "state": {number: dict(self.native.state[one]) for number, one in self.parameters()},
            "param_groups": groups,
            # Lookahead's count and slow weights
            "rest": {name: _listed(one) for name, one in state.items() if name not in ("state", "hypers")},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        parameters = dict(self.parameters())
        device = next(iter(parameters.values())).device
        hypers = [{name: one for name, one in group.items() if name != "params"} for group in state["param_groups"]]
        self.native.load_state_dict(
            {
                "state": [_moved(state["state"][number], one.device) for number, one in parameters.items()],
                "hypers": type(self.native.hypers)(hypers),
                **_moved(state["rest"], device),
            }
        )


class _Group(dict[str, Any]):
    """A parameter group; what is set in it is set in the optimizer."""

    def __init__(self, parameters: Any, hyper: dict[str, Any]) -> None:
        super().__init__(hyper, params=list(parameters))
        self._hyper = hyper

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, value)
        self._hyper[name] = value


class _Handle:
    """A hook among others, until it is removed."""

    def __init__(self, among: list[_Handle], hook: Hook) -> None:
        self._among, self.hook = among, hook
        among.append(self)

    def remove(self) -> None:
        if self in self._among:
            self._among.remove(self)


def _listed(value: Any) -> Any:
    """fastcore's lists as Python's."""
    if hasattr(value, "attrgot") or isinstance(value, (list, tuple)):
        return [_listed(one) for one in value]
    return value


def _moved(value: Any, device: Any) -> Any:
    if isinstance(value, dict):
        return {name: _moved(one, device) for name, one in value.items()}
    if isinstance(value, list):
        return [_moved(one, device) for one in value]
    return value.to(device) if hasattr(value, "to") else value
